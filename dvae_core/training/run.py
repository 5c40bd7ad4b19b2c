"""Starts runs, and goes on with them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dvae_core.errors import DvaeError, RecipeError, RunFolderError, reason
from dvae_core.files import check_space
from dvae_core.model.data import difference, load_data
from dvae_core.model.fitting import build_to_fit
from dvae_core.model.numerics import numerics
from dvae_core.plugin.guard import asked_for
from dvae_core.plugin.kinds import Callback
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.plugin.registry import Registry, load_registry
from dvae_core.recipe.goal import Goal
from dvae_core.recipe.recipe import Recipe, load_recipe
from dvae_core.recipe.same import check_same_experiment
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.own_recipe import version_warnings
from dvae_core.runs.watch import Silence, Watch
from dvae_core.stopping import stop_request
from dvae_core.training.loop import train
from dvae_core.training.ranks.ranks import ALONE, Ranks, join
from dvae_core.training.state import Training
from dvae_core.training.tuning import autotune, settled_as
from dvae_core.training.warm_start import start_from, told


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
            return _resume(run, None, registry, watch, ranks)


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
    with _numerics(recipe):
        return _start_with(recipe, out, name, registry, watch, ranks)


def _start_with(
    recipe: Recipe, out: Path, name: str | None, registry: Registry, watch: Watch, ranks: Ranks
) -> RunFolder:
    training = prepare(recipe, watch, ranks)
    facts = training.facts | _warmed(training, watch)

    def create() -> RunFolder:
        check_space(out, training.disk_space())
        run = RunFolder.create(training.recipe, registry, out, training.data, facts, name)
        ranks.begin(run.path)
        return run

    # From here on there is a folder, which is to say how the run ended.
    with stop_request() as stop:
        run = ranks.from_first(create)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_locked(run, ranks))
            except DvaeError as error:
                run.set_status("failed", error=str(error))
                raise
            return train(training, run, registry, watch, stop)


def _resume(
    run: RunFolder,
    recipe: Recipe | None,
    registry: Registry,
    watch: Watch,
    ranks: Ranks,
) -> RunFolder:
    """Go on from the last checkpoint; from the start if there was none yet."""
    before = run.load_recipe(registry)
    recipe = settled_as(before, recipe or before)
    check_same_experiment(before, recipe)
    with _numerics(recipe):
        return _resume_with(run, recipe, registry, watch, ranks, before)


def _resume_with(
    run: RunFolder,
    recipe: Recipe,
    registry: Registry,
    watch: Watch,
    ranks: Ranks,
    before: Recipe,
) -> RunFolder:
    state, warnings = ranks.from_first(lambda: _last_state(run))
    changed = [*version_warnings(run, registry), *run.environment_warnings(recipe, registry)]
    for warning in [*changed, *warnings]:
        watch.warn(warning)
    if state is not None:
        with _fitting(run):
            shape, classes = run.info["image_shape"], tuple(run.info["classes"])
            build_to_fit(recipe, tuple(shape), classes, state["model"])
    training = prepare(recipe, watch, ranks)
    recipe = recipe.fitted(len(training.data.train_images))
    other = difference(run.info, training.data)
    if other is not None:
        raise RecipeError(f"{run.path}: a run goes on with its own data: {other}")
    if state is not None:
        with _fitting(run):
            warnings = training.load_state_dict(state)
        for warning in warnings:
            watch.warn(f"{run.path}: {warning}")
    else:
        _warmed(training, watch)
    done = training.epoch >= recipe.train.epochs
    if done and run.info.get("status") == "finished":
        more = f"--set train.epochs={training.epoch + recipe.train.epochs}"
        watch.warn(f"all {training.epoch} epochs are done already; {more} goes on")
        return run
    if early := run.ended_early(recipe.train.epochs):
        watch.warn(f"{early}; --set train.epochs={recipe.train.epochs + 1} or more goes on")
        return run
    with stop_request() as stop:
        if ranks.first:
            run.tidy()
            for warning in run.rows.forget_after(training.epoch):
                watch.warn(warning)
            was = before.train.keep_best
            other_goal = was not in (None, recipe.train.keep_best)
            if other_goal and (aside := run.set_best_aside()):
                watch.warn(f"train.keep_best was {was}: what it kept is {aside} now")
            run.set_recipe(recipe)
            stopped = run.stopped or {}
            if "epoch" in stopped or stopped.get("asked_in", 0) > training.epoch:
                # It stopped, and now has more to train; or a kill came before the checkpoint of the
                # epoch that asked for it, which is trained again and may ask again.
                run.set_stopped(None)
            run.note_resume(training.epoch, training.step, recipe, registry)
        return train(training, run, registry, watch, stop, state or {})


def _warmed(training: Training, watch: Watch) -> dict[str, Any]:
    """Start from the weights of the run that the recipe names, and what run.json says of that."""
    path = training.recipe.train.start_from
    if path is None:
        return {}
    facts = start_from(training.model, path)
    watch.stage(told(facts))
    return {"start_from": facts}


def _numerics(recipe: Recipe) -> contextlib.AbstractContextManager[None]:
    return numerics(recipe.train.precision, deterministic=recipe.train.deterministic)


@contextlib.contextmanager
def _fitting(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what is in a stranger's checkpoint may raise anything
        raise RecipeError(f"{run.path}: the checkpoint does not fit the recipe: {error}") from error


def _last_state(run: RunFolder) -> tuple[dict[str, Any] | None, list[str]]:
    """The last checkpoint; none where the run was ended before its first one."""
    if run.published:
        raise RunFolderError(
            f"{run.path}: holds weights to look at, and nothing to go on with; train.start_from "
            "starts a new run with them"
        )
    if run.last_checkpoint() is None:
        return None, [f"{run.path}: there is no checkpoint yet, so the run starts again"]
    return run.load_checkpoint()


def _locked(run: RunFolder, ranks: Ranks) -> contextlib.AbstractContextManager:
    return run.lock() if ranks.first else contextlib.nullcontext()


def prepare(recipe: Recipe, watch: Watch, ranks: Ranks = ALONE) -> Training:
    """Load a recipe's data and put its parts together, if its callbacks can do their work here."""
    for callback in recipe.callbacks:
        _check(callback, recipe)
    recipe = ranks.fit(recipe)
    watch.stage(f"loading {recipe.dataset.name}")
    with ranks.after_first():
        data = load_data(recipe.dataset, watch.warn)
    _check_goal(recipe, data, watch)
    recipe = recipe.fitted(len(data.train_images))
    recipe.check_schedules(len(data.train_images))
    _check_labels(recipe, data, watch)
    recipe, measured = ranks.from_first(lambda: autotune(recipe, data, watch))
    training = Training(recipe, data, measured, ranks)
    training.check_batches()
    return training


