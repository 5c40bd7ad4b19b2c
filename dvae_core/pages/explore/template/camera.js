// Which part of the plane is in view: its middle and a magnification, never out of the plane's box.

const MOST_ZOOM = 48;
const MOVING = 220; // milliseconds that a jump of the view takes

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

class Camera {
  constructor(changed) {
    this.changed = changed; // called after each change
    this.zoom = 1;
  }

  // All that can be seen. A view that is zoomed in stays where it is, at the same scale.
  set home(box) {
    const [left, right, low, high] = box;
    if (this.home_ && this.zoomed) this.zoom *= (right - left) / (this.home_[1] - this.home_[0]);
    else [this.x, this.y] = [(left + right) / 2, (low + high) / 2];
    this.home_ = box;
    this.clamp();
  }

  get home() {
    return this.home_;
  }

  get zoomed() {
    return this.zoom > 1.001;
  }

  // What is in view: left, right, low, high.
  get box() {
    const [left, right, low, high] = this.home_;
    const [w, h] = [(right - left) / this.zoom / 2, (high - low) / this.zoom / 2];
    return this.zoomed ? [this.x - w, this.x + w, this.y - h, this.y + h] : this.home_;
  }

  clamp() {
    const [left, right, low, high] = this.home_;
    this.zoom = Math.min(Math.max(this.zoom, 1), MOST_ZOOM);
    const within = (value, one, other, room) => Math.min(Math.max(value, one + room), other - room);
    this.x = within(this.x, left, right, (right - left) / this.zoom / 2);
    this.y = within(this.y, low, high, (high - low) / this.zoom / 2);
  }

  // A view of its own: the middle and the magnification.
  set(x, y, zoom) {
    cancelAnimationFrame(this.frame);
    [this.x, this.y, this.zoom] = [x, y, zoom];
    this.clamp();
    this.changed();
  }

  // By so many widths and heights of the view.
  pan(across, up) {
    const [left, right, low, high] = this.box;
    this.set(this.x + across * (right - left), this.y + up * (high - low), this.zoom);
  }

  // Closer by a factor to a place, which stays where it is on the screen.
  closer(factor, [x, y]) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const kept = this.zoom / zoom;
    this.set(x + (this.x - x) * kept, y + (this.y - y) * kept, zoom);
  }

  // The same, gliding.
  glide(factor, place) {
    if (calm()) return this.closer(factor, place);
    cancelAnimationFrame(this.frame);
    const from = this.zoom, to = Math.min(Math.max(from * factor, 1), MOST_ZOOM), started = performance.now();
    const step = (now) => {
      const t = Math.min(Math.max((now - started) / MOVING, 0), 1);
      this.closer((from * (to / from) ** (1 - (1 - t) ** 3)) / this.zoom, place);
      if (t < 1) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  // The least movement that brings a place into view.
  follow([x, y]) {
    const [left, right, low, high] = this.box;
    const room = 0.04 * (right - left), tall = 0.04 * (high - low);
    const by = (value, one, other) => Math.min(0, value - one) + Math.max(0, value - other);
    const [dx, dy] = [by(x, left + room, right - room), by(y, low + tall, high - tall)];
    if (this.zoomed && (dx || dy)) this.set(this.x + dx, this.y + dy, this.zoom);
  }

  reset() {
    if (this.zoomed) this.glide(1 / this.zoom, [this.x, this.y]);
  }
}
