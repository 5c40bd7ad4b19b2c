// How the regions and the points moved as the weights fell.

const GLIDE = 350; // milliseconds from one epoch to another that is chosen

class Epochs {
  constructor(run, card) {
    this.run = run;
    this.maps = run.facts.maps;
    this.card = card;
    this.curve = card.querySelector(".curve");
    this.slider = card.querySelector(".epoch");
    this.output = card.querySelector(".epoch-name");
    this.button = card.querySelector(".play-epochs");
    this.commonly = card.querySelector(".common");
    const { weights } = run.facts;
    card.hidden = this.maps.length < 2 && !Object.keys(weights.terms).length;
    card.querySelector(".scrub").hidden = this.maps.length < 2;
    this.slider.max = this.maps.length - 1;
    this.slider.value = this.maps.length - 1;
    this.slider.addEventListener("input", () => {
      this.stop();
      this.startMoving();
      this.goTo(+this.slider.value);
    });
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    this.commonly.addEventListener("click", () => {
      this.moved = true;
      this.share(!this.common);
      run.setScene();
      run.pointAt(...run.pointer);
    });
    new ResizeObserver(() => this.draw()).observe(card);
    this.nameCurves();
    this.at = this.maps.length - 1;
  }

  // Which test images move, by their index.
  async start() {
    const { moving } = this.run.facts;
    this.moving = moving && (await unpack(moving));
    if (this.maps.length) await this.goTo(this.at, 0);
  }

  get epoch() {
    return this.maps[this.at]?.epoch ?? this.run.facts.epoch;
  }

  // The view that holds the maps of all epochs, or null where each fills its own.
  get box() {
    if (!this.common) return null;
    const sides = [...this.maps, this.run.facts.planes[0]].map(({ box }) => box);
    return [Math.min, Math.max, Math.min, Math.max].map((most, i) => most(...sides.map((box) => box[i])));
  }

  // Regions are seen to shrink and to move on axes that stay.
  startMoving() {
    if (!this.moved) this.share(true);
    this.moved = true;
  }

  // As an address has it.
  startAt(common) {
    this.moved = true;
    this.share(common);
    this.run.setScene();
  }

  share(common) {
    this.common = common;
    this.commonly.setAttribute("aria-pressed", String(common));
  }

  // The map and the points of an epoch; the last epoch has all points.
  async frame(index) {
    const { run } = this, packed = this.maps[index];
    if (this.isNow(index)) return new Frame(run.unpacked[0][1], this.moving && this.someOf(run.unpacked[0][0]), index);
    this.frames ??= [];
    this.frames[index] ??= Promise.all([ClassMap.unpack(packed.map, packed.box), packed.points && unpack(packed.points)])
      .then(([map, points]) => new Frame(map, points && placed(points, packed.box), index));
    return this.frames[index];
  }

  isNow(index) {
    return index === this.maps.length - 1 && this.maps[index].epoch === this.run.facts.epoch;
  }

  someOf(points) {
    return Float32Array.from({ length: 2 * this.moving.length }, (_, i) => points[2 * this.moving[i >> 1] + (i & 1)]);
  }

  // Go to an epoch, gliding from where the page is; `time` is how long, in milliseconds.
  async goTo(index, time = GLIDE) {
    this.at = index;
    this.slider.value = index;
    const { epoch, weight } = this.maps[index];
    const said = `epoch ${epoch}` + (weight === null ? "" : `, guidance weight ${short(weight)}`);
    this.output.textContent = said;
    this.slider.setAttribute("aria-valuetext", said);
    this.draw();
    const from = this.shown, to = await this.frame(index);
    if (index !== this.at) return; // the slider has moved on
    cancelAnimationFrame(this.gliding);
    const arrive = () => {
      this.shown = to;
      this.run.showEpoch(to, this.maps[index], this.isNow(index));
    };
    if (calm() || !from || from === to || !time) return arrive();
    const started = performance.now();
    this.run.leaveNow(this.maps[index]);
    const step = (now) => {
      const t = Math.min(Math.max((now - started) / time, 0), 1);
      if (t === 1) return arrive();
      this.shown = between(from, to, this.timer ? t : t * t * (3 - 2 * t)); // played, epochs flow evenly
      this.run.showFrame(this.shown);
      this.gliding = requestAnimationFrame(step);
    };
    this.gliding = requestAnimationFrame(step);
  }

