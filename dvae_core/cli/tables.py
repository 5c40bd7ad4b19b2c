"""Tables on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from dvae_core.cli.streams import UNWRAPPED
from dvae_core.runs.comparison_table import (
    GAP,
    MARKS,
    Comparison,
    table_cells,
    table_notes,
    table_pieces,
)


def print_comparison(found: Comparison) -> None:
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole

    console = PlainConsole(
        width=None if sys.stdout.isatty() else UNWRAPPED, highlight=False, soft_wrap=True
    )
    header, rows = table_cells(found)
    for piece in _layout(header, rows, len(found.metrics), console.width):
        console.print(piece)
        console.print()
    for note in table_notes(found):
        console.print(Text(note, style="dim"))


def _layout(header: list[str], rows: list[list[str]], metrics: int, width: int) -> list[Any]:
    """The table as it is, or on its side, whichever needs fewer pieces to fit into the width."""
    # Long dotted keys stand on several lines above their short values.
    settings = range(1, len(header) - metrics)
    broken = [h.replace(".", ".\n") if i in settings else h for i, h in enumerate(header)]
    upright = [broken, *rows]
    on_side = [list(line) for line in zip(header, *rows, strict=True)]
    on_side.insert(len(header) - metrics, [""] * (len(rows) + 1))
    pieces = [table_pieces(table, width) for table in (upright, on_side)]
    table, split = min(zip((upright, on_side), pieces, strict=True), key=lambda pair: len(pair[1]))
    return [_piece(table, columns) for columns in split]


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
