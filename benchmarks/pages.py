"""What a page costs: the verb that makes it, its size, and how soon a browser has it ready."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.browser import browser
from benchmarks.documents import finished
from benchmarks.report import Table
from benchmarks.start_up import DVAE, RECIPE

MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command from a small process: Linux passes the peak of a large one on to its children."""


def pages(rounds: int, *, quick: bool) -> Iterator[tuple[Table, dict[str, Any]]]:
    """`dvae explore` and `dvae report` of a finished run of the conv model, in 2 and 8 dimensions.

    The judges of a run are trained when it is first looked at, and kept; that first time is not
    counted. All 10,000 test images are on the page.
    """
    for dim in (2,) if quick else (2, 8):
        with tempfile.TemporaryDirectory() as folder:
            run = _run(Path(folder), dim, quick=quick)
            table = Table(f"{dim} dimensions", ["", "median s", "peak MB", "page MB", "ready ms"])
            results: dict[str, Any] = {"dim": dim}
            for verb, option in (("explore", "--html"), ("report", "--out"))[: 1 if quick else 2]:
                file = Path(folder) / f"{verb}.html"
                command = [*DVAE, verb, str(run), option, str(file)]
                turns = [_turn(command) for _ in range(rounds + (not quick))][-rounds:]
                row = {
                    "seconds": statistics.median(seconds for seconds, _ in turns),
                    "peak_mb": max(peak for _, peak in turns),
                    "page_mb": file.stat().st_size / 1e6,
                    "ready_ms": _ready(file),
                }
                results[verb] = row
                ready = row["ready_ms"]
                table.add(
                    f"dvae {verb}", f"{row['seconds']:.1f}", f"{row['peak_mb']:,.0f}",
                    f"{row['page_mb']:.1f}", "no browser" if ready is None else f"{ready:,.0f}",
                )  # fmt: skip
            yield table, results


def _run(folder: Path, dim: int, *, quick: bool) -> Path:
    changes = [
        f"latent.dim={dim}", f"dataset.train_limit={600 if quick else 20_000}",
        "train.epochs=1", "train.device=cpu", "callbacks=[]", "evaluate.plots=[]",
        "guidance.weight.allow_unfinished=true",
    ]  # fmt: skip
    if quick:
        changes.append("dataset.test_limit=200")
    return finished(folder / "run", RECIPE, changes)


def _turn(command: list[str]) -> tuple[float, float]:
    """Seconds, and the most memory that it took in MB."""
    started = time.perf_counter()
    asked = [sys.executable, "-c", MEASURED, *command]
    found = subprocess.run(asked, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started, int(found.stdout) / 1e3


def _ready(file: Path) -> float | None:
    """Milliseconds from the start of the page until it is drawn; the median of three visits."""
    if shutil.which("chromium") is None:
        return None
    times = []
    with browser() as chromium:
        for _ in range(3):
            page = chromium.new_page()
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            times.append(float(page.evaluate("document.documentElement.dataset.ready")))
            page.close()
    return statistics.median(times)
