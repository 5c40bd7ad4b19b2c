"""A trained run, taken up again: for notebooks, and for every command that looks at one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dvae_core.checkpoints import Epoch
from dvae_core.data import load_data
from dvae_core.errors import RunFolderError
from dvae_core.evaluation import Evaluation, choose_metrics, measure
from dvae_core.model import build_model
from dvae_core.randomness import set_aside
from dvae_core.recipe import Recipe
from dvae_core.registry import Registry, load_registry
from dvae_core.run_folder import RunFolder
from dvae_core.snapshot import Snapshot
from dvae_core.training import Training, is_available
from dvae_core.watch import Watch


class LoadedRun:
    """A run's folder, recipe and model, as of one checkpoint. Made by `load_run`."""

    def __init__(
        self, folder: RunFolder, recipe: Recipe, state: dict[str, Any], registry: Registry
    ) -> None:
        self.folder = folder
        """The run folder."""
        self.recipe = recipe
        """The resolved recipe."""
        self.epoch: int = state["epoch"]
        """Epochs finished at the checkpoint."""
        self._state = state
        self._registry = registry
        self._snapshot: Snapshot | None = None
        try:
            shape, self.classes = folder.info["image_shape"], tuple(folder.info["classes"])
            with set_aside(recipe.seed, "load"):
                self.model = build_model(recipe, tuple(shape), self.classes)
            self.model.load_state_dict(state["model"])
        except Exception as error:  # what is in a stranger's checkpoint may raise anything
            raise RunFolderError(
                f"{folder.path}: the checkpoint does not fit the recipe: {error}"
            ) from error
        self.model.eval()

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mean and log_var [P, D] of images [P, C, H, W], uint8 or float in [0, 1]."""
        scale = 255 if images.dtype == np.uint8 else 1
        with torch.inference_mode():
            mean, log_var = self.model.encode(torch.from_numpy(images.astype(np.float32) / scale))
        return mean.numpy(), log_var.numpy()

    def decode(self, points: np.ndarray) -> np.ndarray:
        """Images float32 [P, C, H, W] in [0, 1] of latent points [P, D]."""
        with torch.inference_mode():
            logits = self.model.decode(torch.from_numpy(points.astype(np.float32)))
            return self.recipe.reconstruction.component.image(logits).numpy()

    def classify(self, points: np.ndarray) -> np.ndarray | None:
        """The head's class probabilities [P, K] at latent points [P, D]; None without guidance."""
        with torch.inference_mode():
            logits = self.model.classify(torch.from_numpy(points.astype(np.float32)))
            return None if logits is None else logits.softmax(dim=1).numpy()

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, an epoch each: `pandas.DataFrame(run.metrics())` works."""
        return self.folder.metrics()

    def snapshot(self, watch: Watch | None = None) -> Snapshot:
        """What metrics and plots see. Loads the run's data, the first time.

        On the run's device where this machine has it.

        Raises:
            DataError: the data cannot be had.
        """
        if self._snapshot is not None:
            return self._snapshot
        device = self.recipe.train.device
        train = {"device": device if is_available(device) else "auto"}
        # The run's callbacks hear of a run, and this is none.
        changes = {"callbacks": (), "train": self.recipe.train.model_copy(update=train)}
        recipe = self.recipe.model_copy(update=changes)
        with set_aside(recipe.seed, "load"):
            training = Training(recipe, load_data(recipe.dataset))
            training.load_state_dict(self._state)
        training.train(False)
        before = [row for row in self.metrics() if row["epoch"] < self.epoch]
        self._snapshot = training.snapshot(before, (watch or Watch()).stage)
        return self._snapshot

    def evaluate(
        self, metrics: Sequence[str] | None = None, *, watch: Watch | None = None
    ) -> Evaluation:
        """Measure the run as it measures itself after an epoch. Writes nothing.

        Args:
            metrics: names of metrics; those of the recipe if left out.
            watch: who is told what goes on.

        Raises:
            DataError: the data cannot be had.
            RecipeError: there is no such metric, or it needs keys.
        """
        watch = watch or Watch()
        chosen = self.recipe.evaluate.metrics
        if metrics is not None:
            chosen = tuple(choose_metrics(self.recipe, metrics, self._registry))
        watch.stage(f"loading {self.recipe.dataset.name}")
        return measure(self.snapshot(watch), chosen, watch)


def load_run(
    run: str | Path | RunFolder,
    epoch: Epoch | None = None,
    *,
    watch: Watch | None = None,
    registry: Registry | None = None,
) -> LoadedRun:
    """Take up a run from its folder alone; it may still be training.

    Args:
        run: the run folder.
        epoch: the epoch whose end is wanted, or "best"; the newest good checkpoint if left out.
        watch: who is told what goes on.
        registry: where components are looked up; where the run itself did, if it is at hand.

    Raises:
        RunFolderError: there is no run, or no good checkpoint, in the folder; or that epoch's
            checkpoint is not kept.
        RecipeError: a plugin that the run needs is missing; the message says what to install.
    """
    watch = watch or Watch()
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    registry = registry or folder.registry or load_registry()
    recipe = folder.load_recipe(registry)
    state, warnings = folder.load_checkpoint(epoch)
    for warning in [*folder.version_warnings(registry), *warnings]:
        watch.warn(warning)
    return LoadedRun(folder, recipe, state, registry)
