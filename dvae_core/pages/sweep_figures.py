"""Figures of a sweep: the metrics against the variants, and the regions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvae_core.files import write_atomically
from dvae_core.latent.png import png
from dvae_core.runs.comparison_table import Row
from dvae_core.runs.sweep_folder import SweepFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 40
"""More variants than this do not fit into a figure; the best ones are drawn."""
MOST_PANELS = 12
MOST_MAPS = 24


def draw_figures(sweep: SweepFolder) -> Iterator[Path]:
    """Draw what can be drawn of a sweep's runs into its figures/."""
    drawings = {"metrics": _metrics(sweep), "regions": _regions(sweep.best_first)}
    for name, figure in drawings.items():
        if figure is None:
            continue
        file = sweep.path / "figures" / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, png(figure))
        yield file


def main_metrics(sweep: SweepFolder) -> list[str]:
    """The metrics that are drawn: the goal first, and none of single classes or pairs."""
    rows = sweep.best_first
    names = sweep.comparison.metrics if sweep.comparison is not None else ()
    goal = sweep.goal[1] if sweep.goal is not None else None
    known = [n for n in names if any(n in row.metrics for row in rows)]
    shown = [n for n in known if "/" not in n or n == goal]
    shown.sort(key=lambda name: name != goal)
    return shown[:MOST_PANELS]


def _metrics(sweep: SweepFolder) -> Figure | None:
    """A panel for each metric: a point a run, the mean and its interval, a line a variant."""
    from matplotlib.figure import Figure

    rows, names = sweep.best_first[:MOST_ROWS], main_metrics(sweep)
    if not names or not rows:
        return None
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    height = 1.1 + 0.28 * len(rows)
    figure = Figure(figsize=(3.4 * columns + 1.6, height * lines), layout="constrained")
    panels: Any = figure.subplots(lines, columns, squeeze=False, sharey=True)
    places = range(len(rows))
    for axes, name in zip(panels.flat, names, strict=False):
        for place, row in zip(places, rows, strict=True):
            shown = row.metrics.get(name)
            if shown is None:
                continue
            best = "#c1272d" if shown.mark == "best" else "#333333"
            axes.plot(shown.values, [place] * len(shown.values), ".", color="#9db4c8", zorder=1)
            axes.errorbar(shown.mean, place, xerr=shown.margin, fmt="o", color=best, capsize=3)
        axes.set_title(name, fontsize=10)
        axes.grid(axis="x", color="#e4e4e4")
    panels[0, 0].set_yticks(places, [row.recipe_name for row in rows])
    panels[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    note = "mean and 95 % interval over seeds, a dot a run"
    left_out = len(sweep.best_first) - len(rows)
    figure.supxlabel(f"{note}; {left_out} more variants" if left_out else note, fontsize=9)
    return figure


def _regions(rows: list[Row]) -> Figure | None:
    """The region map of each variant's first run, where a metric has kept one."""
    from matplotlib.figure import Figure

    from dvae_core.latent.borders.drawing import draw_regions
    from dvae_core.latent.borders.kept_maps import kept_maps
    from dvae_core.latent.borders.regions import regions_of
    from dvae_core.latent.colours import class_colours

    maps = []
    for row in rows:
        newest = next(kept_maps(row.runs[0].path, newest_first=True), None)
        if newest is not None:
            maps.append((row, newest[1]))
    maps = maps[:MOST_MAPS]
    if not maps:
        return None
    columns = min(4, len(maps))
    lines = -(-len(maps) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.5 * lines), layout="constrained")
    panels: Any = figure.subplots(lines, columns, squeeze=False)
    for axes, (row, kept) in zip(panels.flat, maps, strict=False):
        regions = regions_of(kept.grid, len(kept.classes))
        colours = class_colours(len(kept.classes))
        draw_regions(axes, regions, kept.classes, colours, kept.pairs)
        axes.set_title(f"{row.recipe_name}, seed {row.runs[0].seed}", fontsize=10)
        axes.tick_params(labelsize=7)
    for axes in panels.flat[len(maps) :]:
        axes.set_visible(False)
    return figure
