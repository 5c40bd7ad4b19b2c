// What the reader may touch: buttons, the pointer on the plane, keys.

function addControls(run) {
  addPlanes(run);
  addLayers(run);
  addFilter(run);
  addSaving(run);
  addEnds(run);
  addPointer(run);
  addZoom(run);
  addKeys(run);
  addRoving(run);
}

function addPlanes(run) {
  const { planes } = run.facts;
  if (planes.length < 2) return;
  run.find(".planes").replaceChildren(...planes.map((plane, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = shortened(plane.name, 44);
    button.setAttribute("aria-pressed", String(i === 0));
    button.addEventListener("click", async () => {
      await run.choosePlane(i);
      press(run.find(".planes"), button);
      run.pointAt(...run.middle);
    });
    return button;
  }));
}

function addLayers(run) {
  for (const button of run.root.querySelectorAll(".layers button")) {
    button.addEventListener("click", () => {
      run.layer = button.dataset.layer;
      press(run.find(".layers"), button);
      showPoints(run, hasPoints(run.layer));
      run.setScene();
      run.onChange?.();
    });
  }
  run.find(".show-points").addEventListener("click", () => {
    showPoints(run, !run.view.showsPoints);
    run.view.draw();
    run.onChange?.();
  });
  const density = run.find(".show-density");
  density.disabled = run.map.flat;
  density.addEventListener("click", () => {
    run.view.showsDensity = !run.view.showsDensity;
    density.setAttribute("aria-pressed", String(run.view.showsDensity));
    run.view.draw();
    run.onChange?.();
  });
  for (const drag of ["line", "loop"]) {
    run.find(`.draw-${drag}`).addEventListener("click", () => {
      run.drag = run.drag === drag ? null : drag;
      run.startLine(null);
    });
  }
}

// Whether a layer shows points by itself; some they would hide.
const hasPoints = (layer) => layer !== "images" && layer !== "sure";

function showPoints(run, on) {
  run.view.showsPoints = on;
  run.find(".show-points").setAttribute("aria-pressed", String(on));
}

function addEnds(run) {
  const ends = [run.find(".from"), run.find(".to")];
  const usable = run.facts.classes.map((_, c) => c).filter((c) => run.facts.typical[c] >= 0);
  run.find(".ends").hidden = usable.length < 2;
  for (const select of ends) {
    select.replaceChildren(...usable.map((c) => {
      const option = document.createElement("option");
      option.value = c;
      option.textContent = shortened(run.name(c), 30);
      return option;
    }));
    select.addEventListener("change", () => run.between(+ends[0].value, +ends[1].value));
  }
  run.find(".play-morph").addEventListener("click", () => run.between(+ends[0].value, +ends[1].value, run.route));
  for (const button of run.root.querySelectorAll(".route button")) {
    button.addEventListener("click", () => run.between(+ends[0].value, +ends[1].value, button.dataset.route));
  }
  const usual = run.facts.pairs.find((pair) => pair.every((c) => usable.includes(c))) ?? usable;
  if (usable.length > 1) run.choose(usual[0], usual[1], "straight");
}

function addKeys(run) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, "_": 1 / 1.5 };
  run.element.addEventListener("keydown", (event) => {
    if (event.target !== run.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const way = ways[event.key];
    if (way) {
      const [left, right, low, high] = run.view.box;
      const step = event.shiftKey ? 0.05 : 0.01;
      const [x, y] = run.pointer;
      run.morph.stop();
      run.pointAt(x + way[0] * step * (right - left), y + way[1] * step * (high - low));
      run.view.camera.follow(run.pointer);
      if (run.lineFrom) {
        run.view.marks.line = { corners: [run.lineFrom, run.pointer] };
        run.view.drawTop();
      }
      run.speak();
    } else if (event.key === "Enter" || event.key === " ") {
      run.pin();
    } else if (zooms[event.key]) {
      run.view.camera.glide(zooms[event.key], run.pointer);
    } else if (event.key === "0") {
      run.view.camera.reset();
    } else if (event.key.toLowerCase() === "l" && !run.past) {
      if (run.lineFrom) {
        const from = run.lineFrom;
        run.startLine(null);
        run.join(from, run.pointer);
      } else {
        run.startLine(run.pointer);
      }
    } else if (event.key === "Escape") {
      run.clear();
    } else {
      return;
    }
    event.preventDefault();
  });
}

function press(group, chosen) {
  for (const button of group.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === chosen));
  }
}
