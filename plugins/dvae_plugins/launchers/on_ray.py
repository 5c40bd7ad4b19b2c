"""The ray launcher: a cluster that Ray holds together, or this machine alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import DvaeError, Job, Launcher, run_job

if TYPE_CHECKING:
    from dvae_core import Jobs


class Ray(Launcher):
    """Runs on a Ray cluster; dvae and the sweep's plugins are installed on every node.

    The sweep's folder and the data must be at the same path on every node. A run whose worker or
    node dies goes to another one and on from its checkpoint.
    """

    name = "ray"

    address: str | None = None
    """The cluster's, such as "auto" on one of its nodes; a local one is started if left out."""
    cpus: float = Field(default=1, gt=0)
    """Of each run."""
    gpus: float = Field(default=0, ge=0)
    """Of each run; 0.5 puts two runs on one."""

    def launch(self, jobs: Jobs) -> Iterator[None]:
        ray = _ray()
        # Ray's own switch for it; its next version changes the default.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(
            address=self.address,
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=None if self.address else False,
            ignore_reinit_error=True,
        )
        try:
            yield from self._feed(ray, jobs)
        finally:
            ray.shutdown()

    def _feed(self, ray: Any, jobs: Jobs) -> Iterator[None]:
        threads = max(1, int(self.cpus))
        task = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=3, retry_exceptions=False
        )(run_with_threads)
        busy: list[Any] = []
        try:
            while True:
                # Looked up each time, for nodes come and go; one more waits, so that none is idle.
                while len(busy) <= self._room(ray) and (job := next(jobs, None)) is not None:
                    busy.append(task.remote(job, threads))
                if not busy:
                    return
                done, busy = ray.wait(busy, timeout=0.25)
                for reference in done:
                    try:
                        ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        raise DvaeError(f"a run could not be recorded: {error.cause}") from error
                    except ray.exceptions.RayError:
                        pass  # lost with its worker more often than Ray tries; it is offered again
                yield
        finally:
            for reference in busy:
                ray.cancel(reference)

    def _room(self, ray: Any) -> int:
        total = ray.cluster_resources()
        room = total.get("CPU", 0) / self.cpus
        if self.gpus:
            room = min(room, total.get("GPU", 0) / self.gpus)
        return max(1, int(room))


def run_with_threads(job: Job, threads: int) -> None:
    """What a Ray worker does."""
    from dataclasses import replace

    run_job(replace(job, threads=threads))


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise DvaeError('Ray is not installed: pip install "dvae-core[ray]"') from error
    return ray
