"""All of a sweep as one page: what it compared, how its runs went, and its best run to explore."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from dvae_core.files import read_inside, small_text
from dvae_core.pages.curves import Curve, chart
from dvae_core.pages.intervals import Scale
from dvae_core.pages.notebook import Page
from dvae_core.pages.sections import anchors, cards, drawing, links, listing, scrolling
from dvae_core.pages.sweep_figures import main_metrics
from dvae_core.pages.sweep_runs import Ends, link_to
from dvae_core.runs.comparison_table import Row, table_cells, table_notes, table_pieces
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.sweep_folder import SweepFolder
from dvae_core.runs.watch import Watch

MOST_ROWS = 40
"""Variants in the table."""
MOST_CURVES = 16
"""Variants that are drawn over the epochs, as many as page.css has looks for."""
LARGEST = 8_000_000
"""Characters of the best run's content; one that is larger is left out."""
LETTERS = 160
"""Across a table; more columns than fit go into another one below."""


def sweep_report(
    sweep: SweepFolder, file: Path, stage: Callable[[str], None] = lambda text: None
) -> Page:
    """The HTML of a page that says all of a sweep; it needs no network.

    Args:
        sweep: what the page is about.
        file: where the page will lie; its links to the runs start there.
        stage: told what goes on.
    """
    from dvae_core.pages.explore.page import page

    stage("collecting the runs")
    ends = Ends(sweep, file)
    contents, about_best = _best(sweep, file, stage)
    above = {
        "Comparison": _comparison(sweep),
        "Regions": _regions(sweep),
        "Curves": _curves(sweep),
        "Best run": about_best,
    }
    below = {
        "All runs": ends.table(),
        "Sweep file": _sweep_file(sweep),
        "Provenance": ends.provenance(),
    }
    above, below = ({name: body for name, body in of.items() if body} for of in (above, below))
    return page(
        contents,
        f'<div class="report">{cards(below)}</div>',
        title=sweep.title,
        above=f'<div class="report"><header><h1>{escape(sweep.title)}</h1>'
        f'<p class="facts">{escape(_facts(sweep, ends))}</p></header>'
        f"{links(anchors([*above, *below]))}\n{cards(above)}</div>",
    )


def _facts(sweep: SweepFolder, ends: Ends) -> str:
    rows = sweep.best_first
    facts = [sweep.name, ends.summary()]
    if rows:
        facts.append(f"{len(rows)} {'variant' if len(rows) == 1 else 'variants'} compared")
    if sweep.goal is not None:
        facts.append(f"goal: {' '.join(sweep.goal)}")
    return " · ".join(facts)


def _comparison(sweep: SweepFolder) -> str:
    """The table, the best by the goal first, with a small picture of each interval."""
    if sweep.comparison is None:
        return "<p>No run has anything to compare.</p>"
    rows = [*sweep.best_first, *(row for row in sweep.comparison.rows if not row.finished)]
    found = dataclasses.replace(sweep.comparison, rows=tuple(rows[:MOST_ROWS]))
    header, cells = table_cells(found)
    facts = len(header) - len(found.metrics)
    goal = sweep.goal[1] if sweep.goal is not None else None
    # The run, the metrics with the goal first, and then what the name of the run says in short.
    metrics = sorted(range(facts, len(header)), key=lambda index: header[index] != goal)
    order = [0, *metrics, *range(1, facts)]
    columns = []
    for index in order:
        texts = [row[index] for row in cells]
        if index < facts:
            columns.append([f"<td>{escape(text)}</td>" for text in texts])
        else:
            columns.append(_metric_column(header[index], found.rows, texts))
    header = [header[index] for index in order]
    cells = [[row[index] for index in order] for row in cells]
    tables = [
        _piece([header[index] for index in piece], [columns[index] for index in piece])
        for piece in table_pieces([header, *cells], LETTERS)
    ]
    notes = table_notes(found, best="bold:")
    if len(rows) > MOST_ROWS:
        kept = "the best" if sweep.goal else "the first"
        notes.append(f"These are {kept} {MOST_ROWS} of {len(rows)} rows; comparison.csv has all.")
    return "".join(tables) + "".join(f'<p class="quiet">{escape(note)}</p>' for note in notes)


def _metric_column(name: str, rows: tuple[Row, ...], texts: list[str]) -> list[str]:
    estimates = [row.metrics.get(name) for row in rows]
    scale = Scale.of(estimates)
    return [
        f'<td class="number {estimate.mark if estimate else ""}">'
        f"{escape(text.removeprefix('* '))}{scale.picture(estimate)}</td>"
        for estimate, text in zip(estimates, texts, strict=True)
    ]


