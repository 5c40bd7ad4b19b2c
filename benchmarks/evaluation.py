"""What an evaluation costs beside the epoch of training before it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.contenders import ROOT
from benchmarks.report import Table
from dvae_core import load_recipe
from dvae_core.latent.evaluation import measure
from dvae_core.latent.png import png
from dvae_core.runs.watch import Watch
from dvae_core.training.run import Training, prepare

STEPS = 20


def share_of_epoch(
    threads: int, rounds: int, precision: str = "float32", train_limit: int = 20_000
) -> tuple[Table, dict[str, Any]]:
    """The parts of an evaluation of recipes/mnist_abs.toml, as shares of an epoch.

    Steps and evaluations take turns; the epoch is the median step times its number.
    """
    torch.set_num_threads(threads)
    changes = ["callbacks=[]", "train.device=cpu", f'train.precision="{precision}"']
    changes.append(f"evaluate.train_limit={train_limit}")
    training = prepare(load_recipe(ROOT / "recipes" / "mnist_abs.toml", changes), Watch())
    _steps(training)
    shares: dict[str, list[float]] = {}
    for _ in range(rounds):
        before = _steps(training)
        parts = _evaluation(training)
        epoch = (before + _steps(training)) / 2 * len(training.batches)
        for name, seconds in parts.items():
            shares.setdefault(name, []).append(seconds / epoch)
    title = f"evaluation, conv, {precision}, judged by {train_limit:,} training images"
    table = Table(title, ["", "of an epoch"])
    medians = {name: statistics.median(values) for name, values in shares.items()}
    medians["all of it"] = statistics.median(map(sum, zip(*shares.values(), strict=True)))
    for name, share in medians.items():
        table.add(name, f"{100 * share:.1f} %")
    return table, {"precision": precision, "train_limit": train_limit, "shares": medians}


def _steps(training: Training) -> float:
    """Seconds of a step."""
    batches = iter(training.batches.epoch(0))
    started = _now()
    for _ in range(STEPS):
        training.take_step(*next(batches))
    training.ledger.read()
    return (_now() - started) / STEPS


def _evaluation(training: Training) -> dict[str, float]:
    recipe = training.recipe
    training.train(False)
    snapshot = training.snapshot()
    parts = {
        "encode the training images": _seconds(lambda: snapshot.train_means),
        "encode the test images": _seconds(lambda: snapshot.test_means),
        "losses of the test images, metrics": _seconds(
            lambda: measure(snapshot, recipe.evaluate.metrics, Watch())
        ),
    }
    for plot in recipe.evaluate.plots:
        parts[f"plot {plot.name}"] = _seconds(lambda plot=plot: png(plot.draw(snapshot)))
    training.train()
    return parts


def _seconds(work: Callable[[], object]) -> float:
    started = _now()
    work()
    return _now() - started


def _now() -> float:
    """The processor's time where one thread works: a busy machine does not change it."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def manifold(threads: int, rounds: int) -> tuple[Table, dict[str, Any]]:
    """The 625 decodes of the manifold plot: as dvae does them, and one at a time."""
    torch.set_num_threads(threads)
    recipe = load_recipe(ROOT / "recipes" / "mnist_abs.toml", ["callbacks=[]", "train.device=cpu"])
    training = prepare(recipe, Watch())
    training.train(False)
    snapshot = training.snapshot()
    points = np.random.default_rng(0).normal(size=(625, 2)).astype(np.float32)
    ways: dict[str, Callable[[], object]] = {
        "in one call": lambda: snapshot.decode(points),
        "one at a time": lambda: [snapshot.decode(point[None]) for point in points],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(_seconds(way))
    table = Table("625 decodes", ["", "median s"])
    for name, values in times.items():
        table.add(name, f"{statistics.median(values):.3f}")
    return table, {name: statistics.median(values) for name, values in times.items()}
