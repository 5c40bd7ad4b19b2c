"""The training loop. The only module that knows the order of things."""

from __future__ import annotations

import contextlib
import io
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dvae_core import optimizers
from dvae_core.batches import Batches
from dvae_core.components import LabelledImages
from dvae_core.data import guidance_labels, load_data
from dvae_core.errors import Diverged, DvaeError, Interrupted, RecipeError
from dvae_core.events import Events
from dvae_core.model import build_model
from dvae_core.objective import Ledger, Objective
from dvae_core.randomness import (
    derived_seed,
    generator,
    global_state,
    seed_everything,
    set_aside,
    set_global_state,
)
from dvae_core.recipe import Recipe, check_same_experiment, load_recipe
from dvae_core.registry import Registry, load_registry
from dvae_core.run_folder import RunFolder, write_atomically
from dvae_core.signals import StopRequest, stop_request
from dvae_core.snapshot import Snapshot
from dvae_core.watch import Watch


def run_recipe(
    recipe: Recipe | str | Path,
    out: str | Path = "runs",
    *,
    watch: Watch | None = None,
    registry: Registry | None = None,
) -> RunFolder:
    """Train a recipe from its start to its end, in a new run folder under `out`.

    Raises:
        RecipeError: the recipe is wrong, or does not fit its data.
        DataError: the data cannot be had.
        Diverged: the loss stopped being finite.
        Interrupted: SIGINT or SIGTERM; a checkpoint was written first.
    """
    watch, registry = watch or Watch(), registry or load_registry()
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, registry=registry)
    training = prepare(recipe, watch)
    run = RunFolder.create(recipe, registry, Path(out), str(training.device))
    return _train(training, run, registry, watch)


def resume_run(
    path: str | Path,
    recipe: Recipe | None = None,
    *,
    watch: Watch | None = None,
    registry: Registry | None = None,
) -> RunFolder:
    """Go on with a run from its newest good checkpoint.

    Args:
        path: the run folder.
        recipe: the run's recipe, if something of it changes that a run may change on its way:
            its length, its evaluation, its callbacks, its device.

    Raises:
        RunFolderError: there is nothing to resume from.
        RecipeError: `recipe` is another experiment.
        Others: as `run_recipe`.
    """
    watch, registry = watch or Watch(), registry or load_registry()
    run = RunFolder.open(path)
    before = run.load_recipe(registry)
    recipe = recipe or before
    check_same_experiment(before, recipe)
    state, warnings = run.load_checkpoint()
    for warning in [*run.version_warnings(registry), *warnings]:
        watch.warn(warning)
    training = prepare(recipe, watch)
    try:
        training.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise RecipeError(f"{run.path}: the checkpoint does not fit the recipe: {error}") from error
    if training.epoch >= recipe.train.epochs:
        more = f"--set train.epochs={training.epoch + recipe.train.epochs}"
        watch.warn(f"all {training.epoch} epochs are done already; {more} goes on")
        return run
    run.forget_after(training.epoch)
    run.set_recipe(recipe)
    return _train(training, run, registry, watch)


def prepare(recipe: Recipe, watch: Watch) -> Training:
    """Load a recipe's data and put its parts together."""
    watch.stage(f"loading {recipe.dataset.name}")
    data = load_data(recipe.dataset)
    recipe.check_schedules(len(data.train_images))
    return Training(recipe, data)


def _train(training: Training, run: RunFolder, registry: Registry, watch: Watch) -> RunFolder:
    """Run the loop, and make sure that the folder and the listeners learn how it ended."""
    events = Events(registry, training.recipe.callbacks, watch.warn)
    run.set_status("running")
    watch.started(run, training.timeline, training.step)
    events.tell("run_started", run=run)
    status = "failed"
    try:
        with stop_request() as stop:
            _loop(training, run, events, watch, stop)
        status = "finished"
    except Interrupted:
        status = "interrupted"
        raise
    except Exception as error:
        with contextlib.suppress(DvaeError):
            run.set_status("failed", error=str(error))
        raise
    finally:
        if status != "failed":
            run.set_status(status)
        events.tell("run_finished", run=run, status=status)
    return run


