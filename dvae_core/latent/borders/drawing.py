"""The region map as a picture, for plots and for morphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from dvae_core.latent.borders.regions import (
    Grid,
    Regions,
    border_segments,
    cell_edges,
    largest_pieces,
)
from dvae_core.plugin.labelled_images import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_regions(
    axes: Axes,
    regions: Regions,
    classes: Sequence[str],
    colours: Sequence[str],
    pairs: Sequence[tuple[int, int]] = (),
    plan: np.ndarray | None = None,
) -> None:
    """Draw what each class owns: areas, borders, void hatched, names where there is most room.

    The borders of `pairs`, between their largest pieces, are drawn thick. Where the prior has a
    place for each class, `plan` [K, D], they are crosses, joined for each pair. Beyond two
    dimensions there is no map: the classes are then the knots of a graph, joined where they are
    adjacent.
    """
    if regions.grid is None:
        _draw_graph(axes, regions, classes, colours, pairs)
    else:
        _draw_map(axes, regions.grid, classes, colours, pairs)
        if plan is not None:
            _draw_plan(axes, plan, colours, pairs)


def _draw_plan(
    axes: Axes, plan: np.ndarray, colours: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> None:
    box = axes.axis()
    x, y = plan[:, 0], plan[:, 1] if plan.shape[1] > 1 else np.zeros(len(plan))
    for pair in pairs:
        ends = list(pair)
        axes.plot(x[ends], y[ends], color="black", linewidth=1, linestyle=(0, (1, 2)), zorder=2.5)
    axes.scatter(
        x, y, c=list(colours), marker="X", s=60, edgecolors="black", linewidths=0.8, zorder=2.6
    )
    axes.axis(box)


def pale(colours: Sequence[str]) -> np.ndarray:
    """RGBA [K, 4] of colours, lighter, so that lines and names stand out."""
    from matplotlib.colors import to_rgba_array

    shades = to_rgba_array(list(colours))
    shades[:, :3] = 1 - 0.62 * (1 - shades[:, :3])
    return shades


def _draw_map(
    axes: Axes,
    grid: Grid,
    classes: Sequence[str],
    colours: Sequence[str],
    pairs: Sequence[tuple[int, int]],
) -> None:
    from matplotlib.collections import LineCollection

    picture = np.concatenate([pale(colours), [(0, 0, 0, 0)]])[grid.verdicts]  # VOID is the last
    (left, right, _), (low, high, _) = cell_edges(grid.x), cell_edges(grid.y)
    axes.patch.set(facecolor="white", hatch="////", edgecolor="#c4c4c4")
    extent = (left[0], right[-1], low[0], high[-1])
    axes.imshow(picture, origin="lower", extent=extent, interpolation="nearest", aspect="auto")
    axes.add_collection(LineCollection(border_segments(grid), colors="#333333", linewidths=0.8))
    main = largest_pieces(grid)
    for pair in pairs:
        segments = border_segments(main, pair)
        axes.add_collection(LineCollection(segments, colors="white", linewidths=5, zorder=2.1))
        axes.add_collection(LineCollection(segments, colors="black", linewidths=2.6, zorder=2.2))
    for c, name in enumerate(classes):
        place = _roomiest(grid, c)
        if place is not None:
            _name(axes, *place, name)
    if len(grid.y) == 1:
        axes.set_yticks([])


def _roomiest(grid: Grid, c: int) -> tuple[float, float] | None:
    """The cell of a class that is farthest from all others: a name fits there."""
    own = grid.verdicts == c
    if not own.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(grid.x[column]), float(grid.y[row])


def _draw_graph(
    axes: Axes,
    regions: Regions,
    classes: Sequence[str],
    colours: Sequence[str],
    pairs: Sequence[tuple[int, int]],
) -> None:
    turns = np.linspace(0, 2 * np.pi, len(classes), endpoint=False)
    places = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    most = max(regions.borders.max(), 1)
    named = {tuple(sorted(pair)) for pair in pairs}
    for a, b in np.argwhere(np.triu(regions.adjacent, 1)):
        wide = 1 + 7 * np.sqrt(regions.borders[a, b] / most)
        colour = "black" if (int(a), int(b)) in named else "#b8b8b8"
        axes.plot(*places[[a, b]].T, color=colour, linewidth=wide, zorder=1)
    sizes = 300 + 6000 * regions.area_share
    axes.scatter(places[:, 0], places[:, 1], s=sizes, c=list(colours), zorder=2, edgecolors="white")
    for (x, y), name in zip(1.28 * places, classes, strict=True):
        _name(axes, float(x), float(y), name)
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.5, 1.5), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def _name(axes: Axes, x: float, y: float, name: str) -> None:
    from matplotlib.patheffects import withStroke

    axes.text(
        x,
        y,
        short_name(name, 14),
        ha="center",
        va="center",
        fontweight="bold",
        fontsize=11,
        zorder=3,
        clip_on=True,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )
