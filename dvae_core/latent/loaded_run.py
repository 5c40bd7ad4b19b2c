"""A trained run, taken up again: for notebooks, and for every command that looks at one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dvae_core.errors import DataError, RunFolderError
from dvae_core.latent.encodings import Encodings
from dvae_core.latent.evaluation import Evaluation, choose_metrics, measure
from dvae_core.latent.kept_posterior import take_posterior
from dvae_core.latent.networks import HIDDEN, Networks, as_arrays
from dvae_core.latent.new_images import check_images
from dvae_core.latent.snapshot import Snapshot
from dvae_core.model.data import difference, load_data
from dvae_core.model.device import device_of, is_available, place
from dvae_core.model.fitting import build_to_fit
from dvae_core.model.objective import Objective
from dvae_core.plugin.given import Run
from dvae_core.plugin.labelled_images import Split
from dvae_core.plugin.registry import Registry, load_registry
from dvae_core.randomness import set_aside
from dvae_core.recipe.recipe import Recipe
from dvae_core.recipe.timeline import Timeline
from dvae_core.runs.checkpoints import Epoch
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.hub import at_hand
from dvae_core.runs.own_recipe import own_recipe_to_look, version_warnings
from dvae_core.runs.watch import Watch


class LoadedRun:
    """A run's folder, recipe and model, as of one checkpoint. Made by `load_run`."""

    def __init__(
        self, folder: RunFolder, recipe: Recipe, state: dict[str, Any], registry: Registry
    ) -> None:
        self.folder = folder
        """The run folder."""
        self.recipe = recipe
        """The resolved recipe, without what is not installed and not needed to look."""
        self.epoch: int = state["epoch"]
        """Epochs finished at the checkpoint."""
        self.between_epochs: bool = not state["epoch_step"]
        """Whether the checkpoint is of an epoch's end, and not of a step within one."""
        self._state = state
        self._registry = registry
        self._snapshot: Snapshot | None = None
        self._own_data = True
        device = recipe.train.device
        self.device = device_of(device if is_available(device) else "auto")
        """The run's, where this machine has it."""
        with self._fitting():
            shape, self.classes = folder.info["image_shape"], tuple(folder.info["classes"])
            with set_aside(recipe.seed, "load"):
                self.model = build_to_fit(recipe, tuple(shape), self.classes, state["model"])
            self.model.load_state_dict(state["model"])
        self.model.eval()
        place(self.model, self.device)
        self._networks = Networks(self.model, recipe, self.device)

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mean and log_var [P, D] of images [P, C, H, W], uint8 or float in [0, 1]."""
        return self._networks.encode(images)

    def encodings(self, images: np.ndarray, *, watch: Watch | None = None) -> Encodings:
        """Where images lie, what both judges and the head say of them, and how they come back.

        The judges are those of the run's own training images, which are loaded the first time. The
        image judge is trained once for a data set, which takes a while, and kept in the cache.
        Where the data cannot be had there are no judges, with a warning.

        Args:
            images: [P, C, H, W], uint8 or float in [0, 1].
            watch: who is told what goes on.

        Raises:
            DataError: they are no images as the run has them.
        """
        watch = watch or Watch()
        check_images(images, self.model.image_shape)
        watch.stage("encoding the images")
        mean, log_var = self.encode(images)
        reconstruction = self._networks.reconstruction(images, mean)
        found = Encodings(self.classes, mean, log_var, reconstruction, self.classify(mean))
        try:
            watch.stage("asking the judges")
            snapshot = self.snapshot(watch)
            votes, void = snapshot.judge.seen(mean)
            seen = snapshot.image_judge.probabilities(images)
        except DataError as error:
            watch.warn(f"without the judges: {error}")
            return found
        return replace(found, latent_judge=votes, void=void, image_judge=seen)

    def draw(
        self, count: int, label: int | None = None, *, seed: int = 0, watch: Watch | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Latent points [P, D] as training draws them, and the classes [P] of their images.

        Each is a sample of the posterior of a training image that is drawn too, from all of them or
        from a class: together they follow the aggregate posterior, of the class if one is named,
        whatever the prior. `decode(*draw(64, 0))` are images.

        Args:
            count: P.
            label: the class, by number.
            seed: of all that is drawn.
            watch: who is told what goes on.

        Raises:
            DataError: the data cannot be had, or has no image of the class.
        """
        return self.snapshot(watch).draw(count, label, seed=seed)

    def decode(self, points: np.ndarray, labels: np.ndarray | int = HIDDEN) -> np.ndarray:
        """Images float32 [P, C, H, W] in [0, 1] of latent points [P, D].

        A conditional decoder is shown the labels, one for all or [P], where -1 is unknown.
        """
        return self._networks.decode(points, labels)

    def classify(self, points: np.ndarray) -> np.ndarray | None:
        """The head's class probabilities [P, K] at latent points [P, D]; None without guidance."""
        return self._networks.classify(points)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """What was trained, and buffers, by name: as `Snapshot.parameters`.

        Those of terms too, whether or not their plugins are installed here.
        """
        return as_arrays(self._trained)

    @property
    def _trained(self) -> dict[str, Any]:
        return self.model.state_dict() | self._state["objective"]

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, an epoch each: `pandas.DataFrame(run.metrics())` works."""
        return self.folder.metrics()

    def snapshot(self, watch: Watch | None = None, *, split: Split = "test") -> Snapshot:
        """What metrics and plots see. Loads the run's data, the first time.

        On the run's device where this machine has it.

        Args:
            watch: who is told what goes on.
            split: which images are looked at; "val" for the validation images.

        Raises:
            DataError: the data cannot be had, or has no validation images.
        """
        if self._snapshot is None:
            watch = watch or Watch()
            data = load_data(self.recipe.dataset)
            other = difference(self.folder.info, data)
            self._own_data = other is None
            if other is not None:
                watch.warn(f"{self.folder.path}: looked at with other data: {other}")
            timeline = self.recipe.timeline(len(data.train_images))
            self._snapshot = Snapshot(
                self.recipe,
                self._networks,
                self._objective(timeline),
                data,
                epoch=self.epoch,
                step=self.epoch * timeline.steps_per_epoch + self._state["epoch_step"],
                history=[row for row in self.metrics() if row["epoch"] < self.epoch],
                say=watch.stage,
                trained=self._trained,
            )
        self._snapshot = self._snapshot.on(split)
        return self._snapshot

    def look(self, watch: Watch | None = None) -> Snapshot:
        """`snapshot` for who looks: it need not encode what the run's end has kept, if that holds.

        To measure a run anew, with all of its images, take `snapshot`.

        Raises:
            DataError: the data cannot be had.
        """
        snapshot = self.snapshot(watch)
        if self._own_data:
            take_posterior(snapshot, self.folder.path)
        return snapshot

    def _objective(self, timeline: Timeline) -> Objective:
        """What measures the test images: reconstruction and KL, and none of the other terms."""
        with self._fitting(), set_aside(self.recipe.seed, "load"):
            recipe = self.recipe.model_copy(update={"terms": ()})
            objective = Objective(recipe, self.model, timeline).to(self.device).eval()
            state = self._state["objective"].items()
            objective.load_state_dict({k: v for k, v in state if k.startswith("kl.")})
        return objective

    @contextlib.contextmanager
    def _fitting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # what is in a stranger's checkpoint may raise anything
            raise RunFolderError(
                f"{self.folder.path}: the checkpoint does not fit the recipe: {error}"
            ) from error

    def evaluate(
        self,
        metrics: Sequence[str] | None = None,
        *,
        watch: Watch | None = None,
        split: Split = "test",
    ) -> Evaluation:
        """Measure the run as it measures itself after an epoch. Writes nothing.

        Args:
            metrics: names of metrics; those of the recipe if left out.
            watch: who is told what goes on.
            split: which images are measured; "val" for the validation images.

        Raises:
            DataError: the data cannot be had, or has no validation images.
            RecipeError: there is no such metric, or it needs keys.
        """
        watch = watch or Watch()
        chosen = self.recipe.evaluate.metrics
        if metrics is not None:
            chosen = tuple(choose_metrics(self.recipe, metrics, self._registry))
        watch.stage(f"loading {self.recipe.dataset.name}")
        return measure(self.snapshot(watch, split=split), chosen, watch)


def load_run(
    run: str | Path | Run,
    epoch: Epoch | None = None,
    *,
    watch: Watch | None = None,
    registry: Registry | None = None,
) -> LoadedRun:
    """Take up a run from its folder alone; it may still be training.

    Args:
        run: the run folder, or the address of a run on the hub, hf://user/name.
        epoch: the epoch whose end is wanted, or "best"; the newest good checkpoint if left out.
        watch: who is told what goes on.
        registry: where components are looked up; where the run itself did, if it is at hand.

    Raises:
        RunFolderError: there is no run, or no good checkpoint, in the folder; or that epoch's
            checkpoint is not kept.
        RecipeError: a plugin that the run needs is missing; the message says what to install.
    """
    watch = watch or Watch()
    path = at_hand(run, watch.stage) if isinstance(run, str | Path) else run.path
    folder = run if isinstance(run, RunFolder) else RunFolder.open(path)
    registry = registry or folder.registry or load_registry()
    recipe, left_out = own_recipe_to_look(folder, registry)
    state, warnings = folder.load_checkpoint(epoch)
    for warning in [*left_out, *version_warnings(folder, registry), *warnings]:
        watch.warn(warning)
    return LoadedRun(folder, recipe, state, registry)
