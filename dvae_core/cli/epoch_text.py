"""An epoch's row of metrics as text: one line of it, or all of it as a table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WIDTH = 80
"""Columns of a line."""
FIGURES = 3
"""Measured figures in a line, at most; all stand in the table at the end."""
SHORT = {"reconstruction": "rec"}


def epoch_line(row: Mapping[str, Any], epochs: int, goal: str = "") -> str:
    """One epoch in one line: the loss, its terms, and as many measured figures as fit.

    Args:
        row: a line of metrics.jsonl.
        epochs: of the whole run.
        goal: the key that the run keeps its best epoch by; it comes first.

    >>> epoch_line({"epoch": 1, "train/loss": 9.0, "train/reconstruction": 7.0, "train/kl": 4.0,
    ...     "train/kl_weight": 0.5, "test/kl": 3.5, "test/knn_accuracy": 0.5}, 10)
    'epoch  1/10  loss 9.00  rec 7.00  kl 4.00 | knn_accuracy 0.500'
    """
    line = f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"
    terms = [key for key in row if key.startswith("train/") and _is_term(key, row)]
    for key in terms:
        name = key.removeprefix("train/")
        piece = f"  {SHORT.get(name, name)} {number(name, row[key])}"
        if len(line + piece) <= WIDTH:
            line += piece
    measured = [key for key in row if key.startswith(("val/", "test/"))]
    names = [key.removeprefix("train/") for key in terms]
    chosen = [key for key in measured if key.partition("/")[2] not in names]
    chosen.sort(key=lambda key: key != goal)
    shown = 0
    for key in chosen:
        name = key.partition("/")[2]
        piece = f"{'  ' if shown else ' | '}{name} {number(name, row[key])}"
        if shown < FIGURES and len(line + piece) <= WIDTH:
            line += piece
            shown += 1
    return line


def epoch_table(row: Mapping[str, Any]) -> str:
    """All of an epoch, a figure a line: of training with its weight, of validation, of the test.

    >>> print(epoch_table({"epoch": 1, "train/kl": 4.0, "train/kl_weight": 0.5, "test/kl": 3.5,
    ...     "test/knn_accuracy": 0.5}))
    epoch 1       train  weight   test
    kl             4.00     0.5   3.50
    knn_accuracy                 0.500
    """
    names: dict[str, dict[str, str]] = {}
    for key, value in row.items():
        part, _, name = key.partition("/")
        if part in ("val", "test") or (part == "train" and not _is_weight(key, row)):
            names.setdefault(name, {})[part] = number(name, value)
            if part == "train" and f"{key}_weight" in row:
                names[name]["weight"] = f"{row[f'{key}_weight']:.3g}"
    columns = [
        part
        for part in ("train", "weight", "val", "test")
        if any(part in cells for cells in names.values())
    ]
    lines = [[f"epoch {row['epoch']}", *columns]]
    lines += [[name, *(cells.get(part, "") for part in columns)] for name, cells in names.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in lines
    )


def next_step(run: Path) -> str:
    """What one does with a finished run, to be pasted."""
    return f"next: dvae explore {shlex.quote(str(run))}"


def number(name: str, value: float) -> str:
    """A figure with as many digits as it deserves."""
    large = abs(value) >= 2 or name in ("loss", "reconstruction", "kl")
    return f"{value:.2f}" if large else f"{value:.3f}"


def _is_weight(key: str, row: Mapping[str, Any]) -> bool:
    return key.endswith("_weight") and key.removesuffix("_weight") in row


def _is_term(key: str, row: Mapping[str, Any]) -> bool:
    return key == "train/loss" or f"{key}_weight" in row or key == "train/reconstruction"
