// Between two epochs: the regions grow from one map's into the other's, the points move along.

const FINE = 100; // cells along each side of a map in between

class Frame {
  // A map, the places of some test images ([x, y, ...]) or null, and the epoch that they are of.
  constructor(map, points, at) {
    Object.assign(this, { map, points, at });
  }

  // How deep each cell lies in the region of each class; negative is how far from it.
  get depths() {
    return (this.kept ??= depthsOf(this.map));
  }
}

// What lies between two frames: at 0 the first, at 1 the other.
function between(one, other, t) {
  const box = mix(one.map.box, other.map.box, t);
  const points = one.points && other.points && one.points.map((value, i) => value + t * (other.points[i] - value));
  return new Frame(new ClassMap(owners(one.depths, other.depths, t), FINE, one.depths.rows, box, 65535), points, null);
}

function owners(one, other, t) {
  const count = FINE * one.rows;
  const cells = new Uint16Array(count), best = new Float32Array(count).fill(-Infinity);
  for (const c of new Set([...one.of.keys(), ...other.of.keys()])) {
    const a = one.of.get(c), b = other.of.get(c);
    for (let i = 0; i < count; i++) {
      const depth = (1 - t) * (a ? a[i] : -FINE / 4) + t * (b ? b[i] : -FINE / 4);
      if (depth > best[i]) [best[i], cells[i]] = [depth, c];
    }
  }
  return cells;
}

function depthsOf(map) {
  const rows = map.flat ? 1 : FINE;
  const cells = new Uint16Array(FINE * rows);
  for (let r = 0; r < rows; r++) {
    const row = map.flat ? 0 : Math.floor(((r + 0.5) / rows) * map.rows);
    for (let c = 0; c < FINE; c++) {
      const cell = map.cells[row * map.columns + Math.floor(((c + 0.5) / FINE) * map.columns)];
      cells[r * FINE + c] = cell === map.void ? 65535 : cell;
    }
  }
  const of = new Map();
  for (const c of new Set(cells)) {
    const [from, to] = [distances(cells, rows, (cell) => cell !== c), distances(cells, rows, (cell) => cell === c)];
    of.set(c, from.map((depth, i) => depth - to[i]));
  }
  return { of, rows };
}

// From each cell to the nearest that is of a kind, in cells, all around (Borgefors, 1986).
function distances(cells, rows, kind) {
  const away = Float32Array.from(cells, (cell) => (kind(cell) ? 0 : FINE));
  const sweep = (way) => {
    const [r0, c0] = way > 0 ? [0, 0] : [rows - 1, FINE - 1];
    for (let r = r0; r >= 0 && r < rows; r += way) {
      for (let c = c0; c >= 0 && c < FINE; c += way) {
        const i = r * FINE + c, above = r - way >= 0 && r - way < rows;
        const left = c - way >= 0 && c - way < FINE, right = c + way >= 0 && c + way < FINE;
        let least = away[i];
        if (left) least = Math.min(least, away[i - way] + 1);
        if (above) {
          const up = i - way * FINE;
          least = Math.min(least, away[up] + 1);
          if (left) least = Math.min(least, away[up - way] + 1.41);
          if (right) least = Math.min(least, away[up + way] + 1.41);
        }
        away[i] = least;
      }
    }
  };
  sweep(1);
  sweep(-1);
  return away;
}
