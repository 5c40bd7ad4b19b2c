"""A comparison of runs: its rows, and the table for GitHub, a spreadsheet or a program."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dvae_core.runs.differences import Settings

MARKS = {"": "", "best": "* ", "equal": "≈ "}
MISSING = "–"
GAP = 2
LISTED_SEEDS = 4
MOST_DECIMALS = 6


def was_figures() -> None:
    """Warn of the old name of metrics here."""
    warnings.warn("figures are metrics now", DeprecationWarning, stacklevel=3)


class _WithMetrics:
    @property
    def figures(self) -> Any:
        """The old name of `metrics`."""
        was_figures()
        return self.metrics  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Run(_WithMetrics):
    """One run, as far as it is compared."""

    path: Path
    """The run folder."""
    name: str
    """The folder's name."""
    seed: int
    """The recipe's."""
    status: str
    """As in run.json."""
    epoch: int
    """Epochs finished."""
    started: float
    """In seconds since 1970."""
    settings: Settings
    metrics: dict[str, float]
    """The last epoch's row of metrics.jsonl, those of the test images without `test/`."""


@dataclass(frozen=True)
class Estimate:
    """What a metric is over the runs of a row."""

    values: tuple[float, ...]
    """One a run, in the order of the row's runs that have it."""
    margin: float | None
    """Half of the 95 % confidence interval of the mean (Student's t); None with a single run, and
    where all runs agree: there is no spread to estimate it from."""
    mark: Literal["", "best", "equal"] = ""
    """The best of the metric, or not told apart from it (see `compare_runs`)."""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)


@dataclass(frozen=True)
class Row(_WithMetrics):
    """Runs that differ in nothing but the seed."""

    runs: tuple[Run, ...]
    """One with each seed."""
    settings: dict[str, Any]
    """What the rows differ in, by dotted key; keys that this recipe lacks are left out."""
    metrics: dict[str, Estimate] = field(default_factory=dict)
    """By name; a metric that none of the runs has is left out."""

    @property
    def finished(self) -> bool:
        """An unfinished run has a row to itself, and no mark."""
        return self.runs[0].status == "finished"

    @property
    def recipe_name(self) -> str:
        """The name of the recipe's file, or of a sweep's variant, as the run folder has it."""
        return re.sub(r"(-\d{8}-\d{6}-[a-z]{4}|-seed-\d+)$", "", self.runs[0].name)


@dataclass(frozen=True)
class Comparison(_WithMetrics):
    """What `compare_runs` found."""

    rows: tuple[Row, ...]
    """A row for each recipe, whatever its seeds."""
    settings: tuple[str, ...]
    """The dotted keys that the rows differ in."""
    metrics: tuple[str, ...]
    """The metrics' names."""
    left_out: tuple[str, ...]
    """A line for each run that is in no row, with the reason."""

    def _repr_markdown_(self) -> str:
        """The table, in a notebook."""
        return as_markdown(self)


def as_json(found: Comparison) -> str:
    rows = [
        {
            "recipe": row.recipe_name,
            "runs": [str(run.path) for run in row.runs],
            "seeds": [run.seed for run in row.runs],
            "status": row.runs[0].status,
            "epoch": row.runs[0].epoch,
            "settings": {key: row.settings.get(key) for key in found.settings},
            "metrics": {
                name: {
                    "mean": estimate.mean,
                    "margin": estimate.margin,
                    "values": estimate.values,
                    "mark": estimate.mark or None,
                }
                for name, estimate in row.metrics.items()
            },
        }
        for row in found.rows
    ]
    found_all = {"differences": found.settings, "rows": rows, "left_out": found.left_out}
    return json.dumps(found_all, default=str)  # a date is no JSON


def as_csv(found: Comparison) -> str:
    several = {
        name for row in found.rows for name, f in row.metrics.items() if f.margin is not None
    }
    header = ["recipe", "run", "seeds", "status", "epoch", *found.settings]
    for name in found.metrics:
        header += [name, f"{name} margin"] if name in several else [name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in found.rows:
        first = row.runs[0]
        cells: list[Any] = [row.recipe_name, " ".join(run.name for run in row.runs)]
        cells += [" ".join(str(run.seed) for run in row.runs), first.status, first.epoch]
        cells += [_setting(row.settings.get(key), missing="") for key in found.settings]
        for name in found.metrics:
            estimate = row.metrics.get(name)
            cells.append(None if estimate is None else estimate.mean)
            if name in several:
                cells.append(None if estimate is None else estimate.margin)
        writer.writerow(cells)
    return text.getvalue()


def as_markdown(found: Comparison) -> str:
    header, rows = table_cells(found)
    first_metric = len(header) - len(found.metrics)
    lines = [header, ["---:" if i >= first_metric else "---" for i in range(len(header))]]
    for cells in rows:
        best = [c.startswith(MARKS["best"]) for c in cells]
        plain = [c.removeprefix(MARKS["best"]).replace("|", "\\|") for c in cells]
        lines.append([f"**{c}**" if b else c for c, b in zip(plain, best, strict=True)])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = "\n\n".join(table_notes(found, best="**bold**"))
    return f"{table}\n\n{notes}" if notes else table


def table_pieces(table: list[list[str]], width: int) -> list[list[int]]:
    """The columns of each piece; every piece has the first column."""
    widths = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*table, strict=True)
    ]
    pieces: list[list[int]] = [[0]]
    for index in range(1, len(widths)):
        used = sum(widths[i] + GAP for i in pieces[-1])
        if len(pieces[-1]) > 1 and used + widths[index] > width:
            pieces.append([0])
        pieces[-1].append(index)
    return pieces


