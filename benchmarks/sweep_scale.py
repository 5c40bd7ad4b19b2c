"""What a sweep of many runs costs beside its runs: they do nothing here.

    python benchmarks/sweep_scale.py [--runs 2000] [--seeds 5] [--recipe mnist_mlp]

A launcher stands in for all workers: it writes the files that a run would leave. Prints how long
checking, driving, comparing and going on take, and the memory of the process that drives.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dvae_core import Job, Launcher
from dvae_core.plugin.registry import Provider, Registry, load_registry
from dvae_core.sweep.driver import run_sweep
from dvae_core.sweep.jobs import Jobs, Record
from dvae_core.sweep.watch import SweepWatch

ROOT = Path(__file__).parent.parent
AT_ONCE = 100


class NoOp(Launcher):
    """Does nothing, a hundred runs at once."""

    name = "noop"

    def launch(self, jobs: Jobs) -> Iterator[None]:
        for taken, job in enumerate(jobs, 1):
            leave(job)
            if taken % AT_ONCE == 0:
                yield
        yield


def leave(job: Job) -> None:
    """What a finished run leaves, without its checkpoints and figures."""
    import tomli_w

    sweep = Path(job.sweep)
    run = sweep / job.name
    run.mkdir()
    info = {"format": 1, "status": "finished", "components": [], "seed": job.recipe["seed"]}
    info |= {"image_shape": [1, 28, 28], "classes": [str(digit) for digit in range(10)]}
    (run / "run.json").write_text(json.dumps(info))
    (run / "recipe.toml").write_text(tomli_w.dumps(job.recipe))
    epochs = job.recipe["train"]["epochs"]
    row = {f"test/metric_{n}": job.recipe["seed"] + n + 0.5 for n in range(15)}
    lines = [json.dumps({"epoch": epoch, "step": epoch, **row}) for epoch in range(1, epochs + 1)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    Record(job.name, job.session, "finished", seconds=1.0).write(sweep)


class Stages(SweepWatch):
    """Says how long each stage took."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, float]] = []

    def stage(self, text: str) -> None:
        self.stages.append((text, time.perf_counter()))

    def started(self, folder: Path, progress: object, at_once: int | None) -> None:
        self.stage("driving")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipe", default="mnist_mlp")
    options = parser.parse_args()
    installed = load_registry()
    registry = Registry()
    registry.providers += installed.providers
    registry.providers.append(Provider("launcher", "noop", NoOp, "benchmark", "dvae-core", "0"))
    registry.manager = installed.manager
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder) / "scale.toml"
        weights = [0.1 + n / 1000 for n in range(options.runs // options.seeds)]
        sweep.write_text(
            f'recipe = "{ROOT / "recipes" / options.recipe}.toml"\nseeds = {options.seeds}\n'
            f'[grid]\n"kl.weight" = {weights}\n[launcher]\nname = "noop"\n'
        )
        for resume in (None, "again"):
            watch = Stages()
            started = time.perf_counter()
            made = next(Path(folder).glob("out/*/"), None)
            done = run_sweep(
                sweep, f"{folder}/out", resume=resume and made, watch=watch, registry=registry
            )
            watch.stage("end")
            print(f"{'going on' if resume else 'first time'}, {options.runs} runs")
            for (text, at), (_, then) in zip(watch.stages, watch.stages[1:], strict=False):
                each = 1e3 * (then - at) / options.runs
                print(f"  {text:30} {then - at:7.1f} s  {each:6.2f} ms a run")
            print(f"  {'all':30} {time.perf_counter() - started:7.1f} s")
        journal = (done.path / "journal.jsonl").stat().st_size
        print(f"journal {journal / 1e6:.2f} MB")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory of the driver {peak / 1024:.0f} MB")


if __name__ == "__main__":
    main()
