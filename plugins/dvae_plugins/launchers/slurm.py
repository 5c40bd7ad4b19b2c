"""The slurm launcher: job arrays, through submitit."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dvae_core import DvaeError, Job, Launcher, request_stop, run_job

if TYPE_CHECKING:
    from dvae_core import Jobs

GOODBYE = 20.0
"""Seconds that a process has to write a checkpoint when nobody wants its work any more."""
WARNING = 90
"""Seconds before its time is up that a task is told; a third of a single minute."""
LOOK = 10.0
"""Seconds between looks at Slurm's queue."""


class Slurm(Launcher):
    """Runs as the tasks of Slurm job arrays. Start the command on a login node.

    The sweep's folder, the data and the Python environment must be at the same path on every
    node. A task that Slurm ends early, for its time or for another's sake, writes a checkpoint
    and is submitted again.
    """

    name = "slurm"
    example = {"cluster": "local"}

    at_most: int = Field(default=100, ge=1)
    """Tasks that are queued or running at the same time; a new array follows as they end."""
    minutes: int = Field(default=60, ge=1)
    """The time limit of a task. A longer run goes on in another task."""
    cpus: int = Field(default=1, ge=1)
    """Of each run, and so its threads."""
    gpus: int = Field(default=0, ge=0)
    """Of each run."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Of each run; what the cluster gives if left out."""
    partition: str | None = None
    """The cluster's default if left out."""
    options: dict[str, str | int] = {}
    """Other options of sbatch, such as { account = "vision", qos = "low" }."""
    cluster: Literal["slurm", "local"] = "slurm"
    """"local" runs tasks as processes on this machine, to try it out."""

    def at_once(self, runs: int) -> int:
        return min(runs, self.at_most)

    def launch(self, jobs: Jobs) -> Iterator[None]:
        executor: Any = None
        busy: list[Any] = []
        queued: set[str] | None = None
        looked = time.monotonic()
        try:
            while True:
                room = self.at_most - len(busy)
                # In halves: each array costs the scheduler as much as a job.
                if not busy or room >= max(1, self.at_most // 2):
                    batch = [replace(job, threads=self.cpus) for job in islice(jobs, room)]
                    if batch:
                        executor = executor or self._executor(Path(batch[0].sweep))
                        busy += executor.map_array(run_task, batch)
                        queued = None
                if not busy:
                    return
                time.sleep(0.5)
                if self.cluster == "slurm" and time.monotonic() - looked > LOOK:
                    queued, looked = _queued(), time.monotonic()
                ended = [task for task in busy if self._has_ended(task, queued)]
                busy = [task for task in busy if task not in ended]
                for task in ended:
                    _check(task)
                yield
        finally:
            for task in busy:
                task.cancel()
            if self.cluster == "local":
                # Slurm ends its tasks itself; a process would go on in a folder that may be gone.
                deadline = time.monotonic() + GOODBYE
                while not all(task.done() for task in busy) and time.monotonic() < deadline:
                    time.sleep(0.05)

    def _has_ended(self, task: Any, queued: set[str] | None) -> bool:
        if self.cluster == "local":
            return bool(task.done())
        # Submitit itself would ask the accounting, which not every cluster has, every ten minutes.
        return _has_result(task) or (queued is not None and task.job_id not in queued)

    def _executor(self, sweep: Path) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise DvaeError('submitit is not installed: pip install "dvae-core[slurm]"') from error
        try:
            executor = submitit.AutoExecutor(folder=sweep / "logs", cluster=self.cluster)
        except RuntimeError as error:
            raise DvaeError(
                f'no Slurm here: {error}; start the sweep on a login node, or set cluster = "local"'
            ) from error
        executor.update_parameters(
            name=sweep.name,
            timeout_min=self.minutes,
            slurm_signal_delay_s=min(WARNING, 20 * self.minutes),
            cpus_per_task=self.cpus,
            gpus_per_node=self.gpus,
            slurm_array_parallelism=self.at_most,
        )
        if self.memory_gb is not None:
            executor.update_parameters(mem_gb=self.memory_gb)
        if self.partition is not None:
            executor.update_parameters(slurm_partition=self.partition)
        if self.options:
            executor.update_parameters(slurm_additional_parameters=self.options)
        return executor


def run_task(job: Job) -> None:
    """What a task does. The signal that its time is up, or its place taken, stops the run."""
    signal.signal(signal.SIGUSR2, lambda number, frame: request_stop(signal.SIGTERM))
    run_job(job)


def _has_result(task: Any) -> bool:
    return bool(task.paths.result_pickle.exists())


def _check(task: Any) -> None:
    """Raise what `run_job` raised; a task that was ended from outside has its job offered again."""
    from submitit.core.utils import UncompletedJobError

    if _has_result(task):
        with contextlib.suppress(UncompletedJobError):
            task.result()


def _queued() -> set[str] | None:
    """The user's jobs that wait or run, those of arrays with _<index>; None if Slurm is silent."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(listed.stdout.split())
