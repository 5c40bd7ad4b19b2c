"""What a sweep would do, and how long one measured epoch says that it would take."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from dvae_core.plugin.registry import Registry, load_registry
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.watch import Watch
from dvae_core.sweep.jobs import common_device, runs_at_once
from dvae_core.sweep.plan import Plan, run_name
from dvae_core.sweep.search import trial_names
from dvae_core.sweep.sweep_file import load_sweep
from dvae_core.sweep.watch import SweepWatch


@dataclass(frozen=True)
class Forecast:
    """What `forecast` found."""

    runs: dict[str, int]
    """The epochs of each run, by its name, in the order in which they would start."""
    epoch_seconds: float
    """One epoch of the first run with its evaluation, here, by itself."""
    at_once: int | None
    """Runs that would go on at the same time, if that is known."""

    @property
    def seconds(self) -> float:
        """All epochs, by as many runs at a time as there would be."""
        return self.epoch_seconds * sum(self.runs.values()) / (self.at_once or 1)


def forecast(
    sweep: str | Path,
    *,
    overrides: tuple[str, ...] = (),
    launcher: str | None = None,
    watch: SweepWatch | None = None,
    registry: Registry | None = None,
) -> Forecast:
    """Check a sweep, measure one epoch of its first run, and leave nothing behind.

    Raises:
        RecipeError: the sweep file or the recipe of a run is wrong.
        DataError: the data cannot be had.
    """
    watch, registry = watch or SweepWatch(), registry or load_registry()
    sweep_file = load_sweep(Path(sweep), registry, launcher)
    plan = Plan(sweep_file, overrides, registry)
    watch.stage("checking every recipe")
    if sweep_file.search is None:
        variants = list(plan.variants())
        recipes = plan.check(variants)
        epochs = {v.name: r.train.epochs for v, r in zip(variants, recipes, strict=True)}
        pairs = [(name, seed) for seed in sweep_file.seeds for name in epochs]
    else:
        recipes = plan.check(plan.corners())
        epochs = dict.fromkeys(trial_names(sweep_file.search), recipes[0].train.epochs)
        pairs = [(name, seed) for name in epochs for seed in sweep_file.seeds]
    for warning in plan.warnings(recipes):
        watch.warn(warning)
    watch.stage("measuring an epoch")
    seconds = measure_epoch(recipes[0], registry)
    runs = {run_name(name, seed): epochs[name] for name, seed in pairs}
    at_once = runs_at_once(sweep_file.launcher, len(runs), common_device(recipes))
    return Forecast(runs, seconds, at_once)


def measure_epoch(recipe: Recipe, registry: Registry) -> float:
    """Seconds of a recipe's first epoch, its evaluation included; nothing hears of the run."""
    from dvae_core.training.run import run_recipe

    with tempfile.TemporaryDirectory() as folder:
        silent = recipe.model_copy(update={"callbacks": ()})
        try:
            run_recipe(silent, folder, watch=_FirstEpoch(), registry=registry)
        except _Measured as measured:
            return measured.seconds
    raise AssertionError("a run without an epoch")


class _Measured(Exception):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class _FirstEpoch(Watch):
    def epoch_finished(self, row: dict[str, float]) -> None:
        raise _Measured(row["seconds"])

    def warn(self, text: str) -> None:
        pass
