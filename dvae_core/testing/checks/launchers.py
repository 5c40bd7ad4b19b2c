"""Launchers: whether every job is done, and whether they let go."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvae_core.plugin.given import Job
from dvae_core.plugin.kinds import Launcher
from dvae_core.runs.provenance import FORMAT
from dvae_core.sweep.jobs import Record, record_file, session_file
from dvae_core.testing.checks.register import check, must


class Few:
    """A handful of jobs: runs that are finished already, and one whose recipe is wrong."""

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self.device = "auto"
        self.names = ["done-1", "wrong", "done-2", "done-3"]
        self._left = deque(self.names)
        for part in ("jobs", "logs"):
            (sweep / part).mkdir()
        session_file(sweep).write_text("now")
        for name in self.names:
            if name != "wrong":
                (sweep / name).mkdir()
                info = {"format": FORMAT, "status": "finished", "components": []}
                info |= {"image_shape": [1, 12, 12], "classes": ["low", "high"]}
                (sweep / name / "run.json").write_text(json.dumps(info))
                (sweep / name / "metrics.jsonl").write_text('{"epoch": 1}\n')

    def __iter__(self) -> Few:
        return self

    def __next__(self) -> Job:
        if not self._left:
            raise StopIteration
        return Job(self._left.popleft(), str(self.sweep), "now", {"train": {"epochs": 1}}, {})

    def __len__(self) -> int:
        return len(self._left)


@contextmanager
def _few() -> Iterator[Few]:
    with tempfile.TemporaryDirectory() as folder:
        yield Few(Path(folder))


@check("launcher")
def does_every_job(launcher: Launcher) -> None:
    with _few() as jobs:
        for _ in launcher.launch(jobs):
            pass
        records = {name: Record.read(record_file(jobs.sweep, name)) for name in jobs.names}
    undone = [name for name, record in records.items() if record is None]
    must(not undone, f"has ended, and run_job was not called for {len(undone)} of {len(records)}")
    for name, record in records.items():
        expected = "failed" if name == "wrong" else "finished"
        status = record.status if record else None
        must(status == expected, f"a job is {status} where {expected} is due")


@check("launcher")
def can_be_closed_early(launcher: Launcher) -> None:
    with _few() as jobs:
        waiting = launcher.launch(jobs)
        must(isinstance(waiting, Generator), "launch is no generator")
        assert isinstance(waiting, Generator)
        next(waiting, None)
        session_file(jobs.sweep).unlink()
        waiting.close()
