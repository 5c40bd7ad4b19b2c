"""A job: one run of a sweep as plain data, and the one function that does it, anywhere."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout
from pydantic import TypeAdapter

from dvae_core.errors import DvaeError, Interrupted, NoCheckpoint
from dvae_core.files import acquired, small_text, unwritable, write_atomically
from dvae_core.plugin.given import Job, Jobs
from dvae_core.plugin.guard import asked_for
from dvae_core.plugin.kinds import Launcher
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.watch import Watch

if TYPE_CHECKING:
    from dvae_core.recipe.timeline import Timeline
    from dvae_core.runs.folder import RunFolder

ATTEMPTS = 3
"""A run whose process dies so often in one session has failed."""
POLL = 0.5
"""Seconds between looks at whether the sweep is still on."""


@dataclass(frozen=True)
class Record:
    """What is known of a run under way, or just ended: a file in `jobs/`."""

    name: str
    session: str
    status: str
    """running, finished, failed, interrupted, or refused: the worker is not fit for the sweep."""
    attempt: int = 1
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    seconds: float = 0.0
    """How long this attempt took."""
    error: str | None = None
    warnings: tuple[str, ...] = ()

    def write(self, sweep: Path) -> None:
        write_atomically(record_file(sweep, self.name), json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, file: Path) -> Record | None:
        """None where there is no file, or no record in it."""
        try:
            # Python's reader takes what is in file names that are no UTF-8.
            record = _reader().validate_python(json.loads(small_text(file)))
        except (OSError, ValueError):
            return None
        return record if record.name == file.stem else None


@functools.cache
def _reader() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def record_file(sweep: Path, name: str) -> Path:
    """Where the record of a run lies while it is under way."""
    return sweep / "jobs" / f"{name}.json"


def stop_file(sweep: Path, name: str) -> Path:
    """Holds why a run is to stop after its epoch."""
    return sweep / "jobs" / f"{name}.stop"


def session_file(sweep: Path) -> Path:
    """Holds the last session's name while the sweep is on."""
    return sweep / "session"