def _check_labels(recipe: Recipe, data: LabelledImages, watch: Watch) -> None:
    if recipe.guidance is None:
        return
    if not data.classes:
        raise RecipeError("[guidance] the data set has no class; leave the table out")
    known, head = data.known_labels, recipe.guidance.component
    if not len(known):
        watch.warn("no training image has a label, so guidance has nothing to go by")
        return
    try:
        head.check_labels(known)
    except ValueError as error:
        where = recipe.origin(("guidance", "name"))
        raise RecipeError(f'{where}: [guidance] head "{head.name}": {error}') from error


def _check_goal(recipe: Recipe, data: LabelledImages, watch: Watch) -> None:
    goal = Goal.of(recipe.train.keep_best)
    if goal is None:
        return
    if problem := goal.problem(data.has_validation):
        raise RecipeError(f"{recipe.origin(('train', 'keep_best'))}: [train] keep_best: {problem}")
    if warning := goal.warning(data.has_validation):
        watch.warn(f"train.keep_best: {warning}")


def _check(callback: Callback, recipe: Recipe) -> None:
    try:
        check: Callable[..., None] = callback.check
        check(**asked_for(check, {"recipe": recipe.to_table()}))
    except (DvaeError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: a run that does not start says so
        raise DvaeError(f'callback "{callback.name}" cannot be used: {reason(error)}') from error
