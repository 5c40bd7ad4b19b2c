"""The training loop. The only module that knows the order of things."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dvae_core.data import load_data
from dvae_core.details import save_details
from dvae_core.errors import DvaeError, Interrupted, NoCheckpoint, RecipeError
from dvae_core.evaluation import measure
from dvae_core.events import Events
from dvae_core.files import write_atomically
from dvae_core.png import png
from dvae_core.randomness import set_aside
from dvae_core.ranks import ALONE, Ranks, join
from dvae_core.recipe import Recipe, check_same_experiment, load_recipe
from dvae_core.registry import Registry, load_registry
from dvae_core.run_folder import RunFolder
from dvae_core.signals import StopRequest, stop_request
from dvae_core.training import Training
from dvae_core.tuning import settle
from dvae_core.watch import Silence, Watch


def run_recipe(
    recipe: Recipe | str | Path,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    watch: Watch | None = None,
    registry: Registry | None = None,
) -> RunFolder:
    """Train a recipe from its start to its end, in a new run folder under `out`.

    Where torchrun has started several processes, each calls this, and they train one run together.
    If it starts them anew because one was lost, they go on with the run that they had begun.

    Args:
        recipe: the recipe, or its file.
        out: where the run folder is made.
        name: the run folder's; the recipe's name, the time and four letters if left out.
        watch: who is told what goes on.
        registry: where components are looked up.

    Raises:
        RecipeError: the recipe is wrong, or does not fit its data.
        DataError: the data cannot be had.
        Diverged: the loss stopped being finite.
        Interrupted: SIGINT or SIGTERM; a checkpoint was written first.
        RankLost: another process that trains the run is gone.
    """
    watch, registry = watch or Watch(), registry or load_registry()
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, registry=registry)
    with join() as ranks:
        watch = watch if ranks.first else Silence()
        begun = ranks.begun()
        if begun is None:
            return _start(recipe, Path(out), name, registry, watch, ranks)
        run = RunFolder.open(begun, registry)
        with _locked(run, ranks):
            return _resume(run, None, registry, watch, ranks, or_start=True)


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
    with join() as ranks:
        watch = watch if ranks.first else Silence()
        run = RunFolder.open(path, registry)
        with _locked(run, ranks):
            return _resume(run, recipe, registry, watch, ranks)


def _start(
    recipe: Recipe, out: Path, name: str | None, registry: Registry, watch: Watch, ranks: Ranks
) -> RunFolder:
    training = prepare(recipe, watch, ranks)

    def create() -> RunFolder:
        RunFolder.check_space(out, training.disk_space())
        run = RunFolder.create(training.recipe, registry, out, training.data, training.facts, name)
        ranks.begin(run.path)
        return run

    run = ranks.from_first(create)
    with _locked(run, ranks):
        return _train(training, run, registry, watch)


def _resume(
    run: RunFolder,
    recipe: Recipe | None,
    registry: Registry,
    watch: Watch,
    ranks: Ranks,
    *,
    or_start: bool = False,
) -> RunFolder:
    """Go on from the last checkpoint; from the start if there is none and `or_start`."""
    before = run.load_recipe(registry)
    recipe = recipe or before
    check_same_experiment(before, recipe)
    state, warnings = ranks.from_first(lambda: _last_state(run, or_start))
    for warning in [*run.version_warnings(registry), *warnings]:
        watch.warn(warning)
    training = prepare(recipe, watch, ranks)
    try:
        if state is not None:
            training.load_state_dict(state)
    except Exception as error:  # what is in a stranger's checkpoint may raise anything
        raise RecipeError(f"{run.path}: the checkpoint does not fit the recipe: {error}") from error
    if training.epoch >= recipe.train.epochs:
        more = f"--set train.epochs={training.epoch + recipe.train.epochs}"
        watch.warn(f"all {training.epoch} epochs are done already; {more} goes on")
        return run
    if ranks.first:
        run.remove_leftovers()
        run.forget_after(training.epoch)
        run.set_recipe(recipe)
    return _train(training, run, registry, watch)


def _last_state(run: RunFolder, or_start: bool) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        return run.load_checkpoint()
    except NoCheckpoint:
        if or_start:
            return None, []
        raise


def _locked(run: RunFolder, ranks: Ranks) -> contextlib.AbstractContextManager:
    return run.lock() if ranks.first else contextlib.nullcontext()


def prepare(recipe: Recipe, watch: Watch, ranks: Ranks = ALONE) -> Training:
    """Load a recipe's data and put its parts together, if its callbacks can do their work here."""
    for callback in recipe.callbacks:
        callback.check()
    recipe = ranks.fit(recipe)
    watch.stage(f"loading {recipe.dataset.name}")
    with ranks.after_first():
        data = load_data(recipe.dataset)
    recipe.check_schedules(len(data.train_images))
    recipe, measured = ranks.from_first(lambda: settle(recipe, data, watch))
    return Training(recipe, data, measured, ranks)