def _piece(header: list[str], columns: list[list[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns, strict=True))
    return scrolling(
        "Comparison",
        f'<table class="compared"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>',
    )


def _regions(sweep: SweepFolder) -> str:
    try:
        png = read_inside(sweep.path / "figures" / "regions.png", sweep.path)
    except OSError:
        return ""
    caption = "Which class owns what of the latent space, for the first seed of each variant"
    return scrolling("Regions", drawing(png, caption, "Regions of the classes"), "wide")


def _curves(sweep: SweepFolder) -> str:
    """The table's main metrics and the terms of the loss over the epochs, a line a variant."""
    rows = sweep.best_first[:MOST_CURVES]
    told = [_means(row) for row in rows]
    names = [row.recipe_name for row in rows]
    key = {name: number for number, name in enumerate(names)}
    known = dict.fromkeys(k for epochs in told for row in epochs for k in row)
    # The test images of runs with validation images are measured at the end alone.
    main = [name.removeprefix("val/") for name in main_metrics(sweep)]
    looked_at = [f"val/{n}" if f"val/{n}" in known else f"test/{n}" for n in dict.fromkeys(main)]
    train = [k for k in known if k.startswith("train/") and not k.endswith("_weight")]
    charts = []
    for name in (*looked_at, *train):
        curves = [Curve.of(n, epochs, name) for n, epochs in zip(names, told, strict=True)]
        title = name.removeprefix("test/").replace("_", " ").replace("/", " ")
        charts.append(chart(title, [curve for curve in curves if curve.values], key=key))
    if not any(charts):
        return ""
    keys = "".join(
        f'<li class="key-{number}" tabindex="0"><svg viewBox="0 0 24 8" aria-hidden="true">'
        f'<polyline points="0,4 24,4"/></svg>{escape(name)}</li>'
        for name, number in key.items()
    )
    dimmed = ",".join(
        f".keyed:has(li.key-{n}:is(:hover,:focus)) g:not(.key-{n})" for n in key.values()
    )
    left_out = len(sweep.best_first) - len(rows)
    some = f"; {left_out} more variants are not drawn" if left_out else ""
    return (
        f'<style>{dimmed} {{ opacity: 0.1 }}</style><div class="keyed"><ul>{keys}</ul>'
        f'<div class="charts">{"".join(charts)}</div></div>'
        f'<p class="quiet">Each line is the mean over a variant\'s seeds{some}.</p>'
    )


def _means(row: Row) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, each the mean over the seeds."""
    epochs: dict[int, dict[str, list[float]]] = {}
    for run in row.runs:
        for metrics in RunFolder.open(run.path).metrics():
            values = epochs.setdefault(metrics["epoch"], {})
            for name, value in metrics.items():
                if isinstance(value, int | float):
                    values.setdefault(name, []).append(value)
    return [
        {name: statistics.fmean(values) for name, values in epochs[epoch].items()}
        | {"epoch": epoch}
        for epoch in sorted(epochs)
    ]


def _best(
    sweep: SweepFolder, file: Path, stage: Callable[[str], None]
) -> tuple[list[dict[str, Any]], str]:
    """What the page needs to explore the best run, if it can be had, and what is said of it."""
    from dvae_core.latent.loaded_run import load_run
    from dvae_core.pages.explore.content import Explored
    from dvae_core.pages.explore.packing import json_for_script

    run = sweep.best_run
    if run is None or sweep.goal is None:
        return [], ""
    direction, name = sweep.goal
    said = f"{link_to(run.path, file)}: {direction} {escape(name)}, {run.metrics[name]:.4g}"
    watch = _Stages(stage)
    try:
        content = Explored(load_run(run.path, watch=watch), (), watch).content()
        size = len(json_for_script(content))
        if size > LARGEST:
            raise ValueError(f"it would take {size / 1e6:.0f} MB here; dvae explore shows it")
    except Exception as error:
        return [], f"<p>{said}. Its latent space is left out: {escape(str(error))}</p>"
    return [content], f"<p>{said}. Its latent space is below.</p>"


def _sweep_file(sweep: SweepFolder) -> str:
    try:
        return listing("Sweep file", small_text(sweep.path / "sweep.toml"))
    except (OSError, ValueError):
        return ""


class _Stages(Watch):
    """Passes stages on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell

    def stage(self, text: str) -> None:
        self.tell(text)

    def warn(self, text: str) -> None:
        pass
