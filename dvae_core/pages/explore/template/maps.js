// A judge's map of a plane: whose each place is, where the borders run, where names fit.

const SMOOTH = 3; // pixels a cell, along each side

class ClassMap {
  constructor(cells, columns, rows, box, isVoid) {
    this.flat = rows === 1;
    if (this.flat) { // a latent line: the same all the way up
      cells = new cells.constructor([...cells, ...cells]);
      rows = 2;
    }
    Object.assign(this, { cells, columns, rows, box, void: isVoid });
  }

  static async unpack(packed, box) {
    const cells = await unpack(packed);
    return new ClassMap(cells, packed.shape[1], packed.shape[0], box, packed.dtype === "uint8" ? 255 : 65535);
  }

  // The class at a place; -1 is void, null out of the map.
  at(x, y) {
    const [left, right, low, high] = this.box;
    const column = Math.floor(((x - left) / (right - left)) * this.columns);
    const row = Math.floor(((y - low) / (high - low)) * this.rows);
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) return null;
    const cell = this.cells[row * this.columns + column];
    return cell === this.void ? -1 : cell;
  }

  // A picture of the areas, the borders rounded, void left clear.
  picture(colours) {
    const { cells, columns, rows } = this;
    const canvas = document.createElement("canvas");
    const width = (canvas.width = columns * SMOOTH), height = (canvas.height = rows * SMOOTH);
    const image = new ImageData(width, height);
    const shades = new Uint32Array(image.data.buffer);
    const packed = colours.map(([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
    for (let py = 0; py < height; py++) {
      const v = (height - 1 - py + 0.5) / SMOOTH - 0.5; // row 0 lies lowest
      const row = Math.min(Math.max(Math.floor(v), 0), rows - 2), fy = Math.min(Math.max(v - row, 0), 1);
      for (let px = 0; px < width; px++) {
        const u = (px + 0.5) / SMOOTH - 0.5;
        const column = Math.min(Math.max(Math.floor(u), 0), columns - 2), fx = Math.min(Math.max(u - column, 0), 1);
        const i = row * columns + column;
        const cell = strongest(cells[i], cells[i + 1], cells[i + columns], cells[i + columns + 1], fx, fy);
        if (cell !== this.void) shades[py * width + px] = packed[cell];
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  // The borders between classes, or between two of them, as a path in pixels.
  borders(toX, toY, pair = null) {
    const { cells, columns, rows } = this;
    const [left, right, low, high] = this.box;
    const x = (c) => toX(left + ((c + 0.5) / columns) * (right - left));
    const y = (r) => toY(low + (this.flat ? r : (r + 0.5) / rows) * (high - low));
    const across = (one, other) =>
      one !== other && one !== this.void && other !== this.void &&
      (!pair || (pair.includes(one) && pair.includes(other)));
    const path = new Path2D();
    for (let r = 0; r < rows - 1; r++) {
      for (let c = 0; c < columns - 1; c++) {
        const i = r * columns + c;
        const a = cells[i], b = cells[i + 1], d = cells[i + columns], e = cells[i + columns + 1];
        if (a === b && b === d && d === e) continue;
        const ends = [];
        if (across(a, b)) ends.push([x(c + 0.5), y(r)]);
        if (across(d, e)) ends.push([x(c + 0.5), y(r + 1)]);
        if (across(a, d)) ends.push([x(c), y(r + 0.5)]);
        if (across(b, e)) ends.push([x(c + 1), y(r + 0.5)]);
        if (ends.length === 2) {
          path.moveTo(...ends[0]);
          path.lineTo(...ends[1]);
        } else {
          for (const end of ends) {
            path.moveTo(...end);
            path.lineTo(x(c + 0.5), y(r + 0.5));
          }
        }
      }
    }
    return path;
  }

  // For each class the place that is farthest from all others, or null where it owns nothing.
  roomiest(classes) {
    const { cells, columns, rows } = this;
    const deep = new Float32Array(cells.length).fill(1e9);
    const { flat } = this;
    for (let i = 0; i < cells.length; i++) {
      const c = i % columns, r = (i / columns) | 0;
      const edge = c === 0 || c === columns - 1 || (!flat && (r === 0 || r === rows - 1));
      if (edge || cells[i] !== cells[i - 1] || cells[i] !== cells[i + 1] ||
        (!flat && (cells[i] !== cells[i - columns] || cells[i] !== cells[i + columns]))) deep[i] = 1;
    }
    const near = [[-1, 1], [-columns, 1], [-columns - 1, 1.41], [-columns + 1, 1.41]];
    const relax = (i, way) => {
      for (const [step, cost] of near) {
        const j = i + way * step;
        if (j >= 0 && j < deep.length) deep[i] = Math.min(deep[i], deep[j] + cost);
      }
    };
    for (let i = 0; i < deep.length; i++) relax(i, 1);
    for (let i = deep.length - 1; i >= 0; i--) relax(i, -1);
    const best = new Array(classes).fill(-1);
    for (let i = 0; i < deep.length; i++) {
      const c = cells[i];
      if (c !== this.void && (best[c] < 0 || deep[i] > deep[best[c]])) best[c] = i;
    }
    const [left, right, low, high] = this.box;
    return best.map((i) => i < 0 || deep[i] < 2 ? null : [
      left + (((i % columns) + 0.5) / columns) * (right - left),
      low + ((((i / columns) | 0) + (flat ? 1 : 0.5)) / rows) * (high - low),
    ]);
  }
}

// Of four corners the class with the greatest bilinear weight.
function strongest(a, b, c, d, x, y) {
  if (a === b && b === c && c === d) return a;
  const wa = (1 - x) * (1 - y), wb = x * (1 - y), wc = (1 - x) * y, wd = x * y;
  const total = (k) => (k === a) * wa + (k === b) * wb + (k === c) * wc + (k === d) * wd;
  let best = a;
  for (const k of [b, c, d]) if (total(k) > total(best)) best = k;
  return best;
}
