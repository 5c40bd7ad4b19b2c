// The latent plane on two canvases: the ground (areas, borders, points) is drawn when it changes,
// the top (pointer, pins, line) with every move.

class PlaneView {
  constructor(element, hexes, names) {
    this.element = element;
    this.ground = element.querySelector(".ground");
    this.top = element.querySelector(".top");
    this.hexes = hexes;
    this.names = names;
    this.showsPoints = true;
    this.showsDensity = false;
    this.lattice = null; // set where images are the ground
    this.waits = true; // until all of the run is there, to draw once
    this.marks = { pointer: null, pins: [], line: null, loop: null, found: null };
    this.theme = readTheme(element, hexes);
    this.camera = new Camera(() => this.moved());
    new ResizeObserver(() => this.resize()).observe(element);
  }

  // What lies on the ground: a map, the box in view, points [x, y, ...] with labels, ringed ones.
  set(scene) {
    this.scene = scene;
    this.camera.home = scene.box;
    if (!this.width) return this.resize();
    this.draw();
    this.drawTop();
  }

  moved() {
    this.element.classList.toggle("zoomed", this.camera.zoomed);
    this.element.querySelector(".zoomed-by").textContent = this.camera.zoomed ? `×${short(this.camera.zoom)}` : "";
    this.element.querySelector(".whole").disabled = !this.camera.zoomed;
    this.element.querySelector(".farther").disabled = !this.camera.zoomed;
    this.later();
    this.onMove?.();
  }

  // Drawn with the next frame, once, however often the view has moved until then.
  later() {
    this.frameAsked ??= requestAnimationFrame(() => {
      this.frameAsked = null;
      this.draw();
      this.drawTop();
    });
  }

  resize() {
    const { width, height } = this.element.getBoundingClientRect();
    if (!width || !this.scene) return;
    const dense = window.devicePixelRatio || 1;
    Object.assign(this, { width, height, dense });
    for (const canvas of [this.ground, this.top]) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    this.theme = readTheme(this.element, this.hexes);
    this.draw();
    this.drawTop();
  }

  get box() {
    return this.camera.box;
  }

  toX = (x) => ((x - this.box[0]) / (this.box[1] - this.box[0])) * this.width;
  toY = (y) => (1 - (y - this.box[2]) / (this.box[3] - this.box[2])) * this.height;

  // The same as fixed functions of the view that holds now, for many places.
  scales() {
    const [left, right, low, high] = this.box;
    const [across, down] = [this.width / (right - left), this.height / (high - low)];
    return [(x) => (x - left) * across, (y) => (high - y) * down];
  }

  toLatent(px, py) {
    const [left, right, low, high] = this.box;
    return [left + (px / this.width) * (right - left), high - (py / this.height) * (high - low)];
  }

