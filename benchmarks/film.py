"""The moving picture at the top of the README: a run, and a walk through what it made.

    python -m benchmarks.film --runs DIR

Takes the finished run that lies in DIR, or trains it: a few minutes on one core.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.documents import PICTURES, ROOT, finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dvae_core import Snapshot

PAIRS = (("0", "8"), ("3", "5"), ("4", "9"), ("1", "7"))
STEPS = 24
"""Of the walk between the first of these."""
EPOCH_MS, STEP_MS, REST_MS = 350, 110, 1500
COLOURS = 96
INK, QUIET = "#222222", "#bbbbbb"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="where the run is or shall be")
    folder = run(parser.parse_args().runs)
    file = PICTURES / "film.gif"
    file.write_bytes(film(folder, *PAIRS[0]))
    print(file)


def run(runs: Path) -> Path:
    """The folder of the film's run, trained if need be."""
    changes = [f"pairs={json.dumps(PAIRS)}", "evaluate.every=1", "evaluate.metrics=['borders']"]
    recipe = ROOT / "recipes/borders.toml"
    return finished(runs / "film", recipe, [*changes, "evaluate.plots=[]"])


def film(folder: Path, a: str, b: str) -> bytes:
    """A GIF: each evaluated epoch's map beside the guidance weight, then a walk from a to b."""
    from dvae_core import class_number, load_run, morph
    from dvae_core.latent.borders.kept_maps import kept_maps
    from dvae_core.latent.borders.regions import regions_of

    loaded = load_run(folder)
    snapshot = loaded.snapshot()
    ends = class_number(a, loaded.classes), class_number(b, loaded.classes)
    walks = [morph(snapshot, *ends, steps=STEPS, seed=seed) for seed in range(20)]
    direct = [found for found in walks if found.direct]
    walk = max(direct, key=lambda found: np.ptp(found.corners, axis=0).sum(), default=None)
    maps = dict(kept_maps(folder))
    grids = [kept.grid for kept in maps.values()]
    box = (
        min(g.x[0] for g in grids), max(g.x[-1] for g in grids),
        min(g.y[0] for g in grids), max(g.y[-1] for g in grids),
    )  # fmt: skip
    frames, times = [], []
    for epoch, kept in maps.items():
        canvas, _, side = _scene(snapshot, regions_of(kept.grid, len(loaded.classes)), box)
        _draw_weight(side, snapshot, epoch)
        frames.append(_frame(canvas))
        times.append(EPOCH_MS)
    times[-1] = REST_MS
    last = regions_of(grids[-1], len(loaded.classes))
    for step in range(STEPS if walk is not None else 0):
        canvas, plane, side = _scene(snapshot, last, box)
        plane.plot(*walk.corners.T, color="white", linewidth=3, zorder=4)
        plane.plot(*walk.corners.T, color="#cc3311", linewidth=1.5, zorder=4.1)
        plane.plot(*walk.points[step], "o", color="#cc3311", markeredgecolor="white", zorder=4.2)
        side.imshow(walk.images[step, 0], cmap="gray", vmin=0, vmax=1)
        seen = walk.probabilities[step].argmax()
        side.set_title(f"from {a} to {b}: looks like {loaded.classes[seen]}", fontsize=9)
        side.set_axis_off()
        frames.append(_frame(canvas))
        times.append(STEP_MS)
    times[-1] = REST_MS
    file = io.BytesIO()
    frames[0].save(
        file, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0
    )
    return file.getvalue()


def _scene(snapshot: Snapshot, regions: Any, box: tuple[float, ...]) -> tuple[Any, Axes, Axes]:
    """A canvas with the map, and room beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from dvae_core import draw_regions

    figure = Figure(figsize=(6.4, 3.4), dpi=100)
    plane = figure.add_axes((0.015, 0.03, 0.5, 0.94))
    side = figure.add_axes((0.6, 0.2, 0.36, 0.6))
    draw_regions(plane, regions, snapshot.classes, snapshot.colours, snapshot.named_pairs)
    plane.set(xlim=box[:2], ylim=box[2:], xticks=[], yticks=[])
    return FigureCanvasAgg(figure), plane, side


def _draw_weight(axes: Axes, snapshot: Snapshot, epoch: int) -> None:
    steps, weights = snapshot.weight_curves()["guidance"]
    epochs = snapshot.total_steps / snapshot.step * snapshot.epoch
    at = steps / snapshot.total_steps * epochs
    now = float(np.interp(epoch, at, weights))
    axes.plot(at, weights, color=QUIET, linewidth=1.5)
    axes.plot(at[at <= epoch], weights[at <= epoch], color=INK, linewidth=2)
    axes.plot(epoch, now, "o", color=INK)
    axes.set_title(f"epoch {epoch}: guidance weight {now:.1f}", fontsize=9)
    axes.set_xlabel("epoch", fontsize=8)
    axes.set_ylim(0, None)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _frame(canvas: Any) -> Any:
    from PIL import Image

    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(COLOURS)


if __name__ == "__main__":
    main()
