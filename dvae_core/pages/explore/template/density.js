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
  }

  // The density that is exceeded where a share of the points lies.
  level(share) {
    const falling = this.cells.slice().sort().reverse();
    const total = falling.reduce((sum, value) => sum + value, 0);
    let held = 0;
    for (const value of falling) {
      held += value;
      if (held >= share * total) return value;
    }
    return 0;
  }

  // The line along a level, as a path in pixels; none where nothing lies.
  line(share, toX, toY, pen) {
    const { cells, box: [left, right, low, high] } = this, n = DENSITY_CELLS, level = this.level(share);
    if (!level) return pen;
    const x = (c) => toX(left + ((c + 0.5) / n) * (right - left)), y = (r) => toY(low + ((r + 0.5) / n) * (high - low));
    for (let r = 0; r < n - 1; r++) {
      for (let c = 0; c < n - 1; c++) {
        const i = r * n + c;
        // Around the square of four cells, where its sides cross the level.
        const corners = [[c, r, cells[i]], [c + 1, r, cells[i + 1]], [c + 1, r + 1, cells[i + n + 1]], [c, r + 1, cells[i + n]]];
        const crossed = [];
        corners.forEach(([ac, ar, a], k) => {
          const [bc, br, b] = corners[(k + 1) % 4];
          if (a >= level === b >= level) return;
          const t = (level - a) / (b - a);
          crossed.push([x(ac + t * (bc - ac)), y(ar + t * (br - ar))]);
        });
        for (let k = 0; k + 1 < crossed.length; k += 2) {
          pen.moveTo(...crossed[k]);
          pen.lineTo(...crossed[k + 1]);
        }
      }
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
