// One run on the page: its plane, and the cards beside it.

const NEAR = 16; // pixels within which a test image is found
const MOST_PINS = 12;
const IMAGE_CELLS = 128; // of the image judge's map, along each side

class Run {
  constructor(facts, index) {
    this.facts = facts;
    this.index = index;
    this.root = document.getElementById("run").content.cloneNode(true).querySelector(".run");
    this.find = (selector) => this.root.querySelector(selector);
    this.links = []; // called with the index of a test image that is found
    this.layer = "latent";
    this.past = null; // the map of an earlier epoch, where one is shown
    this.pointer = null;
    this.lineFrom = null;
    this.unpacked = [];
  }

  name = (c) => (c < 0 ? "void" : this.facts.classes[c]);

  // A class as a swatch and its name.
  chip(c) {
    const chip = document.createElement("span");
    chip.className = "chip";
    const swatch = document.createElement("span");
    swatch.className = c < 0 ? "swatch void" : "swatch";
    if (c >= 0) swatch.style.background = css(this.view.theme.point[c]);
    const name = document.createElement("span");
    name.textContent = this.name(c);
    chip.append(swatch, name);
    return chip;
  }

  async start() {
    const { facts } = this;
    this.root.setAttribute("aria-label", facts.title);
    this.find(".title").textContent = facts.title;
    this.find(".facts").textContent =
      `${facts.name} · ${facts.dataset} · epoch ${facts.epoch} of ${facts.epochs} · ` +
      `${facts.dim} latent ${facts.dim === 1 ? "dimension" : "dimensions"}`;
    this.element = this.find(".plane");
    this.view = new PlaneView(this.element, facts.colours, facts.classes);
    [this.labels, this.sampled, this.real, this.back] = await Promise.all([
      unpack(facts.labels), unpack(facts.sample.index), unpack(facts.sample.real), unpack(facts.sample.back),
    ]);
    this.morphs = facts.morphs && (await Judged.unpack(facts.morphs));
    this.slot = new Map([...this.sampled].map((index, slot) => [index, slot]));
    this.beyond = new Beyond(this, this.find(".beyond"));
    await this.choosePlane(0);
    this.morph = new Morph(this, this.find(".morph"));
    this.epochs = new Epochs(this, this.find(".time"));
    addControls(this);
    fillMetrics(this.find(".figures"), facts.metrics, facts.epoch);
    fillMatrix(this.find(".direct"), this);
    tellAbout(this);
    const first = facts.typical.find((index) => index >= 0);
    if (facts.maps.length) this.epochs.goTo(facts.maps.length - 1);
    this.pointAt(...(first === undefined ? this.middle : this.placeOf(first)));
  }

  get middle() {
    const [left, right, low, high] = this.facts.planes[this.planeIndex].box;
    return [(left + right) / 2, (low + high) / 2];
  }

  placeOf = (index) => [this.points[2 * index], this.points[2 * index + 1]];

  // --- The ground.

  async choosePlane(index) {
    const packed = this.facts.planes[index];
    this.unpacked[index] ??= await Promise.all([
      unpack(packed.points),
      ClassMap.unpack(packed.map, packed.box),
      Lattice.unpack(packed.lattice, packed.box, this.facts.shape, this.facts.classes.length),
    ]);
    this.planeIndex = index;
    [this.points, this.map, this.lattice] = this.unpacked[index];
    this.imageMap = null;
    this.clear();
    this.setScene();
    this.beyond.show(index);
    const [one, other] = packed.labels;
    let axes = other ? `${one} to the right, ${other} up` : `${one} to the right; up means nothing, points are spread to be seen`;
    if (this.facts.dim > 2) {
      axes += `. Images and areas are those of the plane itself; points are projected onto it (it holds ${percent(packed.share)} of their variance).`;
    }
    this.find(".axes").textContent = axes;
    this.element.setAttribute("aria-label", `Latent space, ${packed.name}. Arrow keys move the pointer, Enter pins, L draws a line.`);
  }