def _train(training: Training, run: RunFolder, registry: Registry, watch: Watch) -> RunFolder:
    """Run the loop, and make sure that the folder and the listeners learn how it ended."""
    events = Events(registry, training.recipe.callbacks, watch.warn)
    if not training.ranks.first:
        with stop_request() as stop, training.ranks.together(run.path):
            _loop(training, run, events, watch, stop)
        return training.ranks.from_first(lambda: run)
    run.set_status("running", ranks=training.ranks.count)
    watch.started(run, training.timeline, training.step)
    events.tell("run_started", run=run)
    status = "failed"
    try:
        with stop_request() as stop, training.ranks.together(run.path):
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
    return training.ranks.from_first(lambda: run)


def _loop(
    training: Training, run: RunFolder, events: Events, watch: Watch, stop: StopRequest
) -> None:
    ranks = training.ranks
    checkpoint_due = _checkpoint_clock(training.recipe.train.checkpoint_every, ranks)
    while training.epoch < training.recipe.train.epochs:
        started = time.perf_counter()
        first = training.epoch_step
        for images, labels in training.batches.epoch(training.epoch, skip=first):
            block_full = training.take_step(images, labels)
            save = checkpoint_due(training.step)
            if block_full or save:
                training.check_finite(run)
                watch.stepped(training.step, training.ledger.means())
            if signal := ranks.most(stop.signal or 0, training.step):
                _stop(training, run, signal)
            if save and ranks.first:
                run.save_checkpoint(training.state_dict())
        training.check_finite(run)
        trained = time.perf_counter() - started

        training.finish_epoch()
        if ranks.first:
            watch.stage(f"evaluating epoch {training.epoch}")
            row, figures = _evaluate(training, run, watch)
            images_seen = training.images_in_epoch(first)
            row |= {
                "seconds": round(time.perf_counter() - started, 3),
                "images_per_second": round(images_seen / trained, 1),
            }
            run.append_metrics(row)
            run.save_checkpoint(training.state_dict())
            if _is_best(training.recipe.train.keep_best, run):
                run.save_checkpoint(training.state_dict(), "best")
            events.tell("epoch_finished", run=run, metrics=row, figures=figures)
            watch.epoch_finished(row)
        signal = ranks.most(stop.signal or 0)
        if signal and training.epoch < training.recipe.train.epochs:
            _stop(training, run, signal)


def _checkpoint_clock(every: str | None, ranks: Ranks = ALONE) -> Callable[[int], bool]:
    """Whether a checkpoint is due after a step, as `train.checkpoint_every` says."""
    if every is None:
        return lambda step: False
    number, unit = every.split()
    if unit == "steps":
        return lambda step: step % int(number) == 0
    last = time.monotonic()

    def due(step: int) -> bool:
        nonlocal last
        now = time.monotonic()
        if not ranks.most(now - last >= 60 * int(number), step):
            return False
        last = now
        return True

    return due


def _is_best(keep_best: str | None, run: RunFolder) -> bool:
    """Whether the last epoch is the best so far by `train.keep_best`; the first of equals wins."""
    if keep_best is None:
        return False
    direction, key = keep_best.split()
    rows = run.metrics()
    values = [row[key] for row in rows if key in row]
    if key not in rows[-1]:
        return False
    better = max if direction == "highest" else min
    return values[-1] == better(values) and values.count(values[-1]) == 1


def _stop(training: Training, run: RunFolder, number: int) -> None:
    training.check_finite(run)
    message = ""
    if training.ranks.first:
        file = run.save_checkpoint(training.state_dict())
        message = (
            f"interrupted after step {training.step:,}; checkpoint: {file}\n"
            f"go on with: {training.ranks.command} run --resume {run.path}"
        )
    raise Interrupted(message, exit_code=128 + number)


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
    training.train(False)
    snapshot = training.snapshot(run.metrics(), watch.stage)
    measured = measure(snapshot, recipe.evaluate.metrics if due else (), watch)
    row |= {f"test/{name}": value for name, value in measured.values.items()}
    for name, details in measured.details.items():
        save_details(run.path, epoch, name, details)
    for failure in measured.failures:
        watch.warn(failure)
    with set_aside(recipe.seed, "plots"):
        for plot in recipe.evaluate.plots if due else ():
            path = run.figure_path(epoch, plot.name)
            try:
                image = png(plot.draw(snapshot))
            except Exception as error:
                watch.warn(f'plot "{plot.name}" failed: {type(error).__name__}: {error}')
                continue
            write_atomically(path, image)
            figures[plot.name] = path
    training.train()
    return row, figures
