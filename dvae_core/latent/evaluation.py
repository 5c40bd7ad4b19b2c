"""Measures a snapshot: the one way, while a run trains and afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dvae_core.errors import RecipeError
from dvae_core.latent.snapshot import Snapshot
from dvae_core.plugin.guard import guarded
from dvae_core.plugin.kinds import Metric
from dvae_core.plugin.labelled_images import Split
from dvae_core.plugin.registry import Registry, UnknownComponent
from dvae_core.randomness import set_aside
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.kept import check_details, save_details
from dvae_core.runs.rows import LARGEST_NUMBER
from dvae_core.runs.watch import Watch


@dataclass(frozen=True)
class Evaluation:
    """What was measured after an epoch."""

    epoch: int
    """Epochs finished."""
    step: int
    """Steps finished."""
    values: dict[str, float]
    """`reconstruction` and `kl` of the images, then what the metrics gave, by name."""
    details: dict[str, dict[str, Any]]
    """What else a metric wants kept, by its name."""
    failures: tuple[str, ...]
    """A line for each metric that failed, and each figure that was left out."""
    split: Split = "test"
    """The images that were measured."""

    @property
    def row(self) -> dict[str, float]:
        """The values as they stand in a row of metrics.jsonl."""
        return {f"{self.split}/{name}": value for name, value in self.values.items()}

    def save_details(self, run: Path) -> None:
        """Keep the details in a run folder, those of validation images as `val-<metric>`.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        for name, details in self.details.items():
            save_details(run, self.epoch, name if self.split == "test" else f"val-{name}", details)


def measure(snapshot: Snapshot, metrics: Iterable[Metric], watch: Watch) -> Evaluation:
    """The losses of the snapshot's images and all metrics; one that fails costs no other.

    Each metric finds the global random generators seeded alike, so that what it measures depends on
    neither the order nor the company.
    """
    details: dict[str, dict[str, Any]] = {}
    failures: list[str] = []
    with set_aside(snapshot.seed, "evaluation"):
        values = snapshot.test_losses()
    for metric in metrics:
        watch.stage(f"measuring {metric.name} after epoch {snapshot.epoch}")
        aside = set_aside(snapshot.seed, "evaluation")
        with guarded(f'metric "{metric.name}" failed', failures.append), aside:
            measured = {str(name): float(v) for name, v in metric.measure(snapshot).items()}
            for name, value in measured.items():
                if not abs(value) < LARGEST_NUMBER:  # nor where it is no number
                    raise ValueError(f"{name} is {value}")
            for name, value in measured.items():
                if values.setdefault(name, value) != value:
                    failures.append(
                        f'metric "{metric.name}": its {name} of {value:.4g} is left out, for there '
                        f"is one of {values[name]:.4g} already"
                    )
            kept = metric.details(snapshot)
            check_details(kept)
            details[metric.name] = kept
    return Evaluation(
        snapshot.epoch, snapshot.step, values, details, tuple(failures), snapshot.split
    )


def choose_metrics(recipe: Recipe, names: Sequence[str], registry: Registry) -> list[Metric]:
    """Metrics by name: with the recipe's keys where it has them, with their defaults elsewhere.

    Raises:
        RecipeError: a line for each name that is unknown, or whose metric needs keys.
    """
    chosen: list[Metric] = []
    problems = []
    for name in dict.fromkeys(names):
        own = [metric for metric in recipe.evaluate.metrics if metric.name == name]
        try:
            chosen += own or [registry.get("metric", name).from_table({})]  # type: ignore[list-item]
        except UnknownComponent as error:
            problems.append(str(error))
        except ValidationError as error:
            keys = ", ".join(str(detail["loc"][0]) for detail in error.errors())
            problems.append(f'metric "{name}" needs keys that only a recipe can give: {keys}')
    if problems:
        raise RecipeError(problems)
    return chosen