def keep_busy(submit: Callable[[Job], Future], jobs: Jobs, at_once: int) -> Iterator[None]:
    """The loop of a launcher that has futures: so many jobs at a time until none is left.

    Args:
        submit: starts a job; the future ends with it. What it raises ends the sweep.
        jobs: as `Launcher.launch` was given.
        at_once: how many jobs are under way at the same time.
    """
    busy: set[Future] = set()
    while True:
        while len(busy) < at_once and (job := next(jobs, None)) is not None:
            busy.add(submit(job))
        if not busy:
            return
        done, busy = wait(busy, timeout=POLL / 2, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        yield


def common_device(recipes: Iterable[Recipe]) -> str:
    """The device that all recipes name; "auto" where they name several."""
    named = {recipe.train.device for recipe in recipes}
    return named.pop() if len(named) == 1 else "auto"


def runs_at_once(launcher: Launcher, runs: int, device: str) -> int | None:
    """How many of so many runs on a device go on at the same time, where that is known."""
    return launcher.at_once(runs, **asked_for(launcher.at_once, {"device": device}))


def run_job(job: Job) -> None:
    """Train a job's run from its start, or from its last checkpoint, to its end.

    Raises nothing that has to do with the run: how it ended stands in its record. While another
    process is at the same job, this one waits for its turn.
    """
    sweep = Path(job.sweep)
    file = record_file(sweep, job.name).with_suffix(".lock")
    while _is_on(job):
        try:
            lock = acquired(file, POLL)
        except Timeout:
            continue
        except OSError as error:
            cause = str(unwritable(file, error))
            Record(job.name, job.session, "failed", error=cause).write(sweep)
            return
        try:
            if _is_on(job):
                _attempt(job, sweep)
        finally:
            lock.release()
        return


def _attempt(job: Job, sweep: Path) -> None:
    before = Record.read(record_file(sweep, job.name))
    died = before is not None and (before.session, before.status) == (job.session, "running")
    record = Record(job.name, job.session, "running")
    if died and before is not None:
        record = replace(record, attempt=before.attempt + 1)
        if before.attempt >= ATTEMPTS:
            cause = f"its process died {ATTEMPTS} times, last on {before.host}"
            replace(record, status="failed", error=cause).write(sweep)
            return
    if is_finished(sweep / job.name, job.recipe["train"]["epochs"]):
        replace(record, status="finished").write(sweep)
        return
    record.write(sweep)
    started = time.monotonic()
    watch = _Notes(stop_file(sweep, job.name))
    status = "finished"
    error: str | None = None
    try:
        misfit = _misfit(job)
        if misfit:
            status, error = "refused", misfit
        else:
            with _stopped_with_the_sweep(job):
                _train(job, sweep, watch)
    except Interrupted:
        status = "interrupted"
    except DvaeError as problem:
        status, error = "failed", str(problem)
    except Exception as problem:
        status, error = "failed", f"{type(problem).__name__}: {problem}"
    replace(
        record,
        status=status,
        error=error,
        seconds=round(time.monotonic() - started, 3),
        warnings=tuple(dict.fromkeys(watch.warnings)),
    ).write(sweep)


def _train(job: Job, sweep: Path, watch: Watch) -> None:
    from dvae_core.recipe.recipe import build_recipe
    from dvae_core.recipe.source import RecipeSource

    recipe = build_recipe(RecipeSource(job.recipe), job.name)

    import torch

    from dvae_core.training.run import resume_run, run_recipe

    if job.threads is not None:
        torch.set_num_threads(job.threads)
    folder = sweep / job.name
    if (folder / "run.json").exists():
        try:
            resume_run(folder, recipe, watch=watch)
            return
        except NoCheckpoint:
            pass  # nothing is lost but the start
    shutil.rmtree(folder, ignore_errors=True)
    run_recipe(recipe, sweep, name=job.name, watch=watch)


def is_finished(folder: Path, epochs: int) -> bool:
    """Whether the run in a folder has been trained to its end."""
    from dvae_core.runs.folder import RunFolder

    try:
        run = RunFolder.open(folder)
    except DvaeError:
        return False
    rows = run.metrics()
    done = bool(rows) and rows[-1]["epoch"] >= epochs
    # As run.json has it: after a kill at the very end there are listeners to tell of it.
    ended = run.info["status"] == "finished"
    return ended and (done or run.ended_early(epochs) is not None)


def _misfit(job: Job) -> str | None:
    """What is installed here in another version than the sweep wants."""
    wrong = []
    for name, wanted in job.distributions.items():
        try:
            here = version(name)
        except PackageNotFoundError:
            here = "not there"
        if here != wanted:
            wrong.append(f"{name} {wanted} is {here}")
    return f"{platform.node()}: {', '.join(wrong)}" if wrong else None


def _is_on(job: Job) -> bool:
    try:
        return session_file(Path(job.sweep)).read_text() == job.session
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a shared disk that hiccups must not stop what runs


@contextlib.contextmanager
def _stopped_with_the_sweep(job: Job) -> Iterator[None]:
    """Let the run stop, with a checkpoint, when its session is no longer the sweep's."""
    from dvae_core.stopping import request_stop

    over = threading.Event()

    def look() -> None:
        while not over.wait(POLL):
            if not _is_on(job):
                request_stop(signal.SIGTERM)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Notes(Watch):
    """Keeps warnings for the record, and stops the run after an epoch if the sweep says so."""

    def __init__(self, stop: Path) -> None:
        self.warnings: list[str] = []
        self._stop = stop
        self._run: RunFolder | None = None

    def started(self, run: RunFolder, timeline: Timeline, step: int) -> None:
        self._run = run

    def epoch_finished(self, row: dict[str, float]) -> None:
        if self._run is not None and self._stop.exists():
            self._run.stop(small_text(self._stop))

    def warn(self, text: str) -> None:
        self.warnings.append(text)
