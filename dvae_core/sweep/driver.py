"""Drives a sweep: offers its runs to a launcher, and reads in their folders what comes of them."""

from __future__ import annotations

import contextlib
import platform
import secrets
import shutil
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dvae_core.errors import DvaeError, Interrupted, RecipeError, RunFolderError
from dvae_core.files import locked, unwritable, write_atomically
from dvae_core.plugin.events import Events
from dvae_core.plugin.kinds import Callback
from dvae_core.plugin.registry import Registry, load_registry
from dvae_core.recipe.goal import Goal
from dvae_core.recipe.recipe import Recipe
from dvae_core.recipe.same import check_same_experiment
from dvae_core.runs.comparison_table import Comparison
from dvae_core.runs.folder import RunFolder, new_name
from dvae_core.runs.journal import FORMAT, Journal, read_journal
from dvae_core.runs.provenance import TIME
from dvae_core.stopping import StopRequest, stop_request
from dvae_core.sweep.jobs import common_device, runs_at_once, session_file
from dvae_core.sweep.plan import Plan, Variant, digest, run_name
from dvae_core.sweep.queue import Queue
from dvae_core.sweep.results import write_results
from dvae_core.sweep.search import Trials
from dvae_core.sweep.sweep_file import SweepFile, load_sweep
from dvae_core.sweep.tracker import Tracker
from dvae_core.sweep.watch import SweepWatch

ROUNDS = 3
"""A launcher is started again for runs that it left undone, until so often nothing came of it."""
PATIENCE = 60.0
"""Seconds that runs have for their checkpoints when the sweep is stopped."""
GRACE = 2.0
"""Seconds in which a job that was just taken shows up."""


@dataclass(frozen=True)
class SweepOutcome:
    """What came of a sweep."""

    path: Path
    """The sweep's folder."""
    failed: dict[str, str]
    """Why each failed run did, by its name."""
    comparison: Comparison | None
    """The finished runs beside each other; None where none finished."""


def run_sweep(
    sweep: str | Path,
    out: str | Path = "sweeps",
    *,
    overrides: Sequence[str] = (),
    launcher: str | None = None,
    resume: str | Path | None = None,
    retry: bool = False,
    watch: SweepWatch | None = None,
    registry: Registry | None = None,
) -> SweepOutcome:
    """Train every run of a sweep file, and compare them.

    Args:
        sweep: the sweep file.
        out: where the sweep's folder is made.
        overrides: `table.key=value` each, for the recipe that all runs have in common; laid over
            those that the sweep had last, if it goes on.
        launcher: the name of the launcher, in place of the file's.
        resume: the folder of this sweep, to go on with it; more runs may be planned since.
        retry: run failed runs again.
        watch: who is told what goes on.
        registry: where components are looked up.

    Raises:
        RecipeError: the sweep file or the recipe of a run is wrong.
        RunFolderError: the folder cannot be written, or another process drives it.
        Interrupted: SIGINT or SIGTERM; runs under way have written checkpoints.
        DvaeError: the launcher failed.
    """
    watch, registry = watch or SweepWatch(), registry or load_registry()
    sweep_file = load_sweep(Path(sweep), registry, launcher)
    if resume is not None:
        overrides = _laid_over(_last_overrides(Path(resume)), overrides)
    plan = Plan(sweep_file, overrides, registry)
    watch.stage("checking every recipe")
    variants = list(plan.variants()) if sweep_file.search is None else plan.corners()
    recipes = plan.check(variants)
    for warning in plan.warnings(recipes):
        watch.warn(warning)
    folder = _folder(sweep_file, Path(out), resume)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(folder, "another process drives this sweep"))
        except DvaeError:
            if resume is None:  # nothing is in it yet
                shutil.rmtree(folder, ignore_errors=True)
            raise
        journal = Journal(folder / "journal.jsonl")
        tracker = Tracker(folder, journal, secrets.token_hex(4), Goal.of(sweep_file.goal), watch)
        try:
            with stop_request() as stop:
                queue = _plan(plan, tracker, variants, recipes, retry=retry)
                write_atomically(folder / "sweep.toml", sweep_file.text.encode())
                write_atomically(session_file(folder), tracker.session.encode())
                _drive(sweep_file, queue, tracker, watch, stop)
        except Interrupted as interrupted:
            again = ["dvae sweep", str(sweep), *(f"--set '{o}'" for o in overrides)]
            again += [f"--launcher {launcher}"] * bool(launcher)
            raise Interrupted(
                f"{interrupted}\ngo on with: {' '.join(again)} --resume {folder}",
                interrupted.exit_code,
            ) from None
        finally:
            session_file(folder).unlink(missing_ok=True)
        watch.stage("comparing the runs")
        found = write_results(folder, registry, watch)
        watch.stage("telling callbacks")
        Events(registry, _callbacks(recipes), watch.warn).tell("sweep_finished", sweep=found)
    return SweepOutcome(folder, dict(journal.errors), found.comparison)


def _last_overrides(folder: Path) -> tuple[str, ...]:
    """What the sweep was started with, or gone on with, the last time."""
    if not (folder / "journal.jsonl").exists():
        return ()
    sessions = [row for row in read_journal(folder / "journal.jsonl") if "session" in row]
    return tuple(map(str, sessions[-1].get("set", ()))) if sessions else ()


