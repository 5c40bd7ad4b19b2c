"""A comparison in letters: for a terminal, for GitHub, for a spreadsheet, for a program."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvae_core.comparison import Comparison, Figure, Row

MARKS = {"": "", "best": "* ", "equal": "≈ "}
MISSING = "–"
GAP = 2
UNWRAPPED = 10_000
"""Columns in a pipe: a row a line, good to grep."""
LISTED_SEEDS = 4
MOST_DECIMALS = 6


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
                    "mean": figure.mean,
                    "margin": figure.margin,
                    "values": figure.values,
                    "mark": figure.mark or None,
                }
                for name, figure in row.figures.items()
            },
        }
        for row in found.rows
    ]
    return json.dumps({"differences": found.settings, "rows": rows, "left_out": found.left_out})


def as_csv(found: Comparison) -> str:
    several = {
        name for row in found.rows for name, f in row.figures.items() if f.margin is not None
    }
    header = ["recipe", "run", "seeds", "status", "epoch", *found.settings]
    for name in found.figures:
        header += [name, f"{name} margin"] if name in several else [name]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in found.rows:
        first = row.runs[0]
        cells: list[Any] = [row.recipe_name, " ".join(run.name for run in row.runs)]
        cells += [" ".join(str(run.seed) for run in row.runs), first.status, first.epoch]
        cells += [_setting(row.settings.get(key), missing="") for key in found.settings]
        for name in found.figures:
            figure = row.figures.get(name)
            cells.append(None if figure is None else figure.mean)
            if name in several:
                cells.append(None if figure is None else figure.margin)
        writer.writerow(cells)
    return text.getvalue()


def as_markdown(found: Comparison) -> str:
    header, rows = table_cells(found)
    first_figure = len(header) - len(found.figures)
    lines = [header, ["---:" if i >= first_figure else "---" for i in range(len(header))]]
    for cells in rows:
        best = [c.startswith(MARKS["best"]) for c in cells]
        plain = [c.removeprefix(MARKS["best"]).replace("|", "\\|") for c in cells]
        lines.append([f"**{c}**" if b else c for c, b in zip(plain, best, strict=True)])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = "\n\n".join(table_notes(found, best="**bold**"))
    return f"{table}\n\n{notes}" if notes else table


def print_table(found: Comparison) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(
        width=None if sys.stdout.isatty() else UNWRAPPED, highlight=False, soft_wrap=True
    )
    header, rows = table_cells(found)
    for piece in _layout(header, rows, len(found.figures), console.width):
        console.print(piece)
        console.print()
    for note in table_notes(found):
        console.print(Text(note, style="dim"))


def _layout(header: list[str], rows: list[list[str]], figures: int, width: int) -> list[Any]:
    """The table as it is, or on its side, whichever needs fewer pieces to fit into the width."""
    # Long dotted keys stand on several lines above their short values.
    settings = range(1, len(header) - figures)
    broken = [h.replace(".", ".\n") if i in settings else h for i, h in enumerate(header)]
    upright = [broken, *rows]
    on_side = [list(line) for line in zip(header, *rows, strict=True)]
    on_side.insert(len(header) - figures, [""] * (len(rows) + 1))
    pieces = [table_pieces(table, width) for table in (upright, on_side)]
    table, split = min(zip((upright, on_side), pieces, strict=True), key=lambda pair: len(pair[1]))
    return [_piece(table, columns) for columns in split]


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


def _piece(table: list[list[str]], columns: list[int]) -> Any:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for index in columns:
        title = Text(table[0][index])
        made.add_column(
            title, justify="right" if index else "left", no_wrap=True, vertical="bottom"
        )
    for cells in table[1:]:
        shown = []
        for index in columns:
            cell = cells[index]
            style = "bold green" if cell.startswith(MARKS["best"]) else ""
            shown.append(Text(cell, style=style if index else "bold"))
        made.add_row(*shown)
    return made


def table_cells(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """The table: a header and a row a row, the settings first and then the figures."""
    facts = {"run": _labels(found.rows)}
    if len({run.seed for row in found.rows for run in row.runs}) > 1:
        facts["seeds"] = [_seeds(row) for row in found.rows]
    if not all(row.finished for row in found.rows):
        facts["status"] = [row.runs[0].status for row in found.rows]
        facts["epoch"] = [str(row.runs[0].epoch) for row in found.rows]
    header = [*facts, *found.settings, *found.figures]
    decimals = {
        name: _decimals([row.figures[name] for row in found.rows if name in row.figures])
        for name in found.figures
    }
    rows = []
    for row, *cells in zip(found.rows, *facts.values(), strict=True):
        cells += [_setting(row.settings.get(key)) for key in found.settings]
        cells += [_figure(row.figures.get(name), decimals[name]) for name in found.figures]
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


def _figure(figure: Figure | None, decimals: int) -> str:
    if figure is None:
        return MISSING
    text = f"{MARKS[figure.mark]}{figure.mean:.{decimals}f}"
    return text if figure.margin is None else f"{text} ± {figure.margin:.{decimals}f}"


def _decimals(figures: Sequence[Figure]) -> int:
    """Two digits of the smallest margin, or three to four of the largest value."""
    margins = [figure.margin for figure in figures if figure.margin]
    values = [value for figure in figures for value in figure.values]
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
    figures = [figure for row in found.rows for figure in row.figures.values()]
    marks = {figure.mark for figure in figures}
    signs = []
    if any(figure.margin is not None for figure in figures):
        signs.append("± is the 95 % confidence interval over seeds (Student's t)")
    if "best" in marks:
        signs.append(f"{best} the best")
    if "equal" in marks:
        signs.append("≈ not told apart from the best (Welch's t-test, p ≥ 0.05)")
    notes = [f"{', '.join(signs)}."] if signs else []
    if len(found.rows) > 1 and any(len(row.runs) == 1 for row in found.rows):
        notes.append("One run of a recipe cannot tell a difference from noise; train more seeds.")
    return notes
