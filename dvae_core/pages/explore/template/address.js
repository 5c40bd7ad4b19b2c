// What is shown, as the address's hash, so that a view can be sent: runs one after another, "/" between.

const SETTLED = 300; // milliseconds after the last change

class Address {
  constructor(runs) {
    this.runs = runs;
    for (const run of runs) run.onChange = run.view.onMove = () => this.later();
    window.addEventListener("hashchange", () => this.read());
  }

  later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.write(), SETTLED);
  }

  write() {
    if (location.protocol === "about:") return; // in a frame of a notebook
    const states = this.runs.map((run) => stateOf(run).toString());
    const usual = states.every((state) => !state);
    if (usual && !location.hash.includes("=")) return; // it may name a section
    this.written = usual ? "" : `#${states.join("/")}`;
    history.replaceState(null, "", this.written || location.pathname + location.search);
  }

  async read() {
    if (!location.hash.includes("=") || location.hash === this.written) return;
    const states = location.hash.slice(1).split("/");
    for (const [i, run] of this.runs.entries()) {
      await restore(run, new URLSearchParams(states[i] ?? "")).catch(() => null); // a stranger may have written it
    }
  }
}

// What differs from the page as it opens.
function stateOf(run) {
  const { view, epochs, facts } = run;
  const state = new URLSearchParams();
  if (run.planeIndex) state.set("plane", run.planeIndex);
  if (run.layer !== "latent") state.set("layer", run.layer);
  if (run.past) state.set("epoch", epochs.epoch);
  if (epochs.common) state.set("axes", "common");
  if (run.chosen.size) state.set("classes", [...run.chosen].join(" "));
  if (run.misjudged) state.set("misjudged", "yes");
  if (view.showsPoints !== hasPoints(run.layer)) state.set("points", view.showsPoints ? "yes" : "no");
  if (view.showsDensity) state.set("density", "yes");
  if (run.beyond.times.some(Boolean)) state.set("beyond", run.beyond.times.map(briefly).join(" "));
  const { camera } = view;
  if (camera.zoomed) state.set("view", [camera.x, camera.y, camera.zoom].map(briefly).join(" "));
  if (state.size && run.pointer) state.set("at", run.pointer.map(briefly).join(" "));
  if (run.morph.path?.ends) state.set("morph", [...run.morph.path.ends, run.route].join(" "));
  return state;
}

async function restore(run, state) {
  const { facts, epochs, view } = run;
  const numbers = (key) => (state.get(key) ?? "").split(" ").filter(Boolean).map(Number);
  const plane = +(state.get("plane") ?? 0);
  if (facts.planes[plane] && plane !== run.planeIndex) {
    await run.choosePlane(plane);
    press(run.find(".planes"), run.find(`.planes button:nth-child(${plane + 1})`));
  }
  const layer = run.find(`.layers button[data-layer="${CSS.escape(state.get("layer") ?? "latent")}"]`);
  if (layer && run.layer !== layer.dataset.layer) layer.click();
  run.choosePoints(numbers("classes").filter((c) => c in facts.classes), state.has("misjudged"));
  const points = state.has("points") ? state.get("points") === "yes" : hasPoints(run.layer);
  if (view.showsPoints !== points) run.find(".show-points").click();
  if (view.showsDensity !== state.has("density")) run.find(".show-density").click();
  run.beyond.goTo(numbers("beyond"));
  epochs.startAt(state.get("axes") === "common");
  const epoch = epochs.maps.findIndex((one) => one.epoch === +state.get("epoch"));
  if (epochs.maps.length) await epochs.goTo(epoch < 0 ? epochs.maps.length - 1 : epoch, 0);
  const [a, b] = numbers("morph").slice(0, 2);
  if (a in facts.classes && b in facts.classes && a !== b) await run.between(a, b, state.get("morph").split(" ")[2]);
  const seen = numbers("view"), at = numbers("at");
  if (seen.length === 3 && seen.every(Number.isFinite)) view.camera.set(...seen);
  else view.camera.set(0, 0, 1);
  if (at.length === 2 && at.every(Number.isFinite) && !run.morph.path) run.pointAt(...at);
}

const briefly = (value) => +value.toPrecision(6);
