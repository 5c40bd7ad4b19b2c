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
    this.pastPoints = null; // and where some test images lay then
    this.pointer = null;
    this.lineFrom = null;
    this.drag = null; // what a drag draws wherever it can: a line, or a loop
    this.chosen = new Set(); // classes whose points are shown alone; all are where there is none
    this.misjudged = false; // whether only points are shown that the latent judge gets wrong
    this.unpacked = [];
  }

  name = (c) => (c < 0 ? "void" : this.facts.classes[c]);
  labelOf = (index) => (this.labels[index] < 0 ? "no label" : this.name(this.labels[index]));

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
    [this.labels, this.verdicts, this.sampled, this.real, this.back] = await Promise.all([
      unpack(facts.labels), unpack(facts.verdicts), unpack(facts.sample.index), unpack(facts.sample.real), unpack(facts.sample.back),
    ]);
    this.morphs = facts.morphs && (await Judged.unpack(facts.morphs));
    this.slot = new Map([...this.sampled].map((index, slot) => [index, slot]));
    this.beyond = new Beyond(this, this.find(".beyond"));
    await this.choosePlane(0);
    this.morph = new Morph(this, this.find(".morph"));
    this.selection = new Selection(this, this.find(".selected"));
    this.epochs = new Epochs(this, this.find(".time"));
    addControls(this);
    fillMetrics(this.find(".figures"), facts.metrics, facts.epoch);
    explainMetrics(this.find(".figures"), facts.metrics);
    fillMatrix(this.find(".direct"), this);
    tellAbout(this);
    const first = facts.typical.find((index) => index >= 0);
    await this.epochs.start();
    this.view.waits = false;
    this.view.resize();
    this.pointAt(...(first === undefined ? this.middle : this.placeOf(first)));
  }

  get middle() {
    const [left, right, low, high] = this.facts.planes[this.planeIndex].box;
    return [(left + right) / 2, (low + high) / 2];
  }

  placeOf = (index) => [this.points[2 * index], this.points[2 * index + 1]];

  // The test images that have a picture, each with where it lies in what is shown.
  *pictured() {
    if (!this.past) {
      for (const index of this.sampled) if (this.keeps(index)) yield [index, this.points[2 * index], this.points[2 * index + 1]];
    } else if (this.pastPoints) {
      for (const [i, index] of this.epochs.moving.entries()) {
        if (this.slot.has(index) && this.view.scene.keeps[i]) yield [index, this.pastPoints[2 * i], this.pastPoints[2 * i + 1]];
      }
    }
  }

  // Whether a test image is among those that are shown, given whose place it lies on.
  keeps(index, verdict = this.verdicts[index]) {
    const label = this.labels[index];
    if (this.chosen.size && !this.chosen.has(label)) return false;
    return !this.misjudged || (label >= 0 && verdict !== label);
  }

  choosePoints(classes, misjudged) {
    [this.chosen, this.misjudged] = [new Set(classes), misjudged];
    tellFilter(this);
    this.setScene();
    this.selection?.clear();
    this.onChange?.();
  }

  // --- The ground.

  async choosePlane(index) {
    const packed = this.facts.planes[index];
    this.unpacked[index] ??= await Promise.all([
      unpack(packed.points),
      ClassMap.unpack(packed.map, packed.box),
      Lattice.unpack(packed.lattice, packed.box, this.facts.shape, this.facts.classes.length),
    ]);
    this.planeIndex = index;
    if (this.view.scene) this.view.camera.set(0, 0, 1);
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
    this.element.setAttribute("aria-label", `Latent space, ${packed.name}. Arrow keys move the pointer, Enter pins, L draws a line, plus and minus zoom, 0 shows all.`);
  }

  // The same plane, moved.
  setGround(map, lattice) {
    [this.map, this.lattice] = [map, lattice];
    this.imageMap = null;
    this.setScene();
    if (this.morph.leads) this.morph.goTo(+this.morph.along.value);
    else this.pointAt(...this.pointer);
  }

  setScene() {
    const packed = this.facts.planes[this.planeIndex];
    const { view } = this;
    let map = this.past ?? this.map;
    const judged = !this.past && (this.layer === "image" || this.layer === "sure");
    if (judged) map = this.imageMap ??= this.lattice.map(IMAGE_CELLS);
    view.lattice = !this.past && this.layer === "images" ? this.lattice : null;
    view.set({
      map, box: this.epochs?.box ?? map.box, pairs: this.facts.pairs,
      still: !this.past || this.epochs.shown.at !== null,
      plan: packed.plan, veiled: judged && this.layer === "sure",
      ...(this.past ? this.pastScene() : {
        points: this.points, labels: this.labels, ringed: this.sampled,
        keeps: Uint8Array.from(this.labels, (_, index) => this.keeps(index)),
      }),
    });
  }

  // Points of an earlier epoch, judged by its own map.
  pastScene() {
    const { pastPoints: points, past } = this, { moving } = this.epochs;
    const keeps = points && Uint8Array.from(moving, (index, i) => this.keeps(index, past.at(points[2 * i], points[2 * i + 1]) ?? -1));
    return { points, labels: this.pastLabels, ringed: [], keeps };
  }

  get pastLabels() {
    return this.movingLabels ??= this.epochs.moving && Array.from(this.epochs.moving, (index) => this.labels[index]);
  }

  // An epoch that the page has come to: an earlier one, or the one that all else is of.
  showEpoch(frame, packed, now) {
    const { facts } = this;
    const note = this.find(".past");
    note.hidden = now;
    note.textContent = `epoch ${packed.epoch}: ` + (frame.points
      ? `areas and ${frame.points.length / 2} test means; images are of epoch ${facts.epoch}`
      : `areas alone; points and images are of epoch ${facts.epoch}`);
    this.disable(!now);
    this.root.classList.toggle("is-past", !now);
    if (!now) this.clear();
    fillMetrics(this.find(".figures"), facts.metrics, packed.epoch);
    fillMatrix(this.find(".direct"), this, now ? null : packed);
    this.showFrame(now ? { map: null, points: null } : frame);
  }

  // What is of the last epoch alone: what lies under the points, and what is drawn between them.
  disable(past) {
    for (const button of this.root.querySelectorAll(".layers button, .draw-line, .draw-loop, .list-points")) button.disabled = past;
  }

  // On the way to another epoch.
  leaveNow(packed) {
    if (!this.past) this.clear();
    this.root.classList.add("is-past");
    this.find(".past").hidden = false;
    this.find(".past").textContent = `epoch ${packed.epoch}`;
  }

  showFrame({ map, points }) {
    [this.past, this.pastPoints] = [map, points];
    this.setScene();
    this.pointAt(...(this.pointer ?? this.middle));
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
    const found = this.nearest(x, y);
    this.showTest(found);
    this.view.drawTop();
    if (!linked) for (const link of this.links) link(found);
    this.onPoint?.(x, y);
    this.onChange?.();
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
    const [toX, toY] = view.scales();
    const px = toX(x), py = toY(y);
    let best = -1, least = NEAR * NEAR;
    for (const [index, u, v] of this.pictured()) {
      const dx = toX(u) - px, dy = toY(v) - py;
      const distance = dx * dx + dy * dy;
      if (distance < least) [best, least, view.marks.found] = [index, distance, [u, v]];
    }
    if (best < 0) view.marks.found = null;
    return best;
  }

  // The real image and its reconstruction.
  showTest(index) {
    this.find(".pair").classList.toggle("none", index < 0);
    if (index < 0) {
      this.view.marks.found = null;
      return;
    }
    const slot = this.slot.get(index), size = this.lattice.pixels;
    const cut = (all) => all.subarray(slot * size, (slot + 1) * size);
    const [real, back] = [this.find(".real"), this.find(".back")];
    show(real, cut(this.real), this.facts.shape);
    show(back, cut(this.back), this.facts.shape);
    const name = this.labelOf(index);
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

  // A test image, whether or not its picture is in the page.
  goTo(index, { linked = false } = {}) {
    const place = this.placeOf(index);
    this.morph.stop();
    this.view.camera.follow(place);
    this.pointAt(...place, { linked: true });
    this.showTest(this.slot.has(index) ? index : -1);
    this.view.marks.found = place;
    this.view.drawTop();
    if (!linked) for (const link of this.links) link(index, true);
  }

  // --- Pins and lines.

  pin() {
    const { pins } = this.view.marks;
    if (this.past || pins.length >= MOST_PINS) return false;
    pins.push({ place: this.pointer, ...this.shown });
    this.showPins();
    return true;
  }

  unpin() {
    this.view.marks.pins.pop();
    this.showPins();
  }

  showPins() {
    const { pins } = this.view.marks;
    this.find(".pinned").hidden = !pins.length;
    this.find(".pins").replaceChildren(...pins.map((pin, i) => {
      const verdict = this.name(pin.latent);
      const button = pictureButton(pin.image, this.facts.shape, `Pin ${i + 1}, ${verdict}; press to take it out`, () => {
        pins.splice(i, 1);
        this.showPins();
      });
      button.dataset.place = pin.place.join(",");
      const name = document.createElement("span");
      name.textContent = `${i + 1}: ${shortened(verdict, 9)}`;
      button.append(name);
      return button;
    }));
    this.view.drawTop();
  }

  clear() {
    const { marks } = this.view;
    marks.pins.length = 0;
    this.startLine(null);
    this.clearPath();
    this.selection?.clear();
    this.showPins();
  }

  clearPath() {
    this.view.marks.line = null;
    this.morph?.clear();
    this.view.drawTop();
  }

  startLine(from) {
    this.lineFrom = from;
    this.find(".draw-line").setAttribute("aria-pressed", String(Boolean(from) || this.drag === "line"));
    this.find(".draw-loop").setAttribute("aria-pressed", String(this.drag === "loop"));
    this.element.classList.toggle("drawing", Boolean(from) || this.drag !== null);
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
  async between(a, b, route = "straight") {
    if (this.past) await this.epochs.goToNow();
    this.choose(a, b, route);
    const index = this.morphs?.find(a, b, this.route) ?? -1;
    if (index >= 0) this.play(this.morphs.between(index, this.planeIndex, this.lattice));
    else this.join(...[a, b].map((c) => this.placeOf(this.facts.typical[c])));
    this.morph.tellShare(a, b);
    this.find(".morph").scrollIntoView({ block: "nearest" });
  }
}