  // The same plane, moved.
  setGround(map, lattice) {
    [this.map, this.lattice] = [map, lattice];
    this.imageMap = null;
    this.view.marks.line = null;
    this.morph.clear();
    this.setScene();
    this.pointAt(...this.pointer);
  }

  setScene() {
    const packed = this.facts.planes[this.planeIndex];
    const { view } = this;
    let map = this.past ?? this.map;
    if (!this.past && this.layer === "image") map = this.imageMap ??= this.lattice.map(IMAGE_CELLS);
    view.lattice = !this.past && this.layer === "images" ? this.lattice : null;
    view.set({
      map, box: this.epochs?.box ?? map.box, labels: this.labels, pairs: this.facts.pairs,
      plan: packed.plan, points: this.past ? null : this.points, ringed: this.past ? [] : this.sampled,
    });
  }

  async showEpoch(packed, own) {
    const map = own ? null : await ClassMap.unpack(packed.map, packed.box);
    if (packed !== this.facts.maps[this.epochs.at]) return; // the slider has moved on
    this.past = map;
    const note = this.find(".past");
    note.hidden = own;
    note.textContent = `epoch ${packed.epoch}: areas alone; points and images are of epoch ${this.facts.epoch}`;
    for (const button of this.root.querySelectorAll(".layers button")) button.disabled = !own;
    this.root.classList.toggle("is-past", !own);
    if (!own) this.clear();
    this.setScene();
    this.pointAt(...(this.pointer ?? this.middle));
    fillMetrics(this.find(".figures"), this.facts.metrics, packed.epoch);
  }

  // --- What is at the pointer.

  pointAt(x, y, { linked = false } = {}) {
    const [left, right, low, high] = (this.past ?? this.map).box;
    x = Math.min(Math.max(x, left), right);
    y = Math.min(Math.max(y, low), high);
    this.pointer = [x, y];
    this.view.marks.pointer = this.pointer;
    this.tell(x, y, this.past ? { latent: this.past.at(x, y) ?? -1 } : {
      latent: this.map.at(x, y) ?? -1, judged: this.lattice.verdict(x, y), image: this.lattice.image(x, y),
    });
    const found = this.past ? -1 : this.nearest(x, y);
    this.showTest(found);
    this.view.drawTop();
    if (!linked) for (const link of this.links) link(found);
    this.onPoint?.(x, y);
  }

  // One step of a path, which knows more than the plane does.
  showStep(path, step) {
    this.pointer = path.places[step];
    this.view.marks.pointer = null;
    this.tell(...this.pointer, {
      latent: path.latent[step], judged: [path.image[step], path.sure[step]], image: path.imageAt(step),
    });
    this.showTest(-1);
    this.view.drawTop();
  }

  tell(x, y, { latent, judged, image }) {
    this.shown = { latent, image };
    this.find(".latent-verdict").replaceChildren(this.chip(latent));
    if (judged) this.find(".image-verdict").replaceChildren(this.chip(judged[0]), ` ${percent(judged[1])}`);
    else this.find(".image-verdict").textContent = "–";
    if (image) show(this.find(".decoded canvas"), image, this.facts.shape);
    this.find(".where").textContent = this.map.flat ? x.toFixed(2) : `${x.toFixed(2)}, ${y.toFixed(2)}`;
  }

