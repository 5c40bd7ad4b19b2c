"""An epoch's row of metrics as text: one line of it, or all of it as a table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvae_core.runs.rows import SPLITS, measured_key

WIDTH = 80
"""Columns of a line."""
FIGURES = 3
"""Measured figures in a line, at most; all stand in the table at the end."""
SHORT = {"reconstruction": "rec"}
WORTH_A_WORD = 60.0
"""Seconds of evaluation in a run from which it is said that they were more than training took."""


def epoch_line(
    row: Mapping[str, Any], epochs: int, goal: str = "", chosen: Sequence[str] = ()
) -> str:
    """One epoch in one line: the loss, its terms, and as many measured figures as fit.

    Args:
        row: a line of metrics.jsonl.
        epochs: of the whole run.
        goal: the key that the run keeps its best epoch by; it comes first.
        chosen: the figures to show in place of these, with or without their split; what has not
            been measured has a dash.

    >>> row = {"epoch": 1, "train/loss": 9.0, "train/reconstruction": 7.0, "train/kl": 4.0,
    ...     "train/kl_weight": 0.5, "test/kl": 3.5, "test/knn_accuracy": 0.5}
    >>> epoch_line(row, 10)
    'epoch  1/10  loss 9.00  rec 7.00  kl 4.00 | knn_accuracy 0.500'
    >>> epoch_line(row, 10, chosen=["test/kl", "void_rate"])
    'epoch  1/10  loss 9.00  rec 7.00  kl 4.00 | test/kl 3.50  void_rate -'
    """
    terms = [key for key in row if key.startswith("train/") and _is_term(key, row)]
    measured = [key for key in row if key.startswith(SPLITS)]
    figures = [f"{name} {_shown(name, row)}" for name in chosen] if measured else []
    if not chosen:
        names = [key.removeprefix("train/") for key in terms]
        others = [key for key in measured if key.partition("/")[2] not in names]
        others.sort(key=lambda key: key != goal)
        figures = [f"{key.partition('/')[2]} {_shown(key, row)}" for key in others[:FIGURES]]
    line = f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"
    kept = len("  ".join(figures)) + 3 if chosen else 0
    for key in terms:
        name = key.removeprefix("train/")
        piece = f"  {SHORT.get(name, name)} {number(name, row[key])}"
        if name == "loss" or len(line + piece) <= WIDTH - kept:
            line += piece
    for n, figure in enumerate(figures):
        piece = f"{'  ' if n else ' | '}{figure}"
        if chosen or len(line + piece) <= WIDTH:
            line += piece
    return line


def _shown(name: str, row: Mapping[str, Any]) -> str:
    key = measured_key(name, row)
    return "-" if key is None else number(name.rpartition("/")[2], row[key])


def evaluation_hint(rows: Sequence[Mapping[str, Any]], images: int) -> str | None:
    """A word to who has waited for evaluation longer than for training, and for a minute at least.

    >>> evaluation_hint([{"seconds": 100.0, "images_per_second": 50.0}], images=1000)
    'evaluation took 80 of 100 seconds; evaluate.every = 5, say, makes it rarer'
    """
    timed = [row for row in rows if row.get("images_per_second", 0) > 0 and "seconds" in row]
    spent = sum(row["seconds"] for row in timed)
    evaluated = spent - sum(images / row["images_per_second"] for row in timed)
    if evaluated < max(WORTH_A_WORD, spent / 2):
        return None
    took = f"evaluation took {evaluated:.0f} of {spent:.0f} seconds"
    return f"{took}; evaluate.every = 5, say, makes it rarer"


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
