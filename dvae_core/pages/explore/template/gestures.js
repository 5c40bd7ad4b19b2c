// The pointer on the plane: it decodes, pins, draws lines, and moves the view as on a map.

const FAR = 6; // pixels beyond which a press is a drag
const TWICE = 350; // milliseconds within which two clicks are one double click

function addPointer(run) {
  const { element, view } = run;
  const { camera } = view;
  const down = new Map(); // the pointers that are pressed, by their id
  let pressed = null, pinch = null, last = null;

  const on = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const pan = (dx, dy) => camera.pan(-dx / view.width, dy / view.height);
  const two = () => {
    const [[ax, ay], [bx, by]] = [...down.values()];
    return { apart: Math.hypot(ax - bx, ay - by), x: (ax + bx) / 2, y: (ay + by) / 2 };
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest("button")) return;
    const at = on(event);
    down.set(event.pointerId, at);
    element.setPointerCapture(event.pointerId);
    run.morph.stop();
    if (down.size === 2) {
      [pressed, pinch] = [null, two()];
      run.selection.show();
      view.marks.line = run.morph.path ? view.marks.line : null;
      return;
    }
    const mouse = event.pointerType === "mouse";
    const place = view.toLatent(...at);
    const drag = run.past ? null : run.drag;
    const line = drag === "line" || event.shiftKey || (mouse && !camera.zoomed);
    const does = drag === "loop" ? "loop" : line ? "line" : camera.zoomed ? "pan" : "point";
    pressed = { at, place, far: false, does, loop: [place] };
    run.pointAt(...pressed.place);
  });

  element.addEventListener("pointermove", (event) => {
    const at = on(event), before = down.get(event.pointerId);
    if (before) down.set(event.pointerId, at);
    if (pinch && down.size === 2) {
      const now = two();
      pan(now.x - pinch.x, now.y - pinch.y);
      camera.closer(now.apart / Math.max(pinch.apart, 1), view.toLatent(now.x, now.y));
      pinch = now;
      return;
    }
    if (run.morph.playing || pinch) return;
    if (pressed) pressed.far ||= Math.hypot(at[0] - pressed.at[0], at[1] - pressed.at[1]) > FAR;
    if (pressed?.far && pressed.does === "pan") {
      element.classList.add("held");
      return pan(at[0] - before[0], at[1] - before[1]);
    }
    const here = view.toLatent(...at);
    if (pressed?.far && pressed.does === "loop" && !run.past) {
      pressed.loop.push(here);
      view.marks.loop = pressed.loop;
    } else if (pressed?.far && pressed.does === "line" && !run.past) {
      view.marks.line = { corners: [pressed.place, here] };
    } else if (run.lineFrom) {
      view.marks.line = { corners: [run.lineFrom, here] };
    }
    run.pointAt(...here);
  });

  element.addEventListener("pointerup", (event) => {
    down.delete(event.pointerId);
    element.classList.remove("held");
    if (!down.size) pinch = null;
    if (!pressed) return;
    const { place, far, does, at, loop } = pressed;
    pressed = null;
    if (far) {
      if (does === "line" && !run.past) run.join(place, run.pointer);
      if (does === "loop" && !run.past) run.selection.take(loop);
      return;
    }
    const again = last && last.map === run.map && event.timeStamp - last.time < TWICE && Math.hypot(at[0] - last.at[0], at[1] - last.at[1]) < 3 * FAR;
    if (again) {
      if (last.pinned) run.unpin();
      last = null;
      camera.glide(event.shiftKey ? 0.5 : 2, place);
    } else {
      last = { time: event.timeStamp, at, map: run.map, pinned: run.pin() };
    }
  });

  element.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    element.classList.remove("held");
    pressed = null;
    run.selection.show();
    if (!down.size) pinch = null;
  });

  // Out of the whole plane there is no way out: then a wheel scrolls the page, as a swipe does.
  element.addEventListener("wheel", (event) => {
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.deltaY > 0 && !camera.zoomed) return;
    event.preventDefault();
    const speed = event.ctrlKey ? 0.01 : 0.002; // a pinch on a trackpad comes as a wheel with ctrl
    camera.closer(Math.exp(-event.deltaY * lines * speed), view.toLatent(...on(event)));
  }, { passive: false });
  element.addEventListener("touchstart", (event) => {
    // While the page scrolls already it cannot be kept from it.
    if (event.touches.length > 1 && event.cancelable) event.preventDefault();
  }, { passive: false });
}

function addZoom(run) {
  const { camera } = run.view;
  const middle = () => [camera.x, camera.y];
  run.find(".closer").addEventListener("click", () => camera.glide(2, middle()));
  run.find(".farther").addEventListener("click", () => camera.glide(0.5, middle()));
  run.find(".whole").addEventListener("click", () => camera.reset());
}