def _loop(
    training: Training, run: RunFolder, events: Events, watch: Watch, stop: StopRequest
) -> None:
    while training.epoch < training.recipe.train.epochs:
        started = time.perf_counter()
        first = training.epoch_step
        for images, labels in training.batches.epoch(training.epoch, skip=first):
            if training.take_step(images, labels):
                training.check_finite(run)
                watch.stepped(training.step, training.ledger.means())
            if stop.signal is not None:
                training.check_finite(run)
                _stop(training, run, stop.signal)
        training.check_finite(run)
        trained = time.perf_counter() - started

        training.finish_epoch()
        watch.stage(f"evaluating epoch {training.epoch}")
        row, figures = _evaluate(training, run, watch)
        images_seen = training.images_in_epoch(first)
        row |= {
            "seconds": round(time.perf_counter() - started, 3),
            "images_per_second": round(images_seen / trained, 1),
        }
        run.append_metrics(row)
        run.save_checkpoint(training.state_dict())
        events.tell("epoch_finished", run=run, metrics=row, figures=figures)
        watch.epoch_finished(row)
        if stop.signal is not None and training.epoch < training.recipe.train.epochs:
            _stop(training, run, stop.signal)


def _stop(training: Training, run: RunFolder, number: int) -> None:
    file = run.save_checkpoint(training.state_dict())
    raise Interrupted(
        f"interrupted after step {training.step:,}; checkpoint: {file}\n"
        f"go on with: dvae run --resume {run.path}",
        exit_code=128 + number,
    )


