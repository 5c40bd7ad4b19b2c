// The line between two places: what one meets on it, and whether the border is crossed directly.

const STEPS = 64;
const FRAMES = 10;
const SECONDS = 3.2;

class Morph {
  constructor(run, card) {
    this.run = run;
    this.card = card;
    this.walk = card.querySelector(".walk");
    this.strip = card.querySelector(".strip");
    this.bars = card.querySelector(".bars");
    this.along = card.querySelector(".along");
    this.outcome = card.querySelector(".outcome");
    this.share = card.querySelector(".share");
    this.along.addEventListener("input", () => {
      this.stop();
      this.goTo(+this.along.value);
    });
    new ResizeObserver(() => this.line && this.draw()).observe(card);
  }

  set(from, to) {
    this.stop();
    this.line = { from, to, at: null };
    this.places = Array.from({ length: STEPS }, (_, i) =>
      from.map((v, axis) => v + ((to[axis] - v) * i) / (STEPS - 1)));
    this.latent = this.places.map((place) => this.run.map.at(...place) ?? -1);
    this.image = this.places.map((place) => this.run.lattice.verdict(...place)[0]);
    this.walk.hidden = false;
    this.draw();
    this.tell();
    this.goTo(0);
  }

  clear() {
    this.stop();
    this.line = null;
    this.walk.hidden = true;
  }

  // The classes in order, each stretch once.
  get met() {
    return this.latent.filter((c, i) => c !== this.latent[i - 1]);
  }

  get direct() {
    const met = this.met;
    return met.length === 2 && !met.includes(-1);
  }

  tell() {
    const met = this.met;
    const verdict = document.createElement("strong");
    verdict.className = this.direct ? "yes" : met.length === 1 ? "" : "no";
    if (met.length === 1) verdict.textContent = met[0] < 0 ? "Void all the way" : "Stays in one region";
    else if (this.direct) verdict.textContent = "The border is crossed directly";
    else if (met.includes(-1)) verdict.textContent = "Not direct: crosses void";
    else if (met[0] === met.at(-1)) verdict.textContent = "Leaves its region and comes back";
    else verdict.textContent = "Not direct: crosses other regions";
    const way = document.createElement("span");
    way.className = "way";
    met.slice(0, 12).forEach((c, i) => {
      if (i) way.append(" → ");
      way.append(this.run.chip(c));
    });
    if (met.length > 12) way.append(" → …");
    this.outcome.replaceChildren(verdict, way);
  }

  tellShare(a, b) {
    const paths = this.run.facts.paths;
    const direct = paths && a !== b ? paths.direct[a][b] : null;
    this.share.textContent = direct === null ? "" :
      `Of ${paths.lines} such lines between test images of ${this.run.name(a)} and ${this.run.name(b)}` +
      (this.run.facts.dim > 2 ? `, through all ${this.run.facts.dim} dimensions, ` : ", ") +
      `${percent(direct)} are direct (95 % interval ${percent(paths.low[a][b])} to ${percent(paths.high[a][b])}).`;
  }

  draw() {
    const { run } = this;
    const wide = this.card.clientWidth;
    const theme = run.view.theme;
    const [, height, width] = run.facts.shape;
    const frames = wide < 300 ? 7 : FRAMES;
    this.strip.width = frames * width;
    this.strip.height = height;
    const pen = this.strip.getContext("2d");
    for (let i = 0; i < frames; i++) {
      const place = this.places[Math.round((i * (STEPS - 1)) / (frames - 1))];
      pen.putImageData(toPixels(run.lattice.image(...place), run.facts.shape), i * width, 0);
    }
    this.strip.setAttribute("aria-label", `${frames} images along the line`);
    const dense = window.devicePixelRatio || 1;
    const across = this.bars.clientWidth, tall = 40;
    this.bars.width = across * dense;
    this.bars.height = tall * dense;
    const context = this.bars.getContext("2d");
    context.scale(dense, dense);
    drawBar(context, this.latent, 0, 19, across, run, theme);
    drawBar(context, this.image, 21, 19, across, run, theme);
    const told = (verdicts) => stretches(verdicts).map(({ c, from, to }) => `${run.name(c)} (${to - from})`).join(", ");
    this.bars.setAttribute("aria-label",
      `Verdicts at ${STEPS} steps. Latent judge: ${told(this.latent)}. Image judge: ${told(this.image)}.`);
  }

  goTo(step) {
    this.along.value = step;
    this.line.at = this.places[step];
    this.along.setAttribute("aria-valuetext",
      `step ${step + 1} of ${STEPS}, latent judge ${this.run.name(this.latent[step])}`);
    this.run.pointAt(...this.places[step], { quiet: true });
  }

  play() {
    this.stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.goTo(STEPS - 1);
    const started = performance.now();
    const frame = (now) => {
      const t = Math.min(Math.max((now - started) / (1000 * SECONDS), 0), 1);
      this.goTo(Math.round(t * (STEPS - 1)));
      this.playing = t < 1 ? requestAnimationFrame(frame) : null;
    };
    this.playing = requestAnimationFrame(frame);
  }

  stop() {
    if (this.playing) cancelAnimationFrame(this.playing);
    this.playing = null;
  }
}

function stretches(verdicts) {
  const found = [];
  verdicts.forEach((c, i) => {
    if (found.length && found.at(-1).c === c) found.at(-1).to = i + 1;
    else found.push({ c, from: i, to: i + 1 });
  });
  return found;
}

function drawBar(context, verdicts, y, height, width, run, theme) {
  context.font = "700 11px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { c, from, to } of stretches(verdicts)) {
    const x = (from / verdicts.length) * width, across = ((to - from) / verdicts.length) * width;
    const colour = c < 0 ? mix(theme.ground, [128, 128, 128], 0.25) : theme.point[c];
    context.fillStyle = css(colour);
    context.fillRect(x, y, across - 1, height);
    const name = run.name(c);
    if (context.measureText(name).width < across - 4) {
      context.fillStyle = inkOn(colour);
      context.fillText(name, x + across / 2, y + height / 2 + 0.5);
    }
  }
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
