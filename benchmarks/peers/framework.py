"""dvae itself: a whole run, without evaluation; what is timed is its epoch of training."""

import tempfile
import warnings

import torch

from benchmarks.peers.protocol import Turn, serve
from dvae_core import load_recipe, run_recipe


def prepare(job: dict) -> Turn:
    torch.set_num_threads(job["threads"])
    recipe = load_recipe(job["recipe"], job["set"])

    def turn() -> dict:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            (row,) = run_recipe(recipe, folder).metrics()
        images = job["images"]
        return {
            "seconds": images / row["images_per_second"],
            "images": images,
            "loss": row["train/loss"],
        }

    return turn


serve(prepare, "dvae-core", "torch")
