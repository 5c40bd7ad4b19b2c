// A judge's map of a plane: whose each place is, where the borders run, where names fit.

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

  // A picture of the areas in a window, pixel by pixel: borders are rounded, void is left clear.
  picture(colours, window, width, height) {
    const { cells, columns, rows } = this;
    const [left, right, low, high] = this.box;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    const shades = new Uint32Array(image.data.buffer);
    const packed = colours.map(([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
    const across = (columns * (window[1] - window[0])) / (right - left) / width; // cells a pixel
    const first = (columns * (window[0] - left)) / (right - left) - 0.5;
    const down = (rows * (window[3] - window[2])) / (high - low) / height;
    const highest = (rows * (window[3] - low)) / (high - low) - 0.5;
    for (let py = 0; py < height; py++) {
      const v = highest - (py + 0.5) * down; // row 0 lies lowest
      const row = Math.min(Math.max(Math.floor(v), 0), rows - 2), fy = Math.min(Math.max(v - row, 0), 1);
      for (let px = 0; px < width;) {
        const u = first + (px + 0.5) * across;
        const column = Math.min(Math.max(Math.floor(u), 0), columns - 2);
        const end = column === columns - 2 ? width : Math.min(width, Math.max(px + 1, Math.ceil((column + 1 - first) / across - 0.5)));
        const i = row * columns + column;
        const a = cells[i], b = cells[i + 1], c = cells[i + columns], d = cells[i + columns + 1];
        const at = py * width;
        if (a === b && b === c && c === d) {
          if (a !== this.void) shades.fill(packed[a], at + px, at + end);
          px = end;
        } else {
          for (; px < end; px++) {
            const fx = Math.min(Math.max(first + (px + 0.5) * across - column, 0), 1);
            const cell = strongest(a, b, c, d, fx, fy);
            if (cell !== this.void) shades[at + px] = packed[cell];
          }
        }
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  // A colour over a window of the map, thicker where the judge is less sure.
  veil(colour, window, width, height) {
    const [left, right, low, high] = this.box;
    const key = String(colour);
    if (this.doubts?.key !== key) this.doubts = { key, cells: this.drawDoubts(colour) };
    const { cells } = this.doubts, { width: columns, height: rows } = cells;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const x = ((window[0] - left) / (right - left)) * columns, y = ((high - window[3]) / (high - low)) * rows;
    const across = ((window[1] - window[0]) / (right - left)) * columns, down = ((window[3] - window[2]) / (high - low)) * rows;
    canvas.getContext("2d").drawImage(cells, x, y, across, down, 0, 0, width, height);
    return canvas;
  }

  // The same cell by cell, which the whole map shares however the view moves.
  drawDoubts([r, g, b]) {
    const { columns } = this, rows = this.sure.length / columns;
    const image = new ImageData(columns, rows);
    this.sure.forEach((sure, i) => {
      const at = 4 * ((rows - 1 - Math.floor(i / columns)) * columns + (i % columns)); // row 0 lies lowest
      image.data.set([r, g, b, 255 * Math.min(Math.max(1 - sure, 0), 1)], at);
    });
    const cells = document.createElement("canvas");
    [cells.width, cells.height] = [columns, rows];
    cells.getContext("2d").putImageData(image, 0, 0);
    return cells;
  }

  // The borders between classes, or between two of them, as a path in pixels: where two cells
  // differ it passes between them, and it turns smoothly from one such place to the next.
  borders(toX, toY, pair = null, pen = new Path2D()) {
    const { cells, columns, rows } = this;
    const [left, right, low, high] = this.box;
    const x = (c) => toX(left + ((c + 0.5) / columns) * (right - left));
    const y = (r) => toY(low + (this.flat ? r : (r + 0.5) / rows) * (high - low));
    const across = (one, other) =>
      one !== other && one !== this.void && other !== this.void &&
      (!pair || (pair.includes(one) && pair.includes(other)));
    // The middle of the border within the square of four cells, whose lower left one is at c, r.
    const middle = (c, r) => {
      if (c < 0 || r < 0 || c >= columns - 1 || r >= rows - 1) return null;
      const i = r * columns + c;
      const a = cells[i], b = cells[i + 1], d = cells[i + columns], e = cells[i + columns + 1];
      const ends = [];
      if (across(a, b)) ends.push([0.5, 0]);
      if (across(d, e)) ends.push([0.5, 1]);
      if (across(a, d)) ends.push([0, 0.5]);
      if (across(b, e)) ends.push([1, 0.5]);
      const [u, v] = ends.length === 2 ? mix(ends[0], ends[1], 0.5) : [0.5, 0.5];
      return [x(c + u), y(r + v)];
    };
    const join = (one, over, other) => {
      pen.moveTo(...(one ?? over));
      pen.quadraticCurveTo(...over, ...(other ?? over));
    };
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const i = r * columns + c;
        if (c + 1 < columns && across(cells[i], cells[i + 1])) {
          join(middle(c, r - 1), [x(c + 0.5), y(r)], middle(c, r));
        }
        if (r + 1 < rows && across(cells[i], cells[i + columns])) {
          join(middle(c - 1, r), [x(c), y(r + 0.5)], middle(c, r));
        }
      }
    }
    return pen;
  }

  // For each class the place in a window that is farthest from all others, or null for none.
  roomiest(classes, window = this.box) {
    const key = `${classes} ${window}`;
    if (this.roomy?.key !== key) this.roomy = { key, places: this.findRoomiest(classes, window) };
    return this.roomy.places;
  }

  findRoomiest(classes, window) {
    const [left, right, low, high] = this.box;
    const { flat } = this;
    const within = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
    const column = (x) => within(((x - left) / (right - left)) * this.columns, this.columns);
    const line = (y) => within(((y - low) / (high - low)) * this.rows, this.rows);
    const [c0, c1] = [column(window[0]), column(window[1])];
    const [r0, r1] = flat ? [0, 2] : [line(window[2]), line(window[3])];
    const columns = c1 - c0, rows = r1 - r0;
    const cells = new Uint16Array(Math.max(columns * rows, 0));
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) cells[r * columns + c] = this.cells[(r0 + r) * this.columns + c0 + c];
    }
    const deep = new Float32Array(cells.length).fill(1e9);
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
    return best.map((i) => i < 0 || deep[i] < 2 ? null : [
      left + ((c0 + (i % columns) + 0.5) / this.columns) * (right - left),
      low + ((r0 + ((i / columns) | 0) + (flat ? 1 : 0.5)) / this.rows) * (high - low),
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
