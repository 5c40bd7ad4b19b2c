"""A run in a process of its own that can be killed at any moment, or at one step of a write.

Its processes are forked from a server that has imported torch, so that many of them are cheap.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["dvae_core.training.run", "dvae_plugins.datasets", "torch._dynamo"])


def train(recipe: str, out: str, die_at: int | None = None, chatter: object = None) -> None:
    """Start the recipe in `out`, or go on with the run that is there, and tell when it trains.

    Args:
        die_at: SIGKILL itself at the so-manieth operation on the disk.
    """
    import torch

    from dvae_core.errors import RunFolderError
    from dvae_core.runs.watch import Watch
    from dvae_core.training.run import resume_run, run_recipe

    torch.set_num_threads(1)

    class Quiet(Watch):
        def warn(self, text: str) -> None:
            pass

    if die_at is not None:
        count_disk_operations(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == die_at else 0)
    runs = list(Path(out).glob("*/run.json"))
    if not runs:
        run_recipe(recipe, out, watch=Quiet())
        return
    try:
        resume_run(runs[0].parent, watch=Quiet())
    except RunFolderError as error:
        if "no good checkpoint" not in str(error):
            raise
        # Killed before its first checkpoint: nothing is lost but the start.
        import shutil

        shutil.rmtree(runs[0].parent)
        run_recipe(recipe, out, watch=Quiet())


def count_disk_operations(hook, replace=setattr) -> None:
    """Call `hook(n)` before the n-th operation of this process that changes the disk.

    `replace` puts the counting functions in their places.
    """
    count = 0

    def counted(function):
        def call(*arguments, **keywords):
            nonlocal count
            reading = function.__name__ == "open" and set("wax").isdisjoint(str(arguments[1:2]))
            if not reading:
                count += 1
                hook(count)
            return function(*arguments, **keywords)

        return call

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "open")):
        replace(owner, name, counted(getattr(owner, name)))


def run_for(seconds: float | None, recipe: Path, out: Path, die_at: int | None = None) -> int:
    """Train in a process of its own and kill it after so long; its exit code, -9 if killed."""
    process = CONTEXT.Process(target=train, args=(str(recipe), str(out), die_at))
    process.start()
    if seconds is not None:
        deadline = time.monotonic() + seconds
        while process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
    process.join(600)
    assert process.exitcode is not None
    return process.exitcode
