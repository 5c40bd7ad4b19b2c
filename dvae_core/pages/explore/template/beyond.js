// Sliders that move the plane along the axes beyond it, in standard deviations of the test means.

class Beyond {
  constructor(run, card) {
    this.run = run;
    this.card = card;
    this.sliders = card.querySelector(".sliders");
    this.move = null; // a server's way to move a plane, along all axes at once
    card.querySelector(".level").addEventListener("click", () => this.level());
  }

  // The sliders of a plane, all in the middle.
  show(plane) {
    const { run, card } = this;
    const { beyond } = run.facts.planes[plane];
    card.hidden = !beyond.length;
    this.times = beyond.map(() => 0);
    this.drawn = [...this.times]; // where the plane is that one sees
    this.wish = null;
    const here = beyond.map((_, axis) => axis).filter((axis) => this.move || this.known(plane, axis).length);
    this.rows = here.map((axis) => this.row(axis, beyond[axis]));
    this.sliders.replaceChildren(...this.rows.map(({ label }) => label));
    card.querySelector(".level").hidden = !here.length;
    this.howItMoves = this.how(plane, here.length, beyond.length);
    this.say(this.howItMoves);
    this.tell();
  }

  known(plane, axis) {
    return plane === 0 ? this.run.facts.moved.filter((one) => one.axis === axis) : [];
  }

  row(axis, name) {
    const label = document.createElement("label");
    const [slider, said] = [document.createElement("input"), document.createElement("output")];
    const title = document.createElement("span");
    title.textContent = name;
    Object.assign(slider, { type: "range", ...(this.move ? { min: -3, max: 3, step: 0.1 } : { min: -2, max: 2, step: 1 }) });
    slider.value = 0;
    slider.addEventListener("input", () => this.set(axis, +slider.value, true));
    slider.addEventListener("change", () => this.set(axis, +slider.value, false));
    label.append(title, slider, said);
    return { axis, label, slider, said };
  }

  get offsets() {
    const { spread } = this.run.facts.planes[this.run.planeIndex];
    return this.times.some(Boolean) ? this.times.map((times, axis) => times * spread[axis]) : [];
  }

  level() {
    this.times.fill(0);
    this.apply(false);
  }

  set(axis, times, quick) {
    if (!this.move) this.times.fill(0); // one at a time
    this.times[axis] = times;
    this.apply(quick);
  }

  // To so many standard deviations along the axes, as far as the plane can be moved here.
  goTo(times) {
    const wanted = this.times.map(() => 0);
    for (const { axis, slider } of this.rows) {
      const at = Math.min(Math.max(times[axis] || 0, slider.min), slider.max);
      const only = this.move || !wanted.some(Boolean); // without a server one at a time
      if (only) wanted[axis] = this.move ? at : Math.round(at);
    }
    if (String(wanted) === String(this.times)) return;
    this.times.splice(0, Infinity, ...wanted);
    this.apply(false);
  }

  say(text) {
    this.card.querySelector(".how").textContent = text;
  }

  tell() {
    const { spread } = this.run.facts.planes[this.run.planeIndex];
    for (const { axis, slider, said } of this.rows) {
      slider.value = this.times[axis];
      const offset = this.times[axis] * spread[axis];
      said.textContent = `${offset > 0 ? "+" : ""}${offset.toFixed(2)}`;
      slider.setAttribute("aria-valuetext", `${said.textContent} from the plane`);
    }
    this.card.querySelector(".level").disabled = !this.times.some(Boolean);
  }

  // One move after another; of the wishes that come meanwhile the latest counts.
  async apply(quick) {
    this.tell();
    this.run.clearPath(); // it was one of the plane before; what is drawn from now on is of this one
    this.wish = { quick };
    if (this.moving) return;
    this.moving = true;
    while (this.wish) {
      const plane = this.run.planeIndex, { times, wish } = this, there = [...times];
      this.wish = null;
      const found = await this.ground(plane, wish.quick).catch(() => null);
      // Another plane, or this one again, has begun with sliders of its own.
      if (plane !== this.run.planeIndex || times !== this.times) continue;
      if (found) {
        this.drawn = there;
        this.run.setGround(...found);
        this.say(this.howItMoves);
      } else if (!this.wish) {
        times.splice(0, Infinity, ...this.drawn);
        this.tell();
        this.say("The plane could not be moved, and is where it was. Does dvae explore --serve still run?");
      }
    }
    this.moving = false;
  }

  // The map and the images of the plane where it is now.
  async ground(plane, quick) {
    const { facts, unpacked } = this.run;
    const axis = this.times.findIndex(Boolean);
    if (axis < 0) return unpacked[plane].slice(1);
    const packed = this.move ? await this.move({ plane, offsets: this.offsets, quick })
      : this.known(plane, axis).find(({ times }) => times === this.times[axis]);
    const { box } = facts.planes[plane];
    return Promise.all([
      ClassMap.unpack(packed.map, box), Lattice.unpack(packed.lattice, box, facts.shape, facts.classes.length),
    ]);
  }

  how(plane, here, all) {
    const { planes, moved } = this.run.facts;
    if (this.move) return "Under the pointer everything is decoded and judged exactly.";
    if (!moved.length) return "In this file planes stay where they are; dvae explore --serve moves each, exactly.";
    if (!here) return `In this file only the plane of ${planes[0].name} moves; dvae explore --serve moves each.`;
    const lattices = moved.map(({ lattice }) => lattice);
    const most = (key) => (100 * Math.max(...lattices.map((one) => one[key]))).toFixed(1);
    return `One axis at a time, at five offsets${here < all ? `, along the ${here} of ${all} axes with the most spread` : ""}. ` +
      `Away from the middle images come from a coarser lattice of ${lattices[0].columns} × ${lattices[0].rows} ` +
      `(mean error up to ${most("error")} %, ${most("worst")} % for the worst image). ` +
      "dvae explore --serve moves along all axes at once, exactly.";
  }
}
