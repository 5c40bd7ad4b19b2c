"""What a GPU makes of it: paces beside ceilings, and whether the captured step is the same step.

In parts, each of minutes: `python -m benchmarks gpu --part speed`; all of them without.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.contenders import ROOT
from benchmarks.report import Table
from dvae_core import load_recipe, resume_run, run_recipe

RECIPES = ("mnist_abs", "mnist_mlp", "mnist_borders")
BATCHES = (64, 512, 4096)
PRECISIONS = ("float32", "tf32", "bfloat16")
WAYS = ("eager", "compiled", "captured", "captured, compiled")
PARTS = ("ceilings", "speed", "counts", "sameness")
STEPS = 200
"""That are timed of each; no more than an epoch has."""

Found = tuple[Table, dict[str, Any]]


def measure(parts: tuple[str, ...] = PARTS, *, quick: bool = False) -> Iterator[Found]:
    """The tables of some parts; one that says so where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        table = Table("GPU", ["", "found"])
        table.add("not measured", "torch finds no CUDA device here")
        yield table, {"measured": False}
        return
    for part in parts:
        yield from {
            "ceilings": _ceilings, "speed": _speed, "counts": _counts, "sameness": _sameness,
        }[part](quick)  # fmt: skip


def _training(name: str, batch: int, precision: str, way: str, images: int = 60_000) -> Any:
    from dvae_core.model.data import load_data
    from dvae_core.training.state import Training

    compiled = "on" if "compiled" in way else "off"
    recipe = _recipe(
        name, f"train.batch_size={batch}", f'train.precision="{precision}"',
        f'train.compile="{compiled}"', f"dataset.train_limit={images}",
    )  # fmt: skip
    training = Training(recipe, load_data(recipe.dataset))
    training.captures = "captured" in way
    return training


def _recipe(name: str, *changes: str) -> Any:
    terms = ("guidance", "kl") if name == "mnist_borders" else ("guidance",)
    return load_recipe(
        ROOT / "recipes" / f"{name}.toml",
        [
            "dataset.test_limit=1000", "callbacks=[]", "evaluate.metrics=[]", "evaluate.plots=[]",
            "train.device=cuda", *(f"{term}.weight.allow_unfinished=true" for term in terms),
            *changes,
        ],
    )  # fmt: skip


def _ceilings(quick: bool) -> Iterator[Found]:
    """The pace of a matrix product, and of a copy in memory."""
    import torch

    from dvae_core.model.numerics import numerics

    table, rows = Table(torch.cuda.get_device_name(), ["", "pace"]), {}
    size = 1024 if quick else 8192
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        a = torch.randn(size, size, device="cuda", dtype=dtype)
        with numerics(precision):
            rows[precision] = 2 * size**3 / _seconds(lambda a=a: a @ a) / 1e12
        table.add(f"matrix product, {precision}", f"{rows[precision]:,.1f} TFLOP/s")
    a = torch.empty(2**28 if not quick else 2**20, dtype=torch.uint8, device="cuda")
    rows["memory"] = 2 * a.numel() / _seconds(a.clone) / 1e9
    table.add("copy in memory", f"{rows['memory']:,.0f} GB/s")
    yield table, {"part": "ceilings", "rows": rows}


def _seconds(do: Any) -> float:
    import torch

    for _ in range(3):
        do()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(10):
        do()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / 10


def _speed(quick: bool) -> Iterator[Found]:
    """Images a second of every recipe, batch, precision and way."""
    import torch

    from dvae_core.model.numerics import numerics
    from dvae_core.training.steps import steps_of

    cases = itertools.product(RECIPES[:1] if quick else RECIPES, BATCHES[:1] if quick else BATCHES)
    for name, batch in cases:
        table = Table(f"{name}, batch {batch}, images a second", ["", *WAYS])
        rows: dict[str, dict[str, float]] = {}
        for precision in PRECISIONS[:1] if quick else PRECISIONS:
            rows[precision] = {}
            for way in WAYS:
                with numerics(precision):
                    training = _training(name, batch, precision, way)
                    steps = steps_of(training).take(print)
                    whole = len(training.data.train_images) // batch
                    count = min(STEPS, whole - 5)
                    for _ in range(4):  # compiling and capturing
                        next(steps)
                    torch.cuda.synchronize()
                    started = time.perf_counter()
                    for _ in itertools.islice(steps, count):
                        pass
                    torch.cuda.synchronize()
                rows[precision][way] = batch * count / (time.perf_counter() - started)
            table.add(precision, *(f"{pace:,.0f}" for pace in rows[precision].values()))
        yield table, {"part": "speed", "recipe": name, "batch": batch, "rows": rows}


def _counts(quick: bool) -> Iterator[Found]:
    """Kernels and waits of the host in a step, as torch's profiler sees them."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from dvae_core.training.steps import steps_of

    table, rows = Table("a step at batch 64", ["", "kernels", "graphs", "waits"]), {}
    for name, way in itertools.product(RECIPES, ("eager", "captured")):
        steps = steps_of(_training(name, 64, "float32", way)).take(print)
        for _ in range(4):
            next(steps)
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            for _ in itertools.islice(steps, 10):
                pass
        found = {"kernels": 0.0, "graphs": 0.0, "waits": 0.0}
        for event in seen.events():
            found["kernels"] += event.device_type == torch.autograd.DeviceType.CUDA
            found["graphs"] += event.name.startswith("cudaGraphLaunch")
            found["waits"] += event.name in ("cudaStreamSynchronize", "cudaDeviceSynchronize")
        found = {key: value / 10 for key, value in found.items()}
        rows[f"{name}, {way}"] = found
        table.add(f"{name}, {way}", *(f"{value:.1f}" for value in found.values()))
    yield table, {"part": "counts", "rows": rows}


def _sameness(quick: bool) -> Iterator[Found]:
    """Whether captured steps have eager ones' bits, a seed its bits, and a resumed run its own."""
    import torch

    from dvae_core.training.steps import steps_of

    table, rows = Table("the same bits", ["", "largest difference of a weight"]), {}
    for name in RECIPES:
        weights = {}
        for way in ("eager", "captured", "captured again"):
            training = _training(name, 64, "float32", way, images=2000)
            for _ in steps_of(training).take(print):
                pass
            weights[way] = [p.detach().clone() for p in training.parameters]
        with tempfile.TemporaryDirectory() as folder:
            short = ["dataset.train_limit=2000"]
            whole = run_recipe(_recipe(name, *short, "train.epochs=2"), folder)
            cut = run_recipe(_recipe(name, *short, "train.epochs=1"), folder)
            resume_run(cut.path, _recipe(name, *short, "train.epochs=2"))
            ends = [run.load_checkpoint()[0]["model"].values() for run in (whole, cut)]
        pairs = {
            "captured, and eager": (weights["eager"], weights["captured"]),
            "the same seed twice": (weights["captured"], weights["captured again"]),
            "resumed, and not": ends,
        }
        for what, (one, other) in pairs.items():
            apart = [float((a - b).abs().max()) for a, b in zip(one, other, strict=True)]
            rows[f"{name}: {what}"] = max(apart)
            table.add(f"{name}: {what}", f"{max(apart):.2g}")
    torch.cuda.empty_cache()
    yield table, {"part": "sameness", "rows": rows}