  nearest(x, y) {
    const { view } = this;
    const px = view.toX(x), py = view.toY(y);
    let best = -1, least = NEAR * NEAR;
    for (const index of this.sampled) {
      if (view.hidden.has(this.labels[index])) continue;
      const dx = view.toX(this.points[2 * index]) - px, dy = view.toY(this.points[2 * index + 1]) - py;
      const distance = dx * dx + dy * dy;
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  }

  // The real image and its reconstruction.
  showTest(index) {
    this.find(".pair").classList.toggle("none", index < 0);
    this.view.marks.found = index < 0 ? null : this.placeOf(index);
    if (index < 0) return;
    const slot = this.slot.get(index), size = this.lattice.pixels;
    const cut = (all) => all.subarray(slot * size, (slot + 1) * size);
    const label = this.labels[index];
    const [real, back] = [this.find(".real"), this.find(".back")];
    show(real, cut(this.real), this.facts.shape);
    show(back, cut(this.back), this.facts.shape);
    const name = label < 0 ? "no label" : this.name(label);
    real.setAttribute("aria-label", `Test image ${index}, ${name}`);
    back.setAttribute("aria-label", `Reconstruction of test image ${index}`);
    this.find(".real-name").textContent = `test image: ${shortened(name, 14)}`;
  }

  speak() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const text = (selector) => this.find(selector).textContent;
      this.find(".spoken").textContent =
        `${text(".where")}: latent judge ${text(".latent-verdict")}, image judge ${text(".image-verdict")}`;
    }, 250);
  }

  // --- Pins and lines.

  pin() {
    const { pins } = this.view.marks;
    if (this.past || pins.length >= MOST_PINS) return;
    pins.push({ place: this.pointer, ...this.shown });
    this.showPins();
  }

  showPins() {
    const { pins } = this.view.marks;
    this.find(".pinned").hidden = !pins.length;
    this.find(".pins").replaceChildren(...pins.map((pin, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.place = pin.place.join(",");
      const canvas = document.createElement("canvas");
      canvas.className = "image";
      show(canvas, pin.image, this.facts.shape);
      const name = document.createElement("span");
      const verdict = this.name(pin.latent);
      name.textContent = `${i + 1}: ${shortened(verdict, 9)}`;
      button.setAttribute("aria-label", `Pin ${i + 1}, ${verdict}; press to take it out`);
      button.append(canvas, name);
      button.addEventListener("click", () => {
        pins.splice(i, 1);
        this.showPins();
      });
      return button;
    }));
    this.view.drawTop();
  }

  clear() {
    const { marks } = this.view;
    marks.pins.length = 0;
    marks.line = null;
    this.startLine(null);
    this.morph?.clear();
    this.showPins();
  }

  startLine(from) {
    this.lineFrom = from;
    this.find(".draw-line").setAttribute("aria-pressed", String(Boolean(from) || this.lineMode === true));
  }

  join(from, to) {
    const path = Path.read(this, [from, to]);
    this.play(path);
    this.find(".share").textContent = "";
    this.onLine?.(path);
  }

  play(path) {
    this.morph.set(path);
    this.morph.play();
  }

  // The path between two classes that is chosen, or the straight one where there is no other.
  choose(a, b, route) {
    const { morphs } = this;
    const twoPaths = morphs !== null && morphs.find(a, b, "border") >= 0;
    this.route = twoPaths ? route : "straight";
    [this.find(".from"), this.find(".to")].forEach((select, side) => {
      select.value = [a, b][side];
      for (const option of select.options) option.disabled = +option.value === [b, a][side];
    });
    this.find(".route").hidden = !twoPaths;
    this.find(".no-route").hidden = twoPaths || morphs === null;
    for (const button of this.find(".route").children) {
      button.setAttribute("aria-pressed", String(button.dataset.route === this.route));
    }
  }

  // From one class to another; without exact morphs from one typical test image to another.
  between(a, b, route = "straight") {
    if (this.past) this.epochs.goTo(this.facts.maps.length - 1);
    this.choose(a, b, route);
    const index = this.morphs?.find(a, b, this.route) ?? -1;
    if (index >= 0) this.play(this.morphs.between(index, this.planeIndex, this.lattice));
    else this.join(...[a, b].map((c) => this.placeOf(this.facts.typical[c])));
    this.morph.tellShare(a, b);
    this.find(".morph").scrollIntoView({ block: "nearest" });
  }
}
