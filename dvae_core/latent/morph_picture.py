"""A morph as a picture, and as a moving one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from dvae_core.latent.borders.drawing import draw_regions, pale
from dvae_core.latent.borders.judge import VOID
from dvae_core.latent.borders.regions import grid_over, regions_of
from dvae_core.latent.morph import Morph
from dvae_core.plugin.labelled_images import short_name
from dvae_core.plugin.pictures import as_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dvae_core.latent.snapshot import Snapshot

FRAME_MS = 120
BEYOND, AROUND = 0.0005, 0.08
"""The share of the training means that the map leaves out on each side, and what it shows more."""
NAME = 20
"""Characters of a class name that there is room for."""


def draw_morph(snapshot: Snapshot, morph: Morph) -> Figure:
    """The decoded strip, both judges' verdicts under it, and the path over the region map."""
    from matplotlib.figure import Figure

    steps = len(morph.points)
    figure = Figure(figsize=(max(8.0, 0.7 * steps), 8.6), layout="constrained")
    strip, path = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1.0, 3.4]})
    figure.suptitle(_title(snapshot, morph), fontsize=13)
    _draw_strip(strip, snapshot, morph)
    _draw_path(path, snapshot, morph)
    return figure


def animate_morph(snapshot: Snapshot, morph: Morph) -> bytes:
    """A GIF: there and back, the image beside the place on the region map."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    image, path = figure.subplots(1, 2, width_ratios=[1, 1.25])
    _draw_path(path, snapshot, morph)
    image.set_axis_off()
    pictures = as_pictures(morph.images)
    picture = image.imshow(_picture(pictures[0]), cmap="gray", vmin=0, vmax=1)
    (place,) = path.plot([], [], "o", ms=13, color="white", markeredgecolor="black", zorder=6)
    frames = []
    order = [*range(len(morph.points)), *range(len(morph.points) - 2, 0, -1)]
    for step in order:
        picture.set_data(_picture(pictures[step]))
        image.set_title(_verdicts(snapshot, morph, step), fontsize=11)
        if snapshot.regions.grid is not None:
            place.set_data(*([c] for c in _in_plane(morph.points[step : step + 1])[0]))
        canvas.draw()
        frame = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        frames.append(frame.quantize(128))
    file = io.BytesIO()
    frames[0].save(
        file, format="GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0
    )
    return file.getvalue()


def describe_morph(snapshot: Snapshot, morph: Morph) -> str:
    """In words, what the path crosses."""
    if morph.direct:
        return "direct"
    met = [snapshot.classes[c] for c in morph.strangers]
    met += ["void"] if morph.crosses_void else []
    return "crosses " + ", ".join(met) if met else "crosses the border more than once"


def _title(snapshot: Snapshot, morph: Morph) -> str:
    a, b = (short_name(snapshot.classes[c], NAME) for c in (morph.a, morph.b))
    over = " over the border" if morph.route == "border" else ""
    told = [describe_morph(snapshot, morph), f"realism {morph.realism:.2f}", snapshot.decoded_as]
    return f"From {a} to {b}{over}: {', '.join(filter(None, told))}"


def _draw_strip(axes: Axes, snapshot: Snapshot, morph: Morph) -> None:
    from matplotlib.patches import Rectangle

    steps = len(morph.points)
    pictures = as_pictures(morph.images)
    images = np.concatenate([_picture(picture) for picture in pictures], axis=1)
    height = pictures.shape[2] / pictures.shape[3]
    axes.imshow(
        images, cmap="gray", vmin=0, vmax=1, extent=(0, steps, height, 0), interpolation="nearest"
    )
    seen = morph.probabilities.argmax(axis=1)
    shades = pale(snapshot.colours)
    rows = (("latent\njudge", morph.verdicts), ("image\njudge", seen))
    for row, (_, verdicts) in enumerate(rows):
        for step, c in enumerate(verdicts):
            y = height + 0.12 + 0.62 * row
            colour = "white" if c == VOID else shades[c]
            frame = Rectangle((step + 0.02, y), 0.96, 0.56, facecolor=colour, edgecolor="#c4c4c4")
            frame.set_hatch("////" if c == VOID else "")
            axes.add_patch(frame)
            label = "void" if c == VOID else short_name(snapshot.classes[c], 7)
            if row == 1:
                label += f"\n{100 * morph.probabilities[step, c]:.0f} %"
            axes.text(step + 0.5, y + 0.28, label, ha="center", va="center", fontsize=8)
    axes.set(xlim=(0, steps), ylim=(height + 1.32, 0), xticks=[])
    axes.set_yticks([height + 0.4, height + 1.02], [name for name, _ in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_path(axes: Axes, snapshot: Snapshot, morph: Morph) -> None:
    pair, regions = [(morph.a, morph.b)], snapshot.regions
    if regions.grid is not None:
        # Regions whole, where figures leave out what lies farthest off.
        grid = grid_over(snapshot.judge, snapshot.train_means, BEYOND, AROUND)
        regions = regions_of(grid, len(snapshot.classes))
    draw_regions(axes, regions, snapshot.classes, snapshot.colours, pair)
    if regions.grid is None:
        axes.set_title("classes whose images are neighbours", fontsize=10)
        return
    corners, points = _in_plane(morph.corners), _in_plane(morph.points)
    axes.plot(*corners.T, color="white", linewidth=4.5, zorder=4)
    axes.plot(*corners.T, color="#cc3311", linewidth=2, zorder=4.1)
    axes.plot(*points.T, "o", color="#cc3311", markeredgecolor="white", markersize=6, zorder=4.2)
    axes.set_xlabel("z₁")
    axes.set_ylabel("z₂" if snapshot.latent_dim > 1 else "")
    # An end outside the map's box is shown all the same.
    axes.margins(0.03)
    axes.autoscale_view()
    if snapshot.latent_dim > 1:
        axes.set_aspect("equal")


def _verdicts(snapshot: Snapshot, morph: Morph, step: int) -> str:
    latent = morph.verdicts[step]
    where = "void" if latent == VOID else short_name(snapshot.classes[latent], NAME)
    seen = int(morph.probabilities[step].argmax())
    sure = 100 * morph.probabilities[step, seen]
    return f"lies in {where}, looks like {short_name(snapshot.classes[seen], NAME)} ({sure:.0f} %)"


def _in_plane(points: np.ndarray) -> np.ndarray:
    """[P, 2]: a line lies at height 0."""
    return points if points.shape[1] == 2 else np.pad(points, ((0, 0), (0, 1)))


def _picture(image: np.ndarray) -> np.ndarray:
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)