  goToNow() {
    this.stop();
    return this.goTo(this.maps.length - 1, 0);
  }

  play() {
    this.startMoving();
    let next = this.at === this.maps.length - 1 ? 0 : this.at + 1;
    const pace = Math.max(120, Math.min(700, 8000 / this.maps.length));
    const step = () => {
      this.goTo(next, next ? pace : 0);
      next += 1;
      if (next >= this.maps.length) this.stop();
    };
    this.button.textContent = "Stop";
    this.timer = setInterval(step, pace);
    step();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "Play";
  }

  nameCurves() {
    const { terms } = this.run.facts.weights;
    const names = Object.keys(terms);
    this.card.querySelector(".curve-names").replaceChildren(...names.map((name, i) => {
      const label = document.createElement("span");
      label.className = `curve-name dash-${i % 3}`;
      label.textContent = `${name} weight, ${short(terms[name][0])} to ${short(terms[name].at(-1))}`;
      return label;
    }));
    this.curve.hidden = !names.length;
  }

  draw() {
    const { weights, epochs } = this.run.facts;
    const names = Object.keys(weights.terms);
    const width = this.curve.clientWidth, height = this.curve.clientHeight;
    const theme = this.run.view.theme;
    if (!width || !names.length || !theme) return;
    const dense = window.devicePixelRatio || 1;
    this.curve.width = width * dense;
    this.curve.height = height * dense;
    const context = this.curve.getContext("2d");
    context.scale(dense, dense);
    const top = Math.max(...names.flatMap((name) => weights.terms[name]));
    const x = (step) => 6 + (step / weights.total) * (width - 12);
    const y = (value) => height - 6 - (value / (top || 1)) * (height - 14);
    context.strokeStyle = theme.hatch;
    context.strokeRect(0.5, 0.5, width - 1, height - 1);
    names.forEach((name, i) => {
      context.setLineDash([[], [6, 4], [2, 3]][i % 3]);
      context.strokeStyle = theme.ink;
      context.lineWidth = 1.75;
      context.beginPath();
      weights.steps.forEach((step, j) => context.lineTo(x(step), y(weights.terms[name][j])));
      context.stroke();
    });
    context.setLineDash([]);
    const here = x((this.epoch / epochs) * weights.total);
    context.strokeStyle = context.fillStyle = theme.accent;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(here, 1);
    context.lineTo(here, height - 1);
    context.stroke();
    for (const { epoch } of this.maps) {
      context.fillStyle = epoch === this.epoch ? theme.accent : theme.quiet;
      context.fillRect(x((epoch / epochs) * weights.total) - 1.5, height - 6, 3, 5);
    }
    this.curve.setAttribute("aria-label",
      names.map((name) => `${name} weight over the run, from ${short(weights.terms[name][0])} to ${short(weights.terms[name].at(-1))}`).join("; "));
  }
}

const short = (value) => String(+value.toPrecision(3));

// 10000 as 10,000; the browser's own way takes 20 ms the first time.
const thousands = (whole) => String(whole).replace(/\B(?=(\d{3})+$)/g, ",");

// Shares of a box as latent places; half of their range is room around it, as epochs.py packs them.
function placed(shares, [left, right, low, high]) {
  const at = (share, from, to) => from + ((share / 65535) * 2 - 0.5) * (to - from);
  return Float32Array.from(shares, (share, i) => (i & 1 ? at(share, low, high) : at(share, left, right)));
}
