"""The training loop. The only module that knows the order of things."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dvae_core.errors import DvaeError, Interrupted, did_you_mean, text_of
from dvae_core.files import write_atomically
from dvae_core.latent.evaluation import measure
from dvae_core.latent.kept_means import keep_means
from dvae_core.latent.kept_posterior import keep_posterior
from dvae_core.latent.png import png
from dvae_core.plugin.events import Events
from dvae_core.plugin.guard import guarded
from dvae_core.plugin.kinds import Callback
from dvae_core.plugin.labelled_images import Split
from dvae_core.plugin.registry import Registry
from dvae_core.randomness import set_aside
from dvae_core.recipe.goal import Goal
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.rows import measured_key
from dvae_core.runs.watch import Watch
from dvae_core.stopping import StopRequest
from dvae_core.training.callback_states import is_empty, restore, states_of
from dvae_core.training.ranks.ranks import ALONE, Ranks
from dvae_core.training.state import Training
from dvae_core.training.steps import steps_of


def train(
    training: Training,
    run: RunFolder,
    registry: Registry,
    watch: Watch,
    stop: StopRequest,
    state: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Run the loop, and make sure that the folder and the listeners learn how it ended.

    `state` is the checkpoint that the run goes on from.
    """
    callbacks = training.recipe.callbacks
    events = Events(registry, callbacks, watch.warn, watch.stage, training.recipe.seed)
    told = _restore(callbacks, state or {}, training.epoch, run.told, watch.warn)
    if not training.ranks.first:
        with training.ranks.together(run.path):
            _loop(training, run, events, watch, stop)
        return training.ranks.from_first(lambda: run)
    status = "failed"
    try:
        run.set_status("running", ranks=training.ranks.count)
        watch.started(run, training.timeline, training.step)
        events.tell("run_started", run=run)
        if not told:
            _tell_again(run, training.epoch, events)
            run.note_told(training.epoch)
        with training.ranks.together(run.path):
            _loop(training, run, events, watch, stop)
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    except BaseException as error:
        with contextlib.suppress(DvaeError):
            run.set_status("failed", error=text_of(error))
        raise
    finally:
        if status != "failed":
            run.set_status(status)
        events.tell("run_finished", run=run, status=status)
    return training.ranks.from_first(lambda: run)


def _loop(
    training: Training, run: RunFolder, events: Events, watch: Watch, stop: StopRequest
) -> None:
    ranks, goal = training.ranks, Goal.of(training.recipe.train.keep_best)
    steps = steps_of(training)
    checkpoint_due = _checkpoint_clock(training.recipe.train.checkpoint_every, ranks)
    while training.epoch < training.recipe.train.epochs:
        between = training.epoch > 0 and training.epoch_step == 0
        if ranks.max(int(between and run.stopped is not None)):
            ranks.from_first(lambda: _end_early(training, run, events, watch))
            return
        started = time.perf_counter()
        first = training.epoch_step
        for block_full in steps.take(watch.warn):
            save = checkpoint_due(training.step)
            if block_full or save:
                training.check_finite(run)
                watch.stepped(training.step, training.ledger.means())
            if signal := ranks.max(stop.signal or 0, training.step):
                _stop(training, run, watch, signal)
            if save and ranks.first:
                run.save_checkpoint(_state(training, watch))
        training.check_finite(run)
        watch.stepped(training.step, training.ledger.means())
        trained = time.perf_counter() - started

        training.finish_epoch()
        row, figures = ranks.from_first(lambda: _evaluate(training, run, watch))
        training.objective.measured(row)
        if ranks.first:
            images_seen = training.images_in_epoch(first)
            row |= {
                "seconds": round(time.perf_counter() - started, 3),
                "images_per_second": round(images_seen / trained, 1),
            }
            run.rows.append(row)
            state = _state(training, watch, told=False)
            # The best one first: what a kill leaves undone here, the next start does again.
            if _is_best(goal, run):
                run.save_checkpoint(state, "best")
            run.save_checkpoint(state)
            events.tell("epoch_finished", run=run, metrics=row, figures=figures)
            state = _state(training, watch)
            if not all(is_empty(kept["state"]) for kept in state["callbacks"]):
                run.save_checkpoint(state)
            run.note_told(training.epoch)
            watch.epoch_finished(row)
        signal = ranks.max(stop.signal or 0)
        if signal and training.epoch < training.recipe.train.epochs:
            _stop(training, run, watch, signal)
    if ranks.first and run.stopped is not None:  # at its end anyway
        run.set_stopped(None)


def _end_early(training: Training, run: RunFolder, events: Events, watch: Watch) -> None:
    """Make the last finished epoch the run's last one, as `Run.stop` has asked for.

    What only a last epoch is measured for is measured now, with the best weights if so asked.
    """
    stopped, epoch = run.stopped or {}, training.epoch
    watch.stage(f"stopping after epoch {epoch}: {stopped['reason']}")
    *_, row = run.metrics()
    best = _best_epoch(training, run, watch) if stopped["restore_best"] else epoch
    measured = {key.partition("/")[0] for key in row}
    full = "test" in measured and epoch % training.recipe.evaluate.every == 0
    if best != epoch or not full:
        again, figures = _evaluate(training, run, watch, last=True)
        row |= {key: v for key, v in again.items() if not key.startswith("train/")}
        if best != epoch:
            row["restored_epoch"] = best
        run.rows.replace_last(row)
        run.save_checkpoint(_state(training, watch))
        events.tell("epoch_finished", run=run, metrics=row, figures=figures)
    stopped.pop("asked_in", None)
    run.set_stopped(stopped | {"epoch": epoch, "of": training.recipe.train.epochs})


