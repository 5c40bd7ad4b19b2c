// The images of a plane, decoded beforehand on a lattice; between them we interpolate.

class Lattice {
  constructor(images, judged, facts, box, shape, classes) {
    Object.assign(this, { images, judged, box, shape, classes });
    this.columns = facts.columns;
    this.rows = facts.rows;
    this.pixels = shape[0] * shape[1] * shape[2];
  }

  static async unpack(packed, box, shape, classes) {
    const [images, judged] = await Promise.all([unpack(packed.images), unpack(packed.judged)]);
    return new Lattice(images, judged, packed, box, shape, classes);
  }

  // Bilinear interpolation of `width` values a knot.
  mixed(values, width, x, y) {
    const [left, right, low, high] = this.box;
    const u = ((x - left) / (right - left)) * (this.columns - 1);
    const v = ((y - low) / (high - low)) * (this.rows - 1);
    const column = Math.min(Math.max(Math.floor(u), 0), this.columns - 2);
    const row = Math.min(Math.max(Math.floor(v), 0), this.rows - 2);
    const fx = Math.min(Math.max(u - column, 0), 1), fy = Math.min(Math.max(v - row, 0), 1);
    const a = (row * this.columns + column) * width, b = a + width;
    const c = a + this.columns * width, d = c + width;
    const wa = (1 - fx) * (1 - fy), wb = fx * (1 - fy), wc = (1 - fx) * fy, wd = fx * fy;
    const result = new Float32Array(width);
    for (let i = 0; i < width; i++) {
      result[i] = wa * values[a + i] + wb * values[b + i] + wc * values[c + i] + wd * values[d + i];
    }
    return result;
  }

  // Values 0 to 255, [C, H, W].
  image(x, y) {
    return this.mixed(this.images, this.pixels, x, y);
  }

  // What the image judge says: the likeliest class and its probability.
  verdict(x, y) {
    return likeliest(this.mixed(this.judged, this.classes, x, y), 255);
  }

  // The image judge's verdicts as a map, which knows how sure each is.
  map(cells) {
    const [left, right, low, high] = this.box;
    const rows = this.rows > 2 ? cells : 1;
    const verdicts = new Uint16Array(cells * rows), sure = new Float32Array(cells * rows);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cells; c++) {
        const x = left + ((c + 0.5) / cells) * (right - left), y = low + ((r + 0.5) / rows) * (high - low);
        [verdicts[r * cells + c], sure[r * cells + c]] = this.verdict(x, y);
      }
    }
    return Object.assign(new ClassMap(verdicts, cells, rows, this.box, 65535), { sure });
  }
}

function likeliest(probabilities, scale) {
  let best = 0;
  for (let k = 1; k < probabilities.length; k++) if (probabilities[k] > probabilities[best]) best = k;
  return [best, probabilities[best] / scale];
}

const PROFILE = 32; // pixels that the picture of a vector is high, and at least about as wide

// [width, height, columns a value] of the picture of an image. A vector, which is an image of one row,
// is drawn as its profile: each value is a column that is bright as far up as the value, with a line
// above and beside them all.
function pictureSize([, height, width]) {
  if (height > 1 || width === 1) return [width, height, 0];
  const times = Math.ceil(PROFILE / width);
  return [width * times + 1, PROFILE + 1, times];
}

// Values 0 to 255, [C, H, W], as pixels. One channel is grey; with an ink it is that ink on a ground.
function toPixels(values, shape, ink = null, ground = null) {
  const [width, height, times] = pictureSize(shape);
  const image = new ImageData(width, height);
  const size = shape[1] * shape[2];
  for (let i = 0; i < width * height; i++) {
    const x = i % width, y = Math.floor(i / width);
    const at = times ? Math.floor(x / times) : i;
    for (let k = 0; k < 3; k++) {
      let value = values[shape[0] >= 3 ? k * size + at : at];
      if (times && (y === 0 || x === width - 1)) value = 76;
      else if (times) value = Math.min(Math.max(value * PROFILE - 255 * (PROFILE - y), 0), 255);
      image.data[4 * i + k] = ink ? ground[k] + ((ink[k] - ground[k]) * value) / 255 : value;
    }
    image.data[4 * i + 3] = 255;
  }
  return image;
}

function show(canvas, values, shape) {
  const [width, height] = pictureSize(shape);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.getContext("2d").putImageData(toPixels(values, shape), 0, 0);
}

// A button with an image on it, and what it is called.
function pictureButton(values, shape, name, press) {
  const [button, canvas] = [document.createElement("button"), document.createElement("canvas")];
  canvas.className = "image";
  show(canvas, values, shape);
  button.type = "button";
  button.setAttribute("aria-label", name);
  button.append(canvas);
  button.addEventListener("click", press);
  return button;
}
