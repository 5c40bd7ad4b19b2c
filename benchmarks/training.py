"""Training throughput: dvae's own loop beside the machine's pace and beside its peers."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import ROOT, Turn, in_turn, paces, ratio
from benchmarks.report import Table
from dvae_core import load_recipe
from dvae_core.model.data import load_data

RECIPES = {"conv": ROOT / "recipes" / "mnist_abs.toml", "mlp": ROOT / "recipes" / "mnist_mlp.toml"}
TOLERANCE = 0.15
"""How far a contender's mean loss of the first epoch may be from dvae's: other random numbers."""


def job_of(model: str, batch: int, precision: str, images: int, threads: int) -> dict[str, Any]:
    """What a contender is told, but for where the data lies."""
    changes = [
        f"dataset.train_limit={images}", "dataset.test_limit=100", "train.epochs=1",
        f"train.batch_size={batch}", f'train.precision="{precision}"', "train.device=cpu",
        "guidance.weight.allow_unfinished=true",
        "evaluate.metrics=[]", "evaluate.plots=[]", "callbacks=[]",
    ]  # fmt: skip
    recipe = load_recipe(RECIPES[model], changes)
    return {
        "model": model, "batch": batch, "precision": precision, "images": images,
        "threads": threads, "recipe": str(RECIPES[model]), "set": changes,
        "optimizer": {"name": recipe.optimizer.name, **recipe.optimizer.keywords},
    }  # fmt: skip


def measure(job: dict[str, Any], names: Sequence[str], rounds: int) -> tuple[Table, dict[str, Any]]:
    """One model at one batch size and precision: a table, and the same as data."""
    recipe = load_recipe(job["recipe"], job["set"])
    data = load_data(recipe.dataset)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, images=data.train_images, labels=data.train_labels)
        turns = in_turn(["framework", *names], job | {"data": str(path)}, rounds)
    return _report(job, turns)


def _report(job: dict[str, Any], turns: dict[str, list[Turn]]) -> tuple[Table, dict[str, Any]]:
    # Where others use the processor too, its time tells more than the clock, if one thread works.
    clock = "cpu_seconds" if job["threads"] == 1 else "seconds"
    title = f"{job['model']}, batch {job['batch']}, {job['precision']}, threads: {job['threads']}"
    table = Table(title, ["", "images/s", "dvae is", "of the ceiling", "loss", "versions"])
    own = turns["framework"]
    rows = {}
    for name, theirs in turns.items():
        loss = statistics.mean(turn["loss"] for turn in theirs)
        row: dict[str, Any] = {
            "images_per_second": statistics.median(paces(theirs, clock)),
            "dvae_is": ratio(own, theirs, clock),
            "loss": None if name == "ceiling" else loss,
            "versions": theirs[0]["versions"],
        }
        if "ceiling" in turns:
            row["of_ceiling"] = ratio(theirs, turns["ceiling"], clock)
        if name != "ceiling":
            expected = statistics.mean(turn["loss"] for turn in own)
            row["same_loss"] = abs(loss - expected) <= TOLERANCE * expected
        row["turns"] = theirs
        rows[name] = row
        table.add(
            "dvae" if name == "framework" else name,
            f"{row['images_per_second']:,.0f}",
            f"{row['dvae_is']:.2f}x",
            f"{100 * row['of_ceiling']:.0f} %" if "of_ceiling" in row else "",
            "" if name == "ceiling" else f"{loss:.1f}{'' if row['same_loss'] else ' (differs)'}",
            ", ".join(f"{k} {v}" for k, v in row["versions"].items()),
        )
    return table, {**{k: job[k] for k in ("model", "batch", "precision", "threads")}, "rows": rows}
