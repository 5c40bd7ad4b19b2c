// With a server behind the page: exact images at the pointer, and a canvas to draw on.

const REST = 60; // milliseconds for which a pointer rests before the exact image is asked for
const PAPER = 224; // pixels along the longer side of the canvas

class Live {
  constructor(run) {
    this.run = run;
    this.card = run.find(".draw");
    this.card.hidden = run.facts.shape[1] === 1; // nobody draws a vector
    this.paper = this.card.querySelector(".paper");
    this.centre = this.card.querySelector(".centre");
    this.ink = this.card.querySelector(".ink");
    const [channels, height, width] = run.facts.shape;
    this.grey = channels === 1;
    this.centre.checked = this.grey;
    this.card.querySelector(".centred").hidden = !this.grey;
    this.card.querySelector(".inked").hidden = this.grey;
    const scale = PAPER / Math.max(width, height);
    this.paper.width = Math.round(width * scale);
    this.paper.height = Math.round(height * scale);
    this.pen = this.paper.getContext("2d", { willReadFrequently: true });
    this.ground = this.usualGround();
    this.ink.value = this.ground[0] < 128 ? "#ffffff" : "#000000";
    this.wipe();
    this.listen();
    run.onPoint = (x, y) => this.sharpen(x, y);
    run.onLine = (path) => this.judge(path);
    run.beyond.move = (wanted) => this.ask("move", wanted);
    run.beyond.show(run.planeIndex);
  }

