// How densely points lie: lines around the densest places that hold half, 80 % and 95 % of them.

const SHARES = [0.95, 0.8, 0.5];
const DENSITY_CELLS = 96; // along each side
const SPREAD = 2; // cells over which each of three passes spreads a point; together about a normal density

class Density {
  constructor(points, keeps, box) {
    this.box = box;
    const [left, right, low, high] = box, n = DENSITY_CELLS;
    let cells = new Float32Array(n * n);
    keeps.forEach((kept, i) => {
      const c = Math.floor(((points[2 * i] - left) / (right - left)) * n);
      const r = Math.floor(((points[2 * i + 1] - low) / (high - low)) * n);
      if (kept && c >= 0 && r >= 0 && c < n && r < n) cells[r * n + c] += 1;
    });
    for (let pass = 0; pass < 3; pass++) cells = spread(spread(cells, 1, n), n, 1);
    this.cells = cells;
    const at = [];
    keeps.forEach((kept, i) => kept && at.push(this.at(points[2 * i], points[2 * i + 1])));
    at.sort((a, b) => a - b);
    this.lines = SHARES.map((share) => this.trace(at[Math.floor((1 - share) * at.length)] ?? 0));
  }

  // At a place, between the middles of cells; none out of the box.
  at(x, y) {
    const { cells, box: [left, right, low, high] } = this, n = DENSITY_CELLS;
    const u = ((x - left) / (right - left)) * n - 0.5, v = ((y - low) / (high - low)) * n - 0.5;
    const c = Math.floor(u), r = Math.floor(v);
    if (c < 0 || r < 0 || c >= n - 1 || r >= n - 1) return 0;
    const i = r * n + c, fx = u - c, fy = v - r;
    return (1 - fy) * ((1 - fx) * cells[i] + fx * cells[i + 1]) + fy * ((1 - fx) * cells[i + n] + fx * cells[i + n + 1]);
  }

  // The line along a level, in pieces [x, y, x, y]; none where nothing lies.
  trace(level) {
    const { cells, box: [left, right, low, high] } = this, n = DENSITY_CELLS, pieces = [];
    if (!level) return pieces;
    const place = (c, r) => [left + ((c + 0.5) / n) * (right - left), low + ((r + 0.5) / n) * (high - low)];
    for (let r = 0; r < n - 1; r++) {
      for (let c = 0; c < n - 1; c++) {
        const i = r * n + c;
        const above = (cells[i] >= level) + (cells[i + 1] >= level) + (cells[i + n] >= level) + (cells[i + n + 1] >= level);
        if (above === 0 || above === 4) continue;
        // Around the square of four cells, where its sides cross the level.
        const corners = [[c, r, cells[i]], [c + 1, r, cells[i + 1]], [c + 1, r + 1, cells[i + n + 1]], [c, r + 1, cells[i + n]]];
        const crossed = [];
        corners.forEach(([ac, ar, a], k) => {
          const [bc, br, b] = corners[(k + 1) % 4];
          if (a >= level === b >= level) return;
          const t = (level - a) / (b - a);
          crossed.push(place(ac + t * (bc - ac), ar + t * (br - ar)));
        });
        for (let k = 0; k + 1 < crossed.length; k += 2) pieces.push([...crossed[k], ...crossed[k + 1]]);
      }
    }
    return pieces;
  }

  // One of the lines, as a path in pixels.
  path(which, toX, toY, pen) {
    for (const [ax, ay, bx, by] of this.lines[which]) {
      pen.moveTo(toX(ax), toY(ay));
      pen.lineTo(toX(bx), toY(by));
    }
    return pen;
  }
}

// The mean of the cells around each along one side, given the steps to the next one and to the next line.
function spread(cells, next, line) {
  const n = DENSITY_CELLS, found = new Float32Array(n * n);
  for (let l = 0; l < n; l++) {
    for (let k = 0; k < n; k++) {
      let sum = 0;
      for (let by = -SPREAD; by <= SPREAD; by++) if (k + by >= 0 && k + by < n) sum += cells[l * line + (k + by) * next];
      found[l * line + k * next] = sum / (2 * SPREAD + 1);
    }
  }
  return found;
}
