// Which test images are looked at closer: those within a loop, all that are shown, or one by its number.

const MOST_LISTED = 48;

class Selection {
  constructor(run, card) {
    Object.assign(this, { run, card, loop: null });
    this.said = run.find(".found-said");
    run.find(".list-points").addEventListener("click", () => this.take(null));
    card.querySelector(".unselect").addEventListener("click", () => this.clear());
    const number = run.find(".find input");
    number.max = run.labels.length - 1;
    number.addEventListener("change", () => this.find(number));
    number.addEventListener("keydown", (event) => event.key === "Enter" && this.find(number));
  }

  // Those of the points shown that lie within a loop of places, or all of them.
  take(loop) {
    const { run, card } = this;
    this.show(loop);
    const found = [...run.labels.keys()].filter((i) => run.keeps(i) && (!loop || isWithin(loop, ...run.placeOf(i))));
    card.hidden = false;
    this.tell(found);
    this.list(found.filter((i) => run.slot.has(i)));
    card.scrollIntoView({ block: "nearest" });
  }

  clear() {
    this.card.hidden = true;
    this.said.textContent = "";
    this.show(null);
  }

  // The loop that is drawn: the one that was taken, unless another is on its way.
  show(loop = this.loop) {
    this.loop = loop;
    this.run.view.marks.loop = loop;
    this.run.view.drawTop();
  }

  tell(found) {
    const { run } = this;
    const count = new Map();
    for (const i of found) count.set(run.labels[i], (count.get(run.labels[i]) ?? 0) + 1);
    const shares = [...count].sort(([, a], [, b]) => b - a).slice(0, 12).map(([label, times]) => {
      const part = document.createElement("span");
      part.append(label < 0 ? "no label" : run.chip(label), ` ${percent(times / found.length)} `);
      return part;
    });
    this.card.querySelector(".shares").replaceChildren(...shares);
    const labelled = found.filter((i) => run.labels[i] >= 0);
    const right = labelled.filter((i) => run.verdicts[i] === run.labels[i]).length;
    this.card.querySelector(".how-many").textContent =
      `${thousands(found.length)} test ${found.length === 1 ? "image" : "images"}` +
      (labelled.length ? `; the latent judge is right on ${percent(right / labelled.length)}` : "");
  }

  // As many pictures as there is room for, spread evenly over those that are in the page.
  list(pictured) {
    const { run } = this;
    const shown = Math.min(pictured.length, MOST_LISTED);
    const size = run.lattice.pixels;
    this.card.querySelector(".listed").replaceChildren(...Array.from({ length: shown }, (_, k) => {
      const index = pictured[Math.floor((k * pictured.length) / shown)], slot = run.slot.get(index);
      const picture = run.real.subarray(slot * size, (slot + 1) * size);
      return pictureButton(picture, run.facts.shape, `Test image ${index}, ${run.labelOf(index)}`, () => run.goTo(index));
    }));
    this.card.querySelector(".left-out").textContent = !shown ? "None of them has its picture in this page." :
      `${shown} of ${thousands(pictured.length)} that have their picture in this page; press one to go there.`;
  }

  // A test image by its number: where it lies, and what is known of it.
  async find(number) {
    const { run, said } = this;
    said.textContent = "";
    if (number.value === "") return;
    const index = Math.min(Math.max(Math.round(+number.value), 0), +number.max);
    number.value = index;
    if (run.past) await run.epochs.goToNow();
    run.goTo(index);
    const [label, verdict] = [run.labels[index], run.verdicts[index]];
    const facts = [shortened(run.labelOf(index), 14)];
    if (label < 0 || label !== verdict) facts.push(`latent judge: ${shortened(run.name(verdict), 14)}`);
    if (run.map.at(...run.placeOf(index)) === null) facts.push("out of view");
    said.textContent = facts.join("; ");
  }
}

// Whether a place lies within a closed loop of places: a ray from it crosses the loop an odd number of times.
function isWithin(loop, x, y) {
  let within = false;
  for (let i = 0, j = loop.length - 1; i < loop.length; j = i++) {
    const [[ax, ay], [bx, by]] = [loop[i], loop[j]];
    if (ay > y !== by > y && x < ax + ((bx - ax) * (y - ay)) / (by - ay)) within = !within;
  }
  return within;
}
