// A pen with the strokes of a canvas context that the plane is drawn with; it writes SVG.

const SVG = "http://www.w3.org/2000/svg"; // a name, no address
const round = (value) => +value.toFixed(2);
const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

// A path as Path2D takes it, as text.
class SvgPath {
  d = [];
  moveTo = (...at) => this.add("M", at);
  quadraticCurveTo = (...at) => this.add("Q", at);
  lineTo = (...at) => this.add(this.d.length ? "L" : "M", at);
  rect(x, y, w, h) { this.d.push(`M${round(x)} ${round(y)}h${round(w)}v${round(h)}h${round(-w)}z`); }
  arc(x, y, r) { this.d.push(`M${round(x - r)} ${round(y)}a${round(r)} ${round(r)} 0 1 0 ${round(2 * r)} 0a${round(r)} ${round(r)} 0 1 0 ${round(-2 * r)} 0`); }
  add(letter, at) { this.d.push(letter + at.map(round).join(" ")); }
}

class SvgPen {
  constructor(width, height) {
    Object.assign(this, { width, height, parts: [], open: 0, saved: [], clips: 0, dash: [], path_: new SvgPath() });
    Object.assign(this, { fillStyle: "#000", strokeStyle: "#000", lineWidth: 1, font: "12px sans-serif", textAlign: "start", textBaseline: "alphabetic" });
    this.measure = document.createElement("canvas").getContext("2d");
  }

  path = () => new SvgPath();
  beginPath() { this.path_ = new SvgPath(); }
  moveTo(...at) { this.path_.moveTo(...at); }
  lineTo(...at) { this.path_.lineTo(...at); }
  rect(...box) { this.path_.rect(...box); }
  arc(...round) { this.path_.arc(...round); }
  setLineDash(dash) { this.dash = dash; }
  fill(path = this.path_) { this.put("path", { d: path.d.join(""), fill: this.fillStyle }); }
  fillRect(x, y, width, height) { this.put("rect", { x, y, width, height, fill: this.fillStyle }); }

  stroke(path = this.path_) {
    if (!path.d.length) return;
    this.put("path", {
      d: path.d.join(""), fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth,
      "stroke-linecap": "round", "stroke-linejoin": "round", "stroke-dasharray": this.dash.join(" ") || null,
    });
  }

  // Until `restore` all lies within the path.
  clip() {
    this.clips += 1;
    this.parts.push(`<clipPath id="c${this.clips}"><path d="${this.path_.d.join("")}"/></clipPath><g clip-path="url(#c${this.clips})">`);
    this.open += 1;
  }

  save() { this.saved.push(this.open); }

  restore() {
    for (const before = this.saved.pop(); this.open > before; this.open--) this.parts.push("</g>");
  }

  drawImage(canvas, x, y, width, height) {
    this.put("image", { x, y, width, height, href: canvas.toDataURL(), preserveAspectRatio: "none" });
  }

  measureText(text) {
    this.measure.font = this.font;
    return this.measure.measureText(text);
  }

  fillText(text, x, y) { this.write(text, x, y, { fill: this.fillStyle }); }
  strokeText(text, x, y) {
    this.write(text, x, y, { fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth, "stroke-linejoin": "round" });
  }

  write(text, x, y, colours) {
    const down = { middle: "central", bottom: "text-after-edge" }[this.textBaseline] ?? null;
    const anchor = { center: "middle", left: "start" }[this.textAlign] ?? null;
    this.put("text", { x, y, style: `font: ${this.font}`, "text-anchor": anchor, "dominant-baseline": down, ...colours }, escaped(text));
  }

  put(tag, facts, inside = "") {
    const said = Object.entries(facts).filter(([, value]) => value !== null)
      .map(([key, value]) => ` ${key}="${escaped(typeof value === "number" ? round(value) : value)}"`).join("");
    this.parts.push(inside ? `<${tag}${said}>${inside}</${tag}>` : `<${tag}${said}/>`);
  }

  get text() {
    return `<svg xmlns="${SVG}" viewBox="0 0 ${round(this.width)} ${round(this.height)}" width="${round(this.width)}" height="${round(this.height)}">${this.parts.join("\n")}</svg>\n`;
  }
}