  async ask(verb, question) {
    const answer = await fetch(`/${this.run.index}/${verb}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
    });
    if (!answer.ok) throw new Error(`${verb}: ${answer.status}`);
    return answer.json();
  }

  // The exact image in place of the interpolated one.
  sharpen(x, y) {
    clearTimeout(this.resting);
    this.resting = setTimeout(async () => {
      const { run } = this;
      const plane = run.planeIndex;
      const asked = { plane, place: [x, y], offsets: run.beyond.offsets };
      const exact = await this.ask("decode", asked).catch(() => null);
      const still = plane === run.planeIndex && run.pointer[0] === x && run.pointer[1] === y &&
        String(asked.offsets) === String(run.beyond.offsets);
      if (!exact || run.past || !still) return;
      run.tell(x, y, { latent: exact.latent, judged: exact.seen, image: exact.image });
      run.find(".where").append(" (exact)");
    }, REST);
  }

  // The exact line in place of the one that was read off the page. An answer that is lost is asked
  // for again, as long as the line is the one that is shown.
  async judge(path) {
    const { run } = this;
    const asked = { plane: run.planeIndex, ends: path.corners, offsets: run.beyond.offsets };
    for (let times = 0; times < 4 && run.morph.path === path; times++) {
      const answer = await this.ask("line", asked).catch(() => null);
      const judged = answer && (await Judged.unpack(answer));
      if (judged && run.morph.path === path) run.morph.take(judged.fill(new Path(path.corners), 0));
      if (judged) return;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  // The commonest colour at the rims of test images.
  usualGround() {
    const { real, facts: { shape: [channels, height, width] } } = this.run;
    const size = height * width;
    return Array.from({ length: channels }, (_, k) => {
      const rim = [];
      for (let i = 0; i < real.length; i += channels * size) {
        for (let x = 0; x < width; x++) rim.push(real[i + k * size + x], real[i + (k + 1) * size - 1 - x]);
      }
      rim.sort((a, b) => a - b);
      return rim[rim.length >> 1];
    });
  }

  wipe() {
    const ground = this.grey ? Array(3).fill(this.ground[0]) : this.ground.slice(0, 3);
    this.pen.fillStyle = css(ground);
    this.pen.fillRect(0, 0, this.paper.width, this.paper.height);
    this.given = false;
  }

  listen() {
    let last = null;
    const at = (event) => {
      const box = this.paper.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * this.paper.width, ((event.clientY - box.top) / box.height) * this.paper.height];
    };
    const stroke = (from, to) => {
      this.pen.strokeStyle = this.ink.value;
      this.pen.lineWidth = PAPER / 13;
      this.pen.lineCap = "round";
      this.pen.beginPath();
      this.pen.moveTo(...from);
      this.pen.lineTo(...to);
      this.pen.stroke();
      this.send();
    };
    this.paper.addEventListener("pointerdown", (event) => {
      if (this.given) this.wipe();
      this.paper.setPointerCapture(event.pointerId);
      last = at(event);
      stroke(last, last);
    });
    this.paper.addEventListener("pointermove", (event) => {
      if (!last) return;
      const here = at(event);
      stroke(last, here);
      last = here;
    });
    for (const end of ["pointerup", "pointercancel"]) this.paper.addEventListener(end, () => (last = null));
    this.card.querySelector(".wipe").addEventListener("click", () => {
      this.wipe();
      this.card.querySelector(".landed").hidden = true;
    });
    this.centre.addEventListener("change", () => this.send());
    const take = async (file) => {
      const picture = file && (await createImageBitmap(file).catch(() => null));
      this.card.querySelector(".refused").hidden = Boolean(picture);
      if (!picture) return;
      this.wipe();
      const { width, height } = this.paper;
      const scale = Math.min(width / picture.width, height / picture.height);
      const [w, h] = [picture.width * scale, picture.height * scale];
      this.pen.imageSmoothingQuality = "high";
      this.pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
      this.given = true;
      this.send();
    };
    const chooser = this.card.querySelector(".file");
    chooser.addEventListener("change", () => take(chooser.files[0]));
    this.card.addEventListener("dragover", (event) => event.preventDefault());
    this.card.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer.files[0]);
    });
  }

  // What the network is given: the paper at its size, values 0 to 255, [C, H, W].
  pixels() {
    const [channels, height, width] = this.run.facts.shape;
    const small = document.createElement("canvas");
    [small.width, small.height] = [width, height];
    const pen = small.getContext("2d", { willReadFrequently: true });
    pen.imageSmoothingQuality = "high";
    const box = this.grey && this.centre.checked && !this.given ? this.inkBox() : null;
    if (box) {
      pen.fillStyle = css(Array(3).fill(this.ground[0]));
      pen.fillRect(0, 0, width, height);
      // As MNIST's digits are: the longer side 20 of 28 pixels, the centre of mass in the middle.
      const scale = ((20 / 28) * Math.max(width, height)) / Math.max(box.right - box.left, box.low - box.top);
      pen.setTransform(scale, 0, 0, scale, width / 2 - scale * box.x, height / 2 - scale * box.y);
    } else {
      pen.setTransform(width / this.paper.width, 0, 0, height / this.paper.height, 0, 0);
    }
    pen.drawImage(this.paper, 0, 0);
    const { data } = pen.getImageData(0, 0, width, height);
    const values = [];
    for (let k = 0; k < channels; k++) {
      for (let i = 0; i < width * height; i++) {
        const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
        values.push(this.grey ? Math.round(0.299 * r + 0.587 * g + 0.114 * b) : k < 3 ? [r, g, b][k] : 255);
      }
    }
    return values;
  }

  // Where there is ink: its sides and its centre of mass, or null for none.
  inkBox() {
    const { width, height } = this.paper;
    const { data } = this.pen.getImageData(0, 0, width, height);
    const box = { left: width, right: 0, top: height, low: 0, x: 0, y: 0 };
    let mass = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const ink = Math.abs(data[4 * (y * width + x)] - this.ground[0]);
        if (ink < 64) continue;
        mass += ink;
        box.x += ink * x;
        box.y += ink * y;
        box.left = Math.min(box.left, x);
        box.right = Math.max(box.right, x + 1);
        box.top = Math.min(box.top, y);
        box.low = Math.max(box.low, y + 1);
      }
    }
    return mass ? { ...box, x: box.x / mass, y: box.y / mass } : null;
  }

  // One question at a time; what was drawn meanwhile is asked about next.
  async send() {
    this.changed = true;
    if (this.asking) return;
    this.asking = true;
    while (this.changed) {
      this.changed = false;
      const pixels = this.pixels();
      const answer = await this.ask("encode", { pixels }).catch(() => null);
      if (answer) this.tell(pixels, answer);
    }
    this.asking = false;
  }

  async tell(pixels, answer) {
    const { run, card } = this;
    if (run.past) await run.epochs.goToNow();
    card.querySelector(".landed").hidden = false;
    show(card.querySelector(".given"), pixels, run.facts.shape);
    show(card.querySelector(".returned"), answer.image, run.facts.shape);
    const judged = ([c, sure]) => [run.chip(c), ` ${percent(sure)}`];
    card.querySelector(".lands").replaceChildren("lands in ", run.chip(answer.latent));
    card.querySelector(".given-verdict").replaceChildren("looks like ", ...judged(answer.given));
    card.querySelector(".returned-verdict").replaceChildren("comes back as ", ...judged(answer.seen));
    run.pointAt(...answer.places[run.planeIndex]);
  }
}