def table_cells(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """The table: a header and a row a row, the settings first and then the metrics."""
    facts = {"run": _labels(found.rows)}
    if len({run.seed for row in found.rows for run in row.runs}) > 1:
        facts["seeds"] = [_seeds(row) for row in found.rows]
    if not all(row.finished for row in found.rows):
        facts["status"] = [row.runs[0].status for row in found.rows]
        facts["epoch"] = [str(row.runs[0].epoch) for row in found.rows]
    header = [*facts, *found.settings, *found.metrics]
    decimals = {
        name: _decimals([row.metrics[name] for row in found.rows if name in row.metrics])
        for name in found.metrics
    }
    rows = []
    for row, *cells in zip(found.rows, *facts.values(), strict=True):
        cells += [_setting(row.settings.get(key)) for key in found.settings]
        cells += [_estimate(row.metrics.get(name), decimals[name]) for name in found.metrics]
        rows.append(cells)
    return header, rows


def _labels(rows: Sequence[Row]) -> list[str]:
    """The recipe's name for several runs; for one run, its last letters too, if that will do."""
    short = [
        row.recipe_name if len(row.runs) > 1 else re.sub(r"-\d{8}-\d{6}(?=-)", "", row.runs[0].name)
        for row in rows
    ]
    return [
        row.runs[0].name if short.count(label) > 1 and len(row.runs) == 1 else label
        for row, label in zip(rows, short, strict=True)
    ]


def _seeds(row: Row) -> str:
    seeds = [str(run.seed) for run in row.runs]
    return " ".join(seeds) if len(seeds) <= LISTED_SEEDS else f"{len(seeds)} seeds"


def _setting(value: Any, missing: str = MISSING) -> str:
    if value is None or value == []:
        return missing
    if isinstance(value, list):
        return " ".join(_setting(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _estimate(estimate: Estimate | None, decimals: int) -> str:
    if estimate is None:
        return MISSING
    text = f"{MARKS[estimate.mark]}{estimate.mean:.{decimals}f}"
    if estimate.margin is not None:
        return f"{text} ± {estimate.margin:.{decimals}f}"
    return f"{text} (all {len(estimate.values)})" if len(estimate.values) > 1 else text


def _decimals(metrics: Sequence[Estimate]) -> int:
    """Two digits of the smallest margin, or three to four of the largest value."""
    margins = [estimate.margin for estimate in metrics if estimate.margin]
    values = [value for estimate in metrics for value in estimate.values]
    if not margins and all(value.is_integer() for value in values):
        return 0
    if margins:
        digits = 1 - math.floor(math.log10(min(margins)))
    else:
        size = math.floor(math.log10(max(map(abs, values))))
        digits = 3 - max(size, 0) if size >= -1 else 2 - size
    return min(max(digits, 0), MOST_DECIMALS)


def table_notes(found: Comparison, best: str = "*") -> list[str]:
    """What the signs mean, as far as there are any, and what single runs cannot tell."""
    metrics = [estimate for row in found.rows for estimate in row.metrics.values()]
    marks = {estimate.mark for estimate in metrics}
    signs = []
    if any(estimate.margin is not None for estimate in metrics):
        signs.append("± is the 95 % confidence interval over seeds (Student's t)")
    if any(estimate.margin is None and len(estimate.values) > 1 for estimate in metrics):
        signs.append("(all n) that n runs agree, and give no interval")
    if "best" in marks:
        signs.append(f"{best} the best")
    if "equal" in marks:
        signs.append(
            "≈ not told apart from the best (t-test, paired over shared seeds or else Welch's, "
            "p ≥ 0.05, corrected for the rows of a metric by Holm, not for the number of metrics)"
        )
    notes = [f"{', '.join(signs)}."] if signs else []
    if len(found.rows) > 1 and any(len(row.runs) == 1 for row in found.rows):
        notes.append("One run of a recipe cannot tell a difference from noise; train more seeds.")
    return notes