class Training:
    """The parts of a run, put together, and the state that a checkpoint keeps."""

    def __init__(self, recipe: Recipe, data: LabelledImages) -> None:
        self.recipe = recipe
        self.data = data
        self.device = _device(recipe.train.device)
        self.timeline = recipe.timeline(len(data.train_images))
        seed_everything(recipe.seed, "start")
        self.model = build_model(recipe, data.image_shape, data.classes)
        self.model.to(self.device).to(memory_format=torch.channels_last)
        self.objective = Objective(recipe, self.model, self.timeline).to(self.device)
        # A term may hold the model itself; each parameter is trained once.
        parameters = dict.fromkeys([*self.model.parameters(), *self.objective.parameters()])
        try:
            self.optimizer = optimizers.build(
                recipe.optimizer.name, recipe.optimizer.keywords, parameters
            )
        except ValueError as error:
            raise RecipeError(
                f"{recipe.origin(('optimizer', 'name'))}: [optimizer] {error}"
            ) from error
        fraction = recipe.dataset.labelled_fraction
        visible = guidance_labels(
            data.train_labels, fraction, derived_seed(recipe.seed, "hidden labels")
        )
        self.batches = Batches(
            data.train_images,
            visible,
            batch_size=recipe.train.batch_size,
            seed=recipe.seed,
            device=self.device,
        )
        self.noise = generator(recipe.seed, "latent noise", device=self.device)
        self.ledger = Ledger(self.objective.names, self.device)
        self.epoch = 0
        """Epochs finished."""
        self.epoch_step = 0
        """Steps into the epoch at hand."""
        self.means: dict[str, float] = {}
        """The last finished epoch's means."""

    @property
    def step(self) -> int:
        """Steps finished."""
        return self.epoch * self.timeline.steps_per_epoch + self.epoch_step

    def autocast(self) -> contextlib.AbstractContextManager:
        """The precision of the networks."""
        if self.recipe.train.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def take_step(self, images: Tensor, labels: Tensor) -> bool:
        """One optimizer step; True when the ledger is due for reading."""
        noise = torch.randn(
            len(images), self.model.latent_dim, generator=self.noise, device=self.device
        )
        with self.autocast():
            outputs = self.model(images, noise)
        weights = self.objective.weights_at(self.step)
        loss, row = self.objective(outputs, labels, weights)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.epoch_step += 1
        return self.ledger.add(row, len(images))

    def check_finite(self, run: RunFolder) -> None:
        """Read the ledger, and stop where a term is not finite.

        Raises:
            Diverged: with the step, its terms and their weights, and what to do.
        """
        found = self.ledger.read()
        if found is None:
            return
        ago, values = found
        step = self.step - ago
        weights = self.objective.weights_at(step - 1)
        terms = ", ".join(
            f"{name} {values[name]:g} (weight {weight:g})"
            for name, weight in zip(self.objective.names, weights, strict=True)
        )
        checkpoint = run.last_checkpoint() or "none yet"
        raise Diverged(
            f"the loss is no longer finite at step {step:,} (epoch {self.epoch + 1}): {terms}. "
            f"Try a smaller learning rate or smaller weights. Last good checkpoint: {checkpoint}"
        )

    def finish_epoch(self) -> None:
        """The epoch's last step is taken."""
        self.means = self.ledger.means()
        weights = self.objective.weights_at(self.step - 1)
        for name, weight in zip(self.objective.names, weights, strict=True):
            self.means[f"train/{name}_weight"] = weight
        self.ledger.reset()
        self.epoch, self.epoch_step = self.epoch + 1, 0

    def images_in_epoch(self, first: int) -> int:
        """Images of an epoch from batch number `first` on."""
        return len(self.data.train_images) - first * self.recipe.train.batch_size

    def snapshot(self) -> Snapshot:
        """The state that metrics and plots look at."""
        return Snapshot(
            self.model,
            self.objective,
            self.data,
            epoch=self.epoch,
            step=self.step,
            seed=self.recipe.seed,
            device=self.device,
            autocast=self.autocast,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on as if it had never stopped."""
        return {
            "epoch": self.epoch,
            "epoch_step": self.epoch_step,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ledger": self.ledger.state_dict(),
            "noise": self.noise.get_state(),
            "global_random": global_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The opposite of `state_dict`.

        Raises:
            KeyError, ValueError, RuntimeError: the state is of another model.
        """
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ledger.load_state_dict(state["ledger"])
        self.noise.set_state(state["noise"].cpu())
        set_global_state(state["global_random"])
        self.epoch, self.epoch_step = state["epoch"], state["epoch_step"]


def _evaluate(
    training: Training, run: RunFolder, watch: Watch
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The epoch's row of metrics, and its figures by plot name.

    A metric or a plot that fails is reported and left out; hours of training are worth more.
    """
    recipe, epoch = training.recipe, training.epoch
    due = epoch % recipe.evaluate.every == 0 or epoch == recipe.train.epochs
    row: dict[str, Any] = {"epoch": epoch, "step": training.step, **training.means}
    figures: dict[str, Path] = {}
    training.model.eval()
    with set_aside(recipe.seed, "evaluation"):
        snapshot = training.snapshot()
        for name, value in snapshot.test_losses().items():
            row[f"test/{name}"] = value
        for metric in recipe.evaluate.metrics if due else ():
            try:
                for name, value in metric.measure(snapshot).items():
                    if not math.isfinite(value):
                        raise ValueError(f"{name} is {value}")
                    row[f"test/{name}"] = float(value)
            except Exception as error:
                watch.warn(f'metric "{metric.name}" failed: {type(error).__name__}: {error}')
        for plot in recipe.evaluate.plots if due else ():
            path = run.figure_path(epoch, plot.name)
            image = io.BytesIO()
            try:
                plot.draw(snapshot).savefig(image, format="png", dpi=120)
            except Exception as error:
                watch.warn(f'plot "{plot.name}" failed: {type(error).__name__}: {error}')
                continue
            write_atomically(path, image.getvalue())
            figures[plot.name] = path
    training.model.train()
    return row, figures


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[device.type]:
        raise RecipeError(f'[train] device: "{name}" is not available on this machine; try "auto"')
    return device