def _laid_over(before: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The overrides from before whose keys are not given anew, and then those that are."""
    keys = {override.partition("=")[0].strip() for override in given}
    kept = [override for override in before if override.partition("=")[0].strip() not in keys]
    return (*kept, *given)


def _callbacks(recipes: Sequence[Recipe]) -> list[Callback]:
    """The callbacks of some recipes, each once."""
    found: list[Callback] = []
    for recipe in recipes:
        found += [callback for callback in recipe.callbacks if callback not in found]
    return found


def _plan(
    plan: Plan, tracker: Tracker, variants: list[Variant], recipes: list[Recipe], *, retry: bool
) -> Queue:
    """All runs, in the tracker and in a queue; variants and retries go into the journal."""
    names = [variant.name for variant in variants]
    known, trials = dict(zip(names, variants, strict=True)), None
    epochs = [recipe.train.epochs for recipe in recipes]
    device = common_device(recipes)
    journal = tracker.journal
    if plan.sweep.search is not None:
        trials = Trials(plan, tracker)
        # A trial that the journal does not know has not been begun: it may be one that cannot be.
        names = trials.names
        known = {n: v for n, v in trials.known().items() if n in journal.variants}
        recipes = plan.check(list(known.values()))
        # A trial that is not drawn yet is taken to be as long as any.
        lengths = {n: recipe.train.epochs for n, recipe in zip(known, recipes, strict=True)}
        epochs = [lengths.get(name, epochs[0]) for name in names]
    digests = {name: digest(recipe) for name, recipe in zip(known, recipes, strict=True)}
    changed = [n for n, now in digests.items() if journal.variants.get(n, now) != now]
    if changed:
        found = dict(zip(known, recipes, strict=True))
        lines = [line for n in changed for line in _what_changed(plan, tracker.folder, n, found[n])]
        raise RecipeError([*dict.fromkeys(lines), "start a new sweep, or undo the change"])
    journal.add(
        [
            {
                "format": FORMAT,
                "session": tracker.session,
                "host": platform.node(),
                "time": time.strftime(TIME),
                "launcher": plan.sweep.launcher.name,
                "set": list(plan.overrides),
            },
            *({"variant": n, "recipe": d} for n, d in digests.items() if n not in journal.variants),
            *({"run": name, "status": "retry"} for name in journal.errors if retry),
        ]
    )
    tracker.look(now=True)
    queue = Queue(plan, tracker, variants, trials, device)
    for variant, length in zip(names, epochs, strict=True):
        for seed in plan.sweep.seeds:
            tracker.plan(run_name(variant, seed), length)
    return queue


def _drive(
    sweep: SweepFile, queue: Queue, tracker: Tracker, watch: SweepWatch, stop: StopRequest
) -> None:
    at_once = runs_at_once(sweep.launcher, queue.refill(), queue.device)
    watch.started(tracker.folder, tracker.progress, at_once)
    in_vain = 0
    while queue.refill():
        before = tracker.reached
        _round(sweep, queue, tracker, stop)
        if stop.signal is not None:
            done = f"{tracker.progress.ended} of {tracker.progress.runs} runs are done"
            raise Interrupted(f"interrupted; {done}", 128 + stop.signal)
        in_vain = in_vain + 1 if tracker.reached == before else 0
        if in_vain == ROUNDS:
            undone = ", ".join(sorted(queue.undone())[:5])
            raise DvaeError(
                f'launcher "{sweep.launcher.name}" ended {ROUNDS} times and left runs undone, such '
                f"as {undone}; look into {tracker.folder}/logs, or try another --launcher"
            )


def _round(sweep: SweepFile, queue: Queue, tracker: Tracker, stop: StopRequest) -> None:
    """Let the launcher do what it will with the queue."""
    waiting = sweep.launcher.launch(queue)
    halted: float | None = None
    try:
        for _ in waiting:
            tracker.look()
            queue.prune()
            if tracker.refusal is not None and halted is None:
                halted = _halt(queue, tracker)
            if stop.signal is not None and halted is None:
                halted = _halt(queue, tracker)
            if halted is not None:
                waited = time.monotonic() - halted
                if waited > PATIENCE or (waited > GRACE and not tracker.running):
                    break
    except DvaeError:
        raise
    except Exception as error:
        name = sweep.launcher.name
        raise DvaeError(f'launcher "{name}" failed: {type(error).__name__}: {error}') from error
    finally:
        if isinstance(waiting, Generator):
            waiting.close()
        tracker.look(now=True)
    if tracker.refusal is not None:
        raise DvaeError(
            f"a worker is not fit for this sweep: {tracker.refusal}; install the same versions "
            "there, and go on with --resume"
        )


def _halt(queue: Queue, tracker: Tracker) -> float:
    queue.close()
    session_file(tracker.folder).unlink(missing_ok=True)
    return time.monotonic()


def _folder(sweep: SweepFile, out: Path, resume: str | Path | None) -> Path:
    if resume is not None:
        folder = Path(resume)
        if not (folder / "journal.jsonl").exists():
            raise RunFolderError(f"{folder}: not a sweep's folder: there is no journal.jsonl")
        return folder
    folder = out / new_name(sweep.name, "sweep")
    try:
        for part in ("jobs", "figures"):
            (folder / part).mkdir(parents=True)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(folder, error) from error
    return folder


def _what_changed(plan: Plan, folder: Path, variant: str, recipe: Recipe) -> list[str]:
    for run in sorted(folder.glob(f"{variant}-seed-*/run.json")):
        try:
            before = RunFolder.open(run.parent).load_recipe(plan.registry)
            check_same_experiment(before, recipe.model_copy(update={"seed": before.seed}))
        except RecipeError as error:
            return [f"variant {variant}: {line}" for line in error.problems[:-1]]
    return [f"variant {variant}: its recipe has changed since the sweep was started"]
