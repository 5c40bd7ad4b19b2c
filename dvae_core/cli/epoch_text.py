"""An epoch's row of metrics as text: one line of it, or all of it as a table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH = 80
"""Columns of a line."""
FIGURES = 3
"""Measured figures in a line, at most; all stand in the table at the end."""
SHORT = {"reconstruction": "rec"}
SPLITS = ("val/", "test/")
WORTH_A_WORD = 60.0
"""Seconds of evaluation in a run from which it is said that they were more than training took."""


def epoch_line(row: Mapping[str, Any], epochs: int, chosen: Sequence[str] = ()) -> str:
    """One epoch in one line: the loss, its terms, and as many measured figures as fit.

    Args:
        row: a line of metrics.jsonl.
        epochs: of the whole run.
        chosen: figures that come first, with or without their split before them; what has not
            been measured says so.

    >>> epoch_line({"epoch": 1, "train/loss": 9.0, "train/reconstruction": 7.0, "train/kl": 4.0,
    ...     "train/kl_weight": 0.5, "test/kl": 3.5, "test/knn_accuracy": 0.5}, 10)
    'epoch  1/10  loss 9.00  rec 7.00  kl 4.00 | knn_accuracy 0.500'
    >>> epoch_line({"epoch": 1, "train/loss": 9.0, "val/a": 1.0, "val/b": 2.0}, 9, ["b", "c"])
    'epoch 1/9  loss 9.00 | b 2.00  c -  a 1.000'
    """
    terms = [key for key in row if key.startswith("train/") and _is_term(key, row)]
    names = [key.removeprefix("train/") for key in terms]
    measured = [key for key in row if key.startswith(SPLITS)]
    first = [_measured(name, measured) or name for name in chosen] if measured else []
    others = [key for key in measured if key.partition("/")[2] not in names and key not in first]

    asked = "  ".join(_figure(key, row) for key in first)
    line = f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"
    line = _filled(line, [f"  {_figure(key, row)}" for key in terms], WIDTH - len(asked) - 3)
    if asked:
        line += f" | {asked}"
    else:
        line = _filled(line, [f" | {_figure(key, row)}" for key in others[:1]])
        others = others[1:]
    rest = [f"  {_figure(key, row)}" for key in others[: max(0, FIGURES - max(1, len(first)))]]
    return _filled(line, rest)


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


def _figure(key: str, row: Mapping[str, Any]) -> str:
    """A figure with its name, without the split; of one that was not measured, a dash."""
    name = key.partition("/")[2] if key.startswith((*SPLITS, "train/")) else key
    return f"{SHORT.get(name, name)} {number(name, row[key]) if key in row else '-'}"


def _filled(line: str, pieces: Sequence[str], width: int = WIDTH) -> str:
    """A line with those of the pieces that fit."""
    for piece in pieces:
        if len(line + piece) <= width:
            line += piece
    return line


def _measured(name: str, keys: Sequence[str]) -> str | None:
    """The key of a figure: what is looked at each epoch before the test images."""
    return next((key for key in (name, *(split + name for split in SPLITS)) if key in keys), None)


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