  clear(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.dense, 0, 0, this.dense, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  // Onto the screen, or with a pen of one's own.
  draw(pen = null) {
    if (!this.width || this.waits) return; // nobody sees it yet
    const context = pen ?? this.clear(this.ground);
    const { theme, scene } = this;
    context.fillStyle = theme.beyond;
    context.fillRect(0, 0, this.width, this.height);
    const [x, y, width, height] = this.frame;
    context.fillStyle = css(theme.ground);
    context.fillRect(x, y, width, height);
    this.hatch(context);
    if (this.lattice) this.drawImages(context);
    else this.drawAreas(context);
    if (scene.points && this.showsPoints) this.drawPoints(context);
    if (scene.points && this.showsDensity && scene.still && !scene.map.flat) this.drawDensity(context);
    if (scene.plan) this.drawPlan(context);
    if (scene.map) this.drawNames(context);
    this.drawAxes(context);
  }

  // Where the map lies in the view, in pixels: left, top, width, height.
  get frame() {
    const [left, right, low, high] = this.scene.map.box;
    const x = this.toX(left), y = this.toY(high);
    return [x, y, this.toX(right) - x, this.toY(low) - y];
  }

  hatch(context) {
    context.save();
    context.strokeStyle = this.theme.hatch;
    context.lineWidth = 1;
    context.beginPath();
    context.rect(...this.frame);
    context.clip();
    context.stroke();
    context.beginPath();
    for (let x = -this.height; x < this.width; x += 7) {
      context.moveTo(x, this.height);
      context.lineTo(x + this.height, 0);
    }
    context.stroke();
    context.restore();
  }

  // The part of the map that is in view: in latent coordinates, and in pixels.
  get window() {
    const [left, right, low, high] = this.scene.map.box.map((side, i) =>
      (i % 2 ? Math.min : Math.max)(side, this.box[i]));
    const x = this.toX(left), y = this.toY(high);
    return { box: [left, right, low, high], frame: [x, y, this.toX(right) - x, this.toY(low) - y] };
  }

  drawAreas(context) {
    const { map, pairs } = this.scene;
    const { box, frame: [x, y, width, height] } = this.window;
    if (width < 1 || height < 1) return;
    const [across, down] = [width, height].map((side) => Math.round(side * this.dense));
    context.imageSmoothingEnabled = false;
    context.drawImage(map.picture(this.theme.area, box, across, down), x, y, width, height);
    if (this.scene.veiled) context.drawImage(map.veil(this.theme.ground, box, across, down), x, y, width, height);
    const scales = this.scales();
    this.stroke(context, map.borders(...scales, null, newPath(context)), this.theme.border, 1.25);
    for (const pair of pairs) {
      const path = map.borders(...scales, pair, newPath(context));
      this.stroke(context, path, this.theme.halo, 5);
      this.stroke(context, path, this.theme.ink, 2.5);
    }
  }

  // Decoded images as tiles, the ink of one-channel images in the colour of whose place it is.
  drawImages(context) {
    const { map } = this.scene;
    const [left, top, across, down] = this.window.frame;
    if (across < 1 || down < 1) return;
    const [width, height] = pictureSize(this.lattice.shape);
    const columns = Math.min(32, Math.max(8, Math.floor(across / 24)));
    const rows = this.lattice.rows > 2 ? columns : 4;
    const sheet = document.createElement("canvas");
    sheet.width = columns * width;
    sheet.height = rows * height;
    const pen = sheet.getContext("2d");
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [x, y] = this.toLatent(
          left + ((column + 0.5) / columns) * across, top + ((row + 0.5) / rows) * down);
        const owner = map.at(x, y);
        const ink = owner === null || owner < 0 ? mix(this.theme.ground, [128, 128, 128], 0.8) : this.theme.point[owner];
        const tinted = this.lattice.shape[0] === 1;
        const pixels = toPixels(this.lattice.image(x, y), this.lattice.shape, tinted && ink, this.theme.ground);
        pen.putImageData(pixels, column * width, row * height);
      }
    }
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(sheet, left, top, across, down);
    this.stroke(context, map.borders(...this.scales(), null, newPath(context)), this.theme.quiet, 1);
  }

  drawPoints(context) {
    const { points, labels, keeps, ringed } = this.scene;
    const shown = keeps.reduce((sum, kept) => sum + kept, 0);
    const size = Math.max(1.2, this.width / 420) * Math.min(3, Math.sqrt(this.camera.zoom)) * (shown < 2500 ? 1.6 : 1);
    const [toX, toY] = this.scales();
    const seen = (x, y) => x > -size && x < this.width + size && y > -size && y < this.height + size;
    const order = this.hexes.map((_, c) => c).concat(-1);
    for (const c of order) {
      context.fillStyle = c < 0 ? this.theme.quiet : css(this.theme.point[c], 0.8);
      for (let i = 0; i < labels.length; i++) {
        if (labels[i] !== c || !keeps[i]) continue;
        const x = toX(points[2 * i]), y = toY(points[2 * i + 1]);
        if (seen(x, y)) context.fillRect(x - size / 2, y - size / 2, size, size);
      }
    }
    context.lineWidth = 1;
    for (const i of ringed) {
      if (!keeps[i]) continue;
      const x = toX(points[2 * i]), y = toY(points[2 * i + 1]);
      if (!seen(x, y)) continue;
      context.fillStyle = labels[i] < 0 ? this.theme.quiet : css(this.theme.point[labels[i]]);
      context.strokeStyle = this.theme.halo;
      context.beginPath();
      context.arc(x, y, size + 0.6, 0, 7);
      context.fill();
      context.stroke();
    }
  }

  drawDensity(context) {
    const { scene, theme } = this;
    scene.density ??= new Density(scene.points, scene.keeps, scene.map.box);
    SHARES.forEach((_, i) => {
      const path = scene.density.path(i, ...this.scales(), newPath(context));
      this.stroke(context, path, theme.halo, 3.5 + i);
      this.stroke(context, path, theme.accent, 1 + 0.5 * i);
    });
  }

  // Where the prior has its classes: crosses, joined for each named pair.
  drawPlan(context) {
    const { plan, pairs } = this.scene;
    const at = plan.map(([x, y]) => [this.toX(x), this.toY(y)]);
    const lines = newPath(context);
    const crosses = newPath(context);
    for (const [a, b] of pairs) {
      lines.moveTo(...at[a]);
      lines.lineTo(...at[b]);
    }
    for (const [x, y] of at) {
      for (const side of [-4, 4]) {
        crosses.moveTo(x - 4, y - side);
        crosses.lineTo(x + 4, y + side);
      }
    }
    context.setLineDash([2, 4]);
    this.stroke(context, lines, this.theme.ink, 1);
    context.setLineDash([]);
    this.stroke(context, crosses, this.theme.halo, 5);
    this.stroke(context, crosses, this.theme.ink, 2);
  }

  drawNames(context) {
    context.font = "700 15px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    this.scene.map.roomiest(this.names.length, this.window.box).forEach((place, c) => {
      if (!place) return;
      const text = shortened(this.names[c], 14);
      const half = context.measureText(text).width / 2 + 4;
      const x = Math.min(Math.max(this.toX(place[0]), half), this.width - half);
      const y = Math.min(Math.max(this.toY(place[1]), 14), this.height - 14);
      context.strokeStyle = this.theme.halo;
      context.lineWidth = 5;
      context.strokeText(text, x, y);
      context.fillStyle = this.theme.ink;
      context.fillText(text, x, y);
    });
  }

  drawAxes(context) {
    const [left, right, low, high] = this.box;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = this.theme.ink;
    context.strokeStyle = this.theme.ink;
    context.lineWidth = 1;
    const label = (text, x, y) => {
      context.strokeStyle = this.theme.halo;
      context.lineWidth = 3;
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
      context.strokeStyle = this.theme.ink;
      context.lineWidth = 1;
    };
    const tick = (...ends) => {
      context.beginPath();
      context.moveTo(ends[0], ends[1]);
      context.lineTo(ends[2], ends[3]);
      context.stroke();
    };
    context.textBaseline = "bottom";
    context.textAlign = "center";
    for (const value of ticks(left, right)) {
      const x = this.toX(value);
      if (x < 24 || x > this.width - 24) continue;
      tick(x, this.height, x, this.height - 5);
      label(String(value), x, this.height - 6);
    }
    if (this.scene.map.flat) return;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const value of ticks(low, high)) {
      const y = this.toY(value);
      if (y < 12 || y > this.height - 30) continue;
      tick(0, y, 5, y);
      label(String(value), 8, y);
    }
  }

  drawTop(pen = null) {
    if (!this.scene || !this.width) return;
    // Printed, the top would hide the ground, so both are one.
    const printed = document.documentElement.classList.contains("printed");
    const context = pen ?? (printed ? this.ground.getContext("2d") : this.clear(this.top));
    const { pointer, pins, line, loop, found } = this.marks;
    if (loop) {
      const path = newPath(context);
      for (const [x, y] of [...loop, loop[0]]) path.lineTo(this.toX(x), this.toY(y));
      this.stroke(context, path, this.theme.halo, 5);
      context.setLineDash([5, 5]);
      this.stroke(context, path, this.theme.ink, 2);
      context.setLineDash([]);
    }
    if (line) {
      const path = newPath(context);
      for (const [x, y] of line.corners) path.lineTo(this.toX(x), this.toY(y));
      this.stroke(context, path, this.theme.halo, 6);
      this.stroke(context, path, this.theme.ink, 2.5);
      for (const end of line.corners) this.dot(context, end, 4.5, this.theme.ink);
      if (line.at) this.dot(context, line.at, 7, this.theme.accent);
    }
    pins.forEach((pin, i) => {
      this.dot(context, pin.place, 9, this.theme.ink);
      context.font = "700 11px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillStyle = this.theme.halo;
      context.fillText(String(i + 1), this.toX(pin.place[0]), this.toY(pin.place[1]) + 0.5);
    });
    if (found) this.circle(context, found, 7, this.theme.ink, 2);
    if (pointer) {
      const [x, y] = [this.toX(pointer[0]), this.toY(pointer[1])];
      const cross = newPath(context);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        cross.moveTo(x + 5 * dx, y + 5 * dy);
        cross.lineTo(x + 13 * dx, y + 13 * dy);
      }
      this.stroke(context, cross, this.theme.halo, 4);
      this.stroke(context, cross, this.theme.ink, 2);
    }
  }

  stroke(context, path, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.stroke(path);
  }

  circle(context, place, radius, colour, width) {
    const path = newPath(context);
    path.arc(this.toX(place[0]), this.toY(place[1]), radius, 0, 7);
    this.stroke(context, path, this.theme.halo, width + 2);
    this.stroke(context, path, colour, width);
  }

  dot(context, place, radius, colour) {
    context.beginPath();
    context.arc(this.toX(place[0]), this.toY(place[1]), radius, 0, 7);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = this.theme.halo;
    context.stroke();
  }
}

const newPath = (context) => context.path?.() ?? new Path2D();
const shortened = (text, most) => (text.length <= most ? text : text.slice(0, most - 1) + "…");

// Round values between two ends, three to eight.
function ticks(low, high) {
  const rough = (high - low) / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(+(n * step).toFixed(digits));
  return found;
}
