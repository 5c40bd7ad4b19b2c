// What is shown, as a file: a picture, a drawing, or the epochs as a film.

const FILM = "video/webm";

function addSaving(run) {
  const name = (kind) => `${run.facts.name}-epoch-${run.epochs.epoch}.${kind}`;
  run.find(".save-png").addEventListener("click", () => stacked(run.view).toBlob((blob) => hand(blob, name("png"))));
  run.find(".save-svg").addEventListener("click", () => hand(new Blob([drawing(run.view)], { type: "image/svg+xml" }), name("svg")));
  const film = run.find(".save-film");
  film.hidden = run.epochs.maps.length < 2 || typeof MediaRecorder === "undefined" || !MediaRecorder.isTypeSupported(FILM);
  film.addEventListener("click", () => record(run, film, name("webm")));
}

function hand(blob, name) {
  const link = document.createElement("a");
  [link.href, link.download] = [URL.createObjectURL(blob), name];
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Both canvases of the plane in one.
function stacked({ ground, top }, sheet = document.createElement("canvas")) {
  [sheet.width, sheet.height] = [ground.width, ground.height];
  const pen = sheet.getContext("2d");
  pen.drawImage(ground, 0, 0);
  pen.drawImage(top, 0, 0);
  return sheet;
}

// The plane drawn once more, by a pen that writes SVG.
function drawing(view) {
  const pen = new SvgPen(view.width, view.height);
  view.draw(pen);
  view.drawTop(pen);
  return pen.text;
}

// The epochs played once from the first, each with its name.
async function record(run, button, name) {
  button.disabled = true;
  const { view, epochs } = run;
  const sheet = document.createElement("canvas");
  const paint = () => {
    stacked(view, sheet);
    const pen = sheet.getContext("2d");
    pen.font = `600 ${15 * view.dense}px system-ui, sans-serif`;
    pen.fillStyle = view.theme.ink;
    pen.strokeStyle = view.theme.halo;
    pen.lineWidth = 4 * view.dense;
    for (const draw of ["strokeText", "fillText"]) pen[draw](epochs.output.textContent, 14 * view.dense, 24 * view.dense);
  };
  paint();
  const recorder = new MediaRecorder(sheet.captureStream(30), { mimeType: FILM, videoBitsPerSecond: 6_000_000 });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  await epochs.goTo(0, 0);
  epochs.play();
  const until = () => {
    paint();
    if (epochs.timer || epochs.shown.at === null) requestAnimationFrame(until);
    else setTimeout(() => recorder.stop(), 600); // the last epoch can be looked at
  };
  requestAnimationFrame(until);
  await ended;
  hand(new Blob(parts, { type: FILM }), name);
  button.disabled = false;
}
