"""dvae itself: a whole run, without evaluation; what is timed is its epoch of training."""

import tempfile
import warnings

import torch

from benchmarks.peers.protocol import Stopwatch, Turn, serve
from dvae_core import load_recipe, run_recipe
from dvae_core.runs.watch import Watch


class Clock(Watch):
    """Runs from the start of training to the start of the evaluation after it."""

    def started(self, *_: object) -> None:
        self.watch = Stopwatch()

    def stage(self, text: str) -> None:
        if text.startswith("evaluating"):
            self.found = self.watch.stop(0, float("nan"))


def prepare(job: dict) -> Turn:
    torch.set_num_threads(job["threads"])
    recipe = load_recipe(job["recipe"], job["set"])

    def turn() -> dict:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            clock = Clock()
            (row,) = run_recipe(recipe, folder, watch=clock).metrics()
        return clock.found | {"images": job["images"], "loss": row["train/loss"]}

    return turn


serve(prepare, "dvae-core", "torch")
