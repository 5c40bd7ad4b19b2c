// The path between two places as one morphs it: images, both judges' verdicts, a word on the border.

const FRAMES = 8; // of the strip: every ninth step, which is one of the images that are kept
const SECONDS = 3.2;

class Morph {
  constructor(run, card) {
    this.run = run;
    this.card = card;
    this.body = card.querySelector(".path");
    this.strip = card.querySelector(".strip");
    this.bars = card.querySelector(".bars");
    this.along = card.querySelector(".along");
    this.outcome = card.querySelector(".outcome");
    this.source = card.querySelector(".source");
    this.share = card.querySelector(".share");
    this.along.addEventListener("input", () => {
      this.stop();
      this.goTo(+this.along.value);
    });
    new ResizeObserver(() => this.path && this.draw()).observe(card);
  }

  set(path) {
    this.stop();
    this.body.hidden = false;
    this.along.value = 0;
    this.run.view.marks.pointer = null;
    this.take(path);
  }

  // The same path, better known.
  take(path) {
    this.path = path;
    this.draw();
    this.tell();
    if (this.leads) this.goTo(+this.along.value);
  }

  // Whether a step of the path is what is shown: the pointer has not led away from it.
  get leads() {
    return Boolean(this.path) && !this.run.view.marks.pointer;
  }

  clear() {
    this.stop();
    this.path = null;
    this.body.hidden = true;
  }

  tell() {
    const { met, direct, exact } = this.path;
    const verdict = document.createElement("strong");
    verdict.className = direct ? "yes" : met.length === 1 ? "" : "no";
    verdict.textContent = this.path.say(this.run.name);
    this.source.textContent = exact ? this.exactly() :
      "Approximate: read off the page's map, so near a border a step or two may differ.";
    const crossed = document.createElement("span");
    crossed.className = "crossed";
    met.slice(0, 12).forEach((c, i) => {
      if (i) crossed.append(" → ");
      crossed.append(this.run.chip(c));
    });
    if (met.length > 12) crossed.append(" → …");
    this.outcome.replaceChildren(verdict, crossed);
  }

  exactly() {
    const { dim } = this.run.facts;
    if (!this.path.ends) return "Exact: judged step by step.";
    return `Exact: as dvae morph finds it in ${STEPS} steps` +
      (dim > 2 ? `, through all ${dim} dimensions; the plane shows its projection.` : ".");
  }

  tellShare(a, b) {
    const paths = this.run.facts.paths;
    const direct = paths && a !== b ? paths.direct[a][b] : null;
    this.share.textContent = direct === null ? "" :
      `Of ${paths.lines} straight lines between test images of ${this.run.name(a)} and ${this.run.name(b)}` +
      (this.run.facts.dim > 2 ? `, through all ${this.run.facts.dim} dimensions, ` : ", ") +
      `${percent(direct)} are direct (95 % interval ${percent(paths.low[a][b])} to ${percent(paths.high[a][b])}).`;
  }

  draw() {
    const { run } = this;
    const theme = run.view.theme;
    const [width, height] = pictureSize(run.facts.shape);
    this.strip.width = FRAMES * width;
    this.strip.height = height;
    const pen = this.strip.getContext("2d");
    for (let i = 0; i < FRAMES; i++) {
      const step = (i * (STEPS - 1)) / (FRAMES - 1);
      pen.putImageData(toPixels(this.path.imageAt(step), run.facts.shape), i * width, 0);
    }
    const dense = window.devicePixelRatio || 1;
    const across = this.bars.clientWidth, tall = 40;
    this.bars.width = across * dense;
    this.bars.height = tall * dense;
    const context = this.bars.getContext("2d");
    context.scale(dense, dense);
    drawBar(context, this.path.latent, 0, 19, across, run, theme);
    drawBar(context, this.path.image, 21, 19, across, run, theme);
    const told = (verdicts) => stretches(verdicts).map(({ c, from, to }) => `${run.name(c)} (${to - from})`).join(", ");
    this.bars.setAttribute("aria-label",
      `Verdicts at ${STEPS} steps. Latent judge: ${told(this.path.latent)}. Image judge: ${told(this.path.image)}.`);
  }

  goTo(step) {
    const { path, run } = this;
    this.along.value = step;
    run.view.marks.line = { corners: path.corners, at: path.places[step] };
    this.along.setAttribute("aria-valuetext",
      `step ${step + 1} of ${STEPS}, latent judge ${run.name(path.latent[step])}, image judge ${run.name(path.image[step])}`);
    run.showStep(path, step);
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
