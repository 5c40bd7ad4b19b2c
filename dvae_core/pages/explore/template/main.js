// Puts the runs on the page, and links their pointers.

const content = JSON.parse(document.getElementById("content").textContent);
const runs = content.runs.map((facts, index) => new Run(facts, index));

// The pointers follow each other from test image to test image, which lie elsewhere in each run.
function link(runs) {
  for (const run of runs) {
    run.links.push((index, sought = false) => {
      for (const other of runs) {
        if (other === run || other.past || index < 0 || other.facts.dataset !== run.facts.dataset) continue;
        if (sought && index < other.labels.length) other.goTo(index, { linked: true });
        else if (other.slot.has(index)) other.pointAt(...other.placeOf(index), { linked: true });
      }
    });
  }
}

// Each card says whose it is, to who hears the page.
function tellApart(runs) {
  runs.forEach((run, i) => {
    for (const card of run.root.querySelectorAll("section[aria-label]")) {
      card.setAttribute("aria-label", `${card.getAttribute("aria-label")}, run ${i + 1}`);
    }
  });
}

// In the theme that holds now.
function redraw() {
  for (const run of runs) {
    run.view.resize();
    run.epochs.draw();
    addLegend(run);
    if (run.morph.path) {
      run.morph.draw();
      run.morph.tell();
    } else {
      run.pointAt(...run.pointer, { linked: true });
    }
  }
}

async function main() {
  document.documentElement.classList.toggle("several", runs.length > 1);
  if (runs.length > 1) tellApart(runs);
  document.getElementById("runs").replaceChildren(...runs.map((run) => run.root));
  await Promise.all(runs.map((run) => run.start()));
  if (runs.length > 1) link(runs);
  if (content.live) for (const run of runs) new Live(run);
  await new Address(runs).read();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  for (const [event, on] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(event, () => {
      document.documentElement.classList.toggle("printed", on);
      redraw();
    });
  }
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

main();