def _best_epoch(training: Training, run: RunFolder, watch: Watch) -> int:
    """The epoch of the best checkpoint, whose weights the training now has."""
    try:
        state, _ = run.load_checkpoint("best")
        training.load_weights(state)
    except DvaeError as error:
        watch.warn(f"the weights stay those of the last epoch: {error}")
        return training.epoch
    return int(state["epoch"])


def _state(training: Training, watch: Watch, *, told: bool = True) -> dict[str, Any]:
    """A checkpoint; `told` is whether the callbacks' states are those of after the last epoch."""
    callbacks = states_of(training.recipe.callbacks, watch.warn)
    return training.state_dict() | {"callbacks": callbacks, "told": told}


def _restore(
    callbacks: Sequence[Callback],
    state: Mapping[str, Any],
    epoch: int,
    noted: int | None,
    warn: Callable[[str], None],
) -> bool:
    """Hand the callbacks their states; whether they have been told of all finished epochs."""
    kept = state.get("callbacks", ())
    restore(callbacks, kept, warn)
    has_states = any(isinstance(one, dict) and not is_empty(one.get("state", {})) for one in kept)
    if has_states:  # of before or of after, and so they go by what the checkpoint says
        return bool(state.get("told", True)) or epoch == 0
    return noted is None or noted >= epoch


def _tell_again(run: RunFolder, epoch: int, events: Events) -> None:
    """A kill came between an epoch's checkpoint and the callbacks: they hear of the epoch now."""
    row = next((row for row in reversed(run.metrics()) if row["epoch"] == epoch), None)
    if row is not None:
        figures = run.figures(epoch)
        events.tell("epoch_finished", run=run, metrics=row, figures=figures)


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
        if not ranks.max(now - last >= 60 * int(number), step):
            return False
        last = now
        return True

    return due


def _is_best(goal: Goal | None, run: RunFolder) -> bool:
    """Whether the last epoch is the best so far by the goal; the first of equals wins."""
    if goal is None:
        return False
    *before, last = run.metrics()
    if goal.key not in last:
        return False
    return all(goal.better(last[goal.key], row.get(goal.key)) for row in before)


def _stop(training: Training, run: RunFolder, watch: Watch, number: int) -> None:
    training.check_finite(run)
    message = ""
    if training.ranks.first:
        file = run.save_checkpoint(_state(training, watch))
        message = (
            f"interrupted after step {training.step:,}; checkpoint: {file}\n"
            f"go on with: {training.ranks.command} run --resume {run.path}"
        )
    raise Interrupted(message, exit_code=128 + number)


def _evaluate(
    training: Training, run: RunFolder, watch: Watch, *, last: bool = False
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The epoch's row of metrics, and its figures by plot name.

    A metric or a plot that fails is reported and left out; hours of training are worth more.
    """
    recipe, epoch = training.recipe, training.epoch
    watch.stage(f"evaluating epoch {epoch}")
    last = last or epoch == recipe.train.epochs
    due = epoch % recipe.evaluate.every == 0 or last
    row: dict[str, Any] = {"epoch": epoch, "step": training.step, **training.means}
    figures: dict[str, Path] = {}
    training.train(False)
    goal = Goal.of(recipe.train.keep_best)
    # Beside validation images those of the test wait for the end, unless a goal is forced on them.
    splits: list[Split] = ["val"] if training.data.has_validation else ["test"]
    if splits == ["val"] and (last or (goal is not None and goal.by_test)):
        splits.append("test")
    before = [r for r in run.metrics() if r["epoch"] < epoch]
    stop = partial(run.stop_after, epoch)
    snapshot = training.snapshot(before, watch.stage, stop).on(splits[0])
    for split in splits:
        seen = snapshot.on(split)
        measured = measure(seen, recipe.evaluate.metrics if due else (), watch)
        row |= measured.row
        measured.save_details(run.path)
        for failure in measured.failures:
            watch.warn(failure)
    if due:
        keep_means(snapshot, run.path)
        if seen.split == "test":
            keep_posterior(seen, run.path)
    if due and goal is not None and goal.key not in row:
        hint = did_you_mean(goal.key, row) or f"; there are {', '.join(row)}"
        watch.warn(f'train.keep_best: there is no metric "{goal.key}"{hint}')
    for name in recipe.evaluate.line or ():
        missing = measured_key(name, row) is None and not name.startswith("test/")  # may come last
        if missing and epoch == min(recipe.evaluate.every, recipe.train.epochs):
            hint = did_you_mean(name, [key.partition("/")[2] for key in row])
            watch.warn(f'evaluate.line: there is no figure "{name}"{hint}')
    with set_aside(recipe.seed, "plots"):
        for plot in recipe.evaluate.plots if due else ():
            image = None
            with guarded(f'plot "{plot.name}" failed', watch.warn):
                image = png(plot.draw(snapshot))
            if image is not None:
                figures[plot.name] = run.figure_path(epoch, plot.name)
                write_atomically(figures[plot.name], image)
    training.train()
    return row, figures
