"""How speed and memory grow with the batch, the image, the latent space and the data."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import ROOT
from benchmarks.report import Table

MLP = ROOT / "recipes" / "mnist_mlp.toml"
CONV = ROOT / "recipes" / "mnist_abs.toml"
STEPS = 10


def speed(threads: int, quick: bool) -> tuple[Table, dict[str, Any]]:
    """Images a second of the conv model: one thing grows at a time."""
    base: dict[str, int] = {"batch": 64, "side": 28, "latent": 2}
    grown = {"batch": [16, 256, 1024], "side": [56, 112], "latent": [16, 256]}
    cases = [base, *({**base, key: value} for key, values in grown.items() for value in values)]
    table = Table("growth, conv, float32", ["batch", "image", "latent", "images/s", "MPixel/s"])
    results = []
    for case in cases[:1] if quick else cases:
        changes = [f"train.batch_size={case['batch']}", f"latent.dim={case['latent']}"]
        images = case["batch"] * (STEPS + 1)
        found = _child(CONV, images, case["side"], threads, changes)
        pace = case["batch"] / found["step"]
        results.append({**case, "images_per_second": pace})
        side = case["side"]
        table.add(
            str(case["batch"]), f"{side}x{side}", str(case["latent"]), f"{pace:,.0f}",
            f"{pace * side * side / 1e6:.2f}",
        )  # fmt: skip
    return table, {"cases": results}


def memory(threads: int, quick: bool) -> tuple[Table, dict[str, Any]]:
    """Peak memory of a run: what the process needs by itself, and what the data adds.

    The large data sets are npz files with uint8 images, which dvae leaves in the file. Their
    pages are in memory while there is room, and count here; they can be dropped at any time.
    """
    counts = [10_000] if quick else [10_000, 500_000, 1_000_000]
    columns = ["images", "the data, MB", "before loading, MB", "private, MB", "with its pages, MB"]
    table = Table("memory of a few steps, MLP, 28x28", [*columns, "loading, s"])
    results = []
    for count in counts:
        row = _child(MLP, count, 28, threads, ["train.batch_size=64"])
        results.append({"images": count, **row})
        table.add(
            f"{count:,}", f"{count * 784 / 1e6:,.0f}", f"{row['before']:,.0f}",
            f"{row['private']:,.0f}", f"{row['peak']:,.0f}", f"{row['loading']:.2f}",
        )  # fmt: skip
    return table, {"cases": results}


def _child(
    recipe: Path, count: int, side: int, threads: int, changes: list[str]
) -> dict[str, float]:
    """What a process of its own finds over so many random images."""
    with tempfile.TemporaryDirectory() as folder:
        changes = [
            f'dataset={{name = "npz", path = "{_write(folder, count, side)}"}}', "callbacks=[]",
            "train.device=cpu", "guidance.weight.allow_unfinished=true", *changes,
        ]  # fmt: skip
        job = json.dumps([str(recipe), changes, threads])
        command = [sys.executable, "-m", "benchmarks.growth", job]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    result: dict[str, float] = json.loads(found.stdout)
    return result


def _write(folder: str, count: int, side: int) -> Path:
    """An npz of random images, made a piece at a time."""
    path = Path(folder) / "data.npz"
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(Path(folder) / "i.npy", "w+", np.uint8, (count, side, side))
    for start in range(0, count, 10_000):
        piece = images[start : start + 10_000]
        piece[:] = rng.integers(0, 256, piece.shape, np.uint8)
    labels = np.arange(count) % 10
    np.savez(path, images=images, labels=labels, test_images=images[:100], test_labels=labels[:100])
    return path


def main() -> None:
    """The child: loads the data, takes some steps, and says what that took."""
    import torch

    from dvae_core import load_recipe
    from dvae_core.runs.watch import Watch
    from dvae_core.training.run import prepare

    recipe, changes, threads = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    loaded = load_recipe(recipe, changes)
    before = _peak()
    started = time.perf_counter()
    training = prepare(loaded, Watch())
    loading = time.perf_counter() - started
    batches = iter(training.batches.epoch(0))
    training.take_step(*next(batches))
    started = time.perf_counter()
    for _ in range(STEPS):
        training.take_step(*next(batches))
    training.ledger.read()
    step = (time.perf_counter() - started) / STEPS
    found = {"step": step, "loading": loading, "before": before}
    print(json.dumps({**found, "private": _private(), "peak": _peak()}))


def _peak() -> float:
    """Peak memory of this process, in MB."""
    # Linux passes ru_maxrss on to a child, and VmHWM not.
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _private() -> float:
    """Memory of this process that no file backs, in MB; 0 where the system does not tell."""
    return _status("RssAnon")


def _status(key: str) -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return float(status.split(f"{key}:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    main()
