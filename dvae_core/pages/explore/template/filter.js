// Which points are shown: those of some classes, or of all; only those that the latent judge gets wrong.

function addFilter(run) {
  addLegend(run);
  const button = run.find(".misjudged");
  button.disabled = run.verdicts.every((verdict, i) => run.labels[i] < 0 || verdict === run.labels[i]);
  button.addEventListener("click", () => run.choosePoints(run.chosen, !run.misjudged));
  run.find(".all-points").addEventListener("click", () => run.choosePoints([], false));
  tellFilter(run);
}

// A class that is pressed is shown alone, with others that are pressed too; with none, all are.
function addLegend(run) {
  run.find(".legend").replaceChildren(...run.facts.classes.map((name, c) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(run.chip(c));
    button.title = name;
    button.addEventListener("click", () => {
      const chosen = new Set(run.chosen);
      if (!chosen.delete(c)) chosen.add(c);
      run.choosePoints(chosen.size === run.facts.classes.length ? [] : chosen, run.misjudged);
    });
    return button;
  }));
  tellFilter(run);
}

function tellFilter(run) {
  const { chosen, misjudged } = run;
  run.find(".legend").classList.toggle("chosen", chosen.size > 0);
  [...run.find(".legend").children].forEach((button, c) => button.setAttribute("aria-pressed", String(chosen.has(c))));
  run.find(".misjudged").setAttribute("aria-pressed", String(misjudged));
  const filtered = chosen.size > 0 || misjudged;
  run.find(".all-points").disabled = !filtered;
  const kept = run.labels.reduce((sum, _, i) => sum + run.keeps(i), 0);
  run.find(".kept").textContent = `${thousands(kept)} of ${thousands(run.labels.length)} points`;
}
