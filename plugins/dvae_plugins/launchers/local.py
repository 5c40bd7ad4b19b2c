"""The local launcher: worker processes on this machine, each of which does many runs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from dvae_core import DvaeError, Job, Launcher, keep_busy

if TYPE_CHECKING:
    from dvae_core import Jobs

GOODBYE = 20.0
"""Seconds that a worker has to write a checkpoint when nobody wants its work any more."""
MOST_DEATHS = 5
"""More than `run_job` allows a run: the fault is not the run's."""


class Local(Launcher):
    """A process a run on this machine: one for each GPU, or as many as fill the cores.

    Without GPUs every run has one thread as long as there are runs enough, for two runs of one
    thread are faster than two threads on one run after the other. The processes are kept, so that
    torch is imported once in each.
    """

    name = "local"

    workers: int | None = Field(default=None, ge=1)
    """Runs at the same time; one a GPU, or one a core without GPUs, if left out."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of each run; the cores divided by the workers, if left out."""
    runs_per_gpu: int = Field(default=1, ge=1)
    """Small models leave room on a GPU for several runs."""

    def at_once(self, runs: int, device: str = "auto") -> int:
        room = len(_gpus_for(device)) * self.runs_per_gpu or cores()
        return max(1, min(runs, self.workers or room))

    def launch(self, jobs: Jobs) -> Iterator[None]:
        device = getattr(jobs, "device", "auto")
        count = self.at_once(len(jobs), device)
        threads = self.threads or max(1, cores() // count)
        devices = _gpus_for(device)
        idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        workers = [
            Worker(n, threads, devices[n % len(devices)] if devices else None) for n in range(count)
        ]
        for worker in workers:
            idle.put(worker)

        def do(job: Job) -> None:
            worker = idle.get()
            try:
                worker.do(replace(job, threads=threads))
            finally:
                idle.put(worker)

        pool = ThreadPoolExecutor(count)
        try:
            yield from keep_busy(lambda job: pool.submit(do, job), jobs, count)
        finally:
            for worker in workers:
                worker.dismiss()
            pool.shutdown(cancel_futures=True)
            for worker in workers:
                worker.close()


CLOSED = (OSError, ValueError)
"""What comes of a pipe whose other end is gone, or that another thread closes at the same time."""


class Worker:
    """A process that does one job after the other; when it dies, another takes its place.

    It hears of jobs on its stdin, and goes when that is closed. What it prints is kept in the
    sweep's logs/.
    """

    def __init__(self, number: int, threads: int, gpu: str | None) -> None:
        self.number = number
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        if gpu is not None:
            self.environment["CUDA_VISIBLE_DEVICES"] = gpu
        self.process: subprocess.Popen[str] | None = None
        self.gone = False
        self.timer = threading.Timer(GOODBYE, self._kill)
        self.timer.daemon = True

    def do(self, job: Job) -> None:
        """Have a job done, by another process if need be: `run_job` counts how many it has cost."""
        for _ in range(MOST_DEATHS):
            if self.gone:
                return
            process = self._process(Path(job.sweep))
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(asdict(job)) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except CLOSED:
                answer = ""  # dead or dismissed
            if answer.endswith("\n"):
                error = json.loads(answer)
                if error is not None:
                    raise DvaeError(error)
                return
            self._bury(process)
        log = f"{job.sweep}/logs/worker-{self.number}.log"
        raise DvaeError(f"a worker died {MOST_DEATHS} times in a row; what it said is in {log}")

    def dismiss(self) -> None:
        """Let the process go, after a checkpoint if it is training."""
        self.gone = True
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(*CLOSED):
                self.process.stdin.close()
            self.timer.start()

    def close(self) -> None:
        """Wait until the process has gone."""
        if self.process is not None:
            self._bury(self.process)
        self.timer.cancel()

    def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def _bury(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(*CLOSED):
                    pipe.close()

    def _process(self, sweep: Path) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            (sweep / "logs").mkdir(exist_ok=True)
            with (sweep / "logs" / f"worker-{self.number}.log").open("a") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "dvae_plugins.launchers.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=self.environment,
                )
        return self.process


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus_for(device: str) -> list[str]:
    """As `gpus`; none for runs whose recipes keep to the processor."""
    return [] if device == "cpu" else gpus()


def gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say to choose one GPU; found without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))]
