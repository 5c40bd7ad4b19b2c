// A path across the plane, straight or with a turn: what both judges say at each of its steps.

const STEPS = 64;

class Path {
  // The corners, and the share of its length at which it turns.
  constructor(corners, turn = 1) {
    Object.assign(this, { corners, turn });
    this.places = Array.from({ length: STEPS }, (_, i) => this.place(i / (STEPS - 1)));
  }

  // As read off the page's own map and lattice.
  static read(run, corners) {
    const path = new Path(corners);
    const judged = path.places.map((place) => run.lattice.verdict(...place));
    return path.seen({
      exact: false,
      latent: path.places.map((place) => run.map.at(...place) ?? -1),
      image: judged.map(([c]) => c),
      sure: judged.map(([, sure]) => sure),
      imageAt: (step) => run.lattice.image(...path.places[step]),
    });
  }

  // At each step the class for either judge, how sure the second one is, and the image; the
  // classes that the path joins, where these were chosen.
  seen({ exact, latent, image, sure, imageAt, ends = null }) {
    const [from, to] = ends ?? [latent[0], latent.at(-1)];
    return Object.assign(this, { exact, latent, image, sure, imageAt, ends, from, to });
  }

  place(t) {
    const [first, last] = [this.corners[0], this.corners.at(-1)];
    const mid = this.corners.length > 2 ? this.corners[1] : last;
    if (t <= this.turn) return mix(first, mid, this.turn ? t / this.turn : 0);
    return mix(mid, last, (t - this.turn) / (1 - this.turn));
  }

  // The classes in order, each stretch once.
  get met() {
    return this.latent.filter((c, i) => c !== this.latent[i - 1]);
  }

  // One crossing from the first class to the last one, but for a flicker of 1/64: is_direct in Python.
  get direct() {
    const { latent, from, to } = this;
    if (from === to || from < 0 || to < 0 || latent[0] !== from || latent.at(-1) !== to) return false;
    let amiss = latent.filter((c) => c !== to).length;
    let fewest = Infinity;
    for (const c of latent.slice(0, -1)) {
      amiss += (c !== from) - (c !== to);
      fewest = Math.min(fewest, amiss);
    }
    return fewest <= latent.length / 64;
  }

  // In the words of `dvae morph`.
  say(name) {
    const { met, from, to } = this;
    if (this.direct) return "The way is direct";
    if (met.length === 1) return met[0] < 0 ? "Void all the way" : "Stays in one region";
    const others = [...new Set(met)].filter((c) => c >= 0 && c !== from && c !== to).sort((a, b) => a - b);
    if (met.includes(-1)) others.push(-1);
    if (others.length) return `The way crosses ${others.map(name).join(", ")}`;
    if (from === to) return "Leaves its region and comes back";
    return "The way crosses the border more than once";
  }
}

// Ways that were judged exactly, packed together.
class Judged {
  static async unpack(packed) {
    const classes = async (map) =>
      Array.from(await unpack(map), (c) => (c === (map.dtype === "uint8" ? 255 : 65535) ? -1 : c));
    const [latent, image, sure, images] = await Promise.all([
      classes(packed.latent), classes(packed.image), unpack(packed.percent), packed.images && unpack(packed.images),
    ]);
    const { paths, frames } = packed;
    return Object.assign(new Judged(), { paths, frames, latent, image, sure, images });
  }

  find(a, b, route) {
    return this.paths.findIndex((path) => path.a === a && path.b === b && path.route === route);
  }

  // One of the paths between classes, on a plane.
  between(index, plane, lattice) {
    const { a, b, turn, corners } = this.paths[index];
    return this.fill(new Path(corners[plane], turn), index, lattice, [a, b]);
  }

  // Where there was no room for its images they are read off the plane.
  fill(path, index, lattice, ends) {
    const cut = (all) => Array.from(all.slice(index * STEPS, (index + 1) * STEPS));
    return path.seen({
      exact: true, ends,
      latent: cut(this.latent), image: cut(this.image), sure: cut(this.sure).map((p) => p / 100),
      imageAt: this.images ? (step) => this.frame(index, step) : (step) => lattice.image(...path.places[step]),
    });
  }

  // Between the kept images they are mixed.
  frame(index, step) {
    const { images, frames } = this;
    const size = images.length / (frames * (this.latent.length / STEPS));
    const at = (step / (STEPS - 1)) * (frames - 1);
    const low = Math.min(Math.floor(at), frames - 2), share = at - low;
    const one = (index * frames + low) * size, result = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      result[i] = (1 - share) * images[one + i] + share * images[one + size + i];
    }
    return result;
  }
}
