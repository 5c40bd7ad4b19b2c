"""What label guidance, KL terms and borders do: the figures and pictures of docs/findings.md.

    python -m benchmarks.findings --sweeps DIR

Runs the sweeps recipes/sweeps/claim.toml, claim_fashion.toml and claim_conv.toml in DIR, or goes on
with those that lie there: 206 runs, about two hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.documents import DOCS, ROOT, save_picture, stamp, write_below_mark
from dvae_core.runs.intervals import mean_margin

SWEEPS = {
    "claim": "MNIST",
    "claim_fashion": "Fashion-MNIST",
    "claim_conv": "MNIST, convolutional",
}
GUIDANCE = {
    "plain": "none",
    "constant": "20 throughout",
    "falling-to-0.01": "20, then 0.01",
    "falling-to-1": "20, then 1",
    "borders": "20, then 1, and borders",
}
KLS = ("square", "abs", "laplace", "class_prior")
BEFORE, AFTER = 5, 10
"""Epochs: the last with full weight, and the last."""


@dataclass(frozen=True)
class Run:
    """A finished run of a sweep."""

    path: Path

    @cached_property
    def rows(self) -> dict[int, dict[str, Any]]:
        from dvae_core import RunFolder

        return {row["epoch"]: row for row in RunFolder.open(self.path).metrics()}

    def figure(self, name: str, epoch: int = AFTER) -> float:
        return float(self.rows[epoch][f"test/{name}"])

    @cached_property
    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._kept(AFTER, "json").read_text())
        return found

    def map(self, epoch: int) -> tuple[Any, Any, Any]:
        """The judge's verdicts on a grid, and the grid's two axes."""
        import numpy as np

        with np.load(self._kept(epoch, "npz")) as arrays:
            return arrays["region_map"], arrays["region_x"], arrays["region_y"]

    @cached_property
    def areas(self) -> dict[int, float]:
        """Of what is not void, in latent units squared, by epoch."""
        found = {}
        for epoch in (BEFORE, AFTER):
            verdicts, x, y = self.map(epoch)
            found[epoch] = float((verdicts >= 0).sum() * (x[1] - x[0]) * (y[1] - y[0]))
        return found

    def direct_paths(self) -> list[float]:
        """The shares of direct paths of the named pairs."""
        return [self.figure(f"direct_path/{a}-{b}") for a, b in self.about["named_pairs"]]

    def adjacent(self) -> list[bool]:
        """Whether the named pairs share a border."""
        from dvae_core.latent.borders.regions import Grid, regions_of

        classes = self.about["classes"]
        adjacent = regions_of(Grid(*self.map(AFTER)), len(classes)).adjacent
        pairs = [(classes.index(a), classes.index(b)) for a, b in self.about["named_pairs"]]
        return [bool(adjacent[pair]) for pair in pairs]

    @property
    def kept_guidance(self) -> float | None:
        """What is left of the accuracy that guidance won over the plain run of its KL and seed."""
        plain = Run(self.path.with_name(re.sub(r"^[^_]+", "plain", self.path.name)))
        if plain == self:
            return None
        before, after = (
            self.figure("knn_accuracy", epoch) - plain.figure("knn_accuracy")
            for epoch in (BEFORE, AFTER)
        )
        return after / before if before > 0 else None

    def _kept(self, epoch: int, ending: str) -> Path:
        return self.path / "evaluation" / f"epoch-{epoch:04d}-borders.{ending}"


Found = dict[tuple[str, str], list[Run]]
"""The runs of a sweep by guidance and KL, a seed each."""

Measured = float | list[bool] | None
Column = tuple[str, Callable[[Run], Measured]]
TABLES: dict[str, list[Column]] = {
    "Regions": [
        (f"knn_accuracy, epoch {BEFORE}", lambda run: run.figure("knn_accuracy", BEFORE)),
        (f"epoch {AFTER}", lambda run: run.figure("knn_accuracy")),
        ("retention", lambda run: run.figure("knn_accuracy") / run.figure("knn_accuracy", BEFORE)),
        ("kept guidance", lambda run: run.kept_guidance),
        (f"area, epoch {BEFORE}", lambda run: run.areas[BEFORE]),
        (f"epoch {AFTER}", lambda run: run.areas[AFTER]),
        ("after / before", lambda run: run.areas[AFTER] / run.areas[BEFORE]),
    ],
    "Borders and cost": [
        ("reconstruction", lambda run: run.figure("reconstruction")),
        ("wholeness", lambda run: run.figure("wholeness")),
        ("void_rate", lambda run: run.figure("void_rate")),
        ("first pair: adjacent", lambda run: run.adjacent()[:1]),
        ("direct paths", lambda run: run.direct_paths()[0]),
        ("named pairs: adjacent", lambda run: run.adjacent()),
        ("direct paths", lambda run: statistics.fmean(run.direct_paths())),
        ("direct_path_mean", lambda run: run.figure("direct_path_mean")),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=Path, required=True, help="where they are or shall be")
    options = parser.parse_args()
    parts = [f"## Figures\n\n{introduction()}"]
    for sweep, title in SWEEPS.items():
        found = runs_of(swept(options.sweeps, sweep))
        parts.append(section(sweep, title, found))
    write_below_mark(DOCS / "findings.md", "benchmarks/findings.py", parts)


def introduction() -> str:
    return (
        f"Measured on {stamp()}, by `python -m benchmarks.findings --sweeps DIR`. Means over the "
        "seeds, with 95 % confidence intervals (Student's t) where there are several that differ; "
        "what is or is not is counted. Kept guidance is (after - plain) / (before - plain), of the "
        "plain run with the same KL and seed. The weight drops in the sixth epoch. Areas are of "
        "what is not void, in squared latent units; reconstruction is that of the test images, in "
        "squared error summed over the pixels."
    )


def swept(out: Path, name: str) -> Path:
    """The folder of a sweep that is done."""
    from dvae_core import run_sweep
    from dvae_core.cli.sweep_progress import watch

    there = sorted(out.glob(f"{name}-[0-9]*"))
    with watch() as watcher:
        file = ROOT / "recipes" / "sweeps" / f"{name}.toml"
        outcome = run_sweep(file, out, resume=there[-1] if there else None, watch=watcher)
    if outcome.failed:
        raise SystemExit(f"{outcome.path}: some runs failed: {', '.join(outcome.failed)}")
    return outcome.path


def runs_of(folder: Path) -> Found:
    found = {
        (guidance, kl): [Run(path) for path in sorted(folder.glob(f"{guidance}_kl-{kl}-seed-*"))]
        for guidance in GUIDANCE
        for kl in KLS
    }
    return {variant: runs for variant, runs in found.items() if runs}


def varied(found: Found) -> tuple[list[str], list[str]]:
    """The kinds of guidance and the KLs of a sweep, in the order of the tables."""
    guidances, kls = map(set, zip(*found, strict=True))
    return [g for g in GUIDANCE if g in guidances], [kl for kl in KLS if kl in kls]


def section(sweep: str, title: str, found: Found) -> str:
    about = found["plain", "abs"][0].about
    pairs = ", ".join(f"{a}-{b}" for a, b in about["named_pairs"])
    seeds = len(found["plain", "abs"])
    parts = [f"### {title}\n\nSeeds: {seeds}. Named pairs, in order: {pairs}."]
    parts += [table(name, columns, found) for name, columns in TABLES.items()]
    save_picture(maps(found), f"{sweep}-regions")
    save_picture(chart(found), f"{sweep}-measures")
    parts.append(
        f"![the regions of every variant](images/{sweep}-regions.png)\n\n"
        f"The regions of seed 0 in the last epoch, each KL's drawn to one scale.\n\n"
        f"![what happens as the weight drops](images/{sweep}-measures.png)\n\n"
        "A dot is a run, a line joins the means before and after the weight drops."
    )
    return "\n\n".join(parts)


def table(name: str, columns: list[Column], found: Found) -> str:
    heads = [f"{name}: guidance", "KL", *(head for head, _ in columns)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (guidance, kl), runs in found.items():
        cells = [interval([measure(run) for run in runs]) for _, measure in columns]
        lines.append(f"| {GUIDANCE[guidance]} | {kl} | {' | '.join(cells)} |")
    return "\n".join(lines)


def interval(measured: list[Measured]) -> str:
    """Mean and half of the 95 % confidence interval; counts of what is or is not.

    >>> interval([1.0, 2.0, 3.0])
    '2.00 ± 2.48'
    >>> interval([0.25, None]), interval([1.0, 1.0]), interval([None])
    ('0.250', '1.00 (all 2)', '')
    >>> interval([[True, False], [True, True]])
    '3 of 4'
    """
    counted = [each for of_run in measured if isinstance(of_run, list) for each in of_run]
    if counted:
        return f"{sum(counted)} of {len(counted)}"
    values = [value for value in measured if isinstance(value, float)]
    if not values:
        return ""
    mean, margin = statistics.fmean(values), mean_margin(values)
    digits = 1 if mean >= 20 else 2 if mean >= 1 else 3
    if margin is not None:
        return f"{mean:.{digits}f} ± {margin:.{digits}f}"
    return f"{mean:.{digits}f} (all {len(values)})" if len(values) > 1 else f"{mean:.{digits}f}"


def maps(found: Found) -> Any:
    """A line of region maps for each guidance, a column for each KL."""
    from matplotlib.figure import Figure

    from dvae_core.latent.borders.drawing import draw_regions
    from dvae_core.latent.borders.regions import Grid, regions_of
    from dvae_core.latent.colours import class_colours

    guidances, kls = varied(found)
    size = (2.75 * len(kls), 2.7 * len(guidances))
    figure = Figure(figsize=size, layout="constrained")
    panels: Any = figure.subplots(len(guidances), len(kls))
    for axes, ((guidance, kl), runs) in zip(panels.flat, found.items(), strict=True):
        classes = runs[0].about["classes"]
        pairs = [(classes.index(a), classes.index(b)) for a, b in runs[0].about["named_pairs"]]
        regions = regions_of(Grid(*runs[0].map(AFTER)), len(classes))
        draw_regions(axes, regions, classes, class_colours(len(classes)), pairs)
        axes.set_title(f"{kl}: {GUIDANCE[guidance]}", fontsize=9)
        axes.tick_params(labelsize=7)
    for column in panels.T:
        reach = max(abs(v) for axes in column for v in (*axes.get_xlim(), *axes.get_ylim()))
        for axes in column:
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    return figure


def chart(found: Found) -> Any:
    """k-NN accuracy and area, before and after the weight drops."""
    from matplotlib.figure import Figure

    measures: dict[str, Callable[[Run, int], float]] = {
        "knn_accuracy": lambda run, epoch: run.figure("knn_accuracy", epoch),
        "area": lambda run, epoch: run.areas[epoch],
    }
    guidances, kls = varied(found)
    figure = Figure(figsize=(2.2 * len(guidances), 5.5), layout="constrained")
    panels: Any = figure.subplots(len(measures), len(guidances), sharey="row", sharex=True)
    for line, (name, measure) in zip(panels, measures.items(), strict=True):
        for axes, guidance in zip(line, guidances, strict=True):
            for place, kl in enumerate(kls):
                at = [3 * place, 3 * place + 1]
                values = [[measure(run, e) for e in (BEFORE, AFTER)] for run in found[guidance, kl]]
                for pair in values:
                    axes.plot(at, pair, ".", color=f"C{place}", alpha=0.4)
                axes.plot(at, [statistics.fmean(v) for v in zip(*values, strict=True)],
                          color=f"C{place}", label=kl)  # fmt: skip
            axes.set_xticks([])
            axes.grid(axis="y", color="#e4e4e4")
            if name == "area":
                axes.set_yscale("log")
        line[0].set_ylabel(name)
    for axes, guidance in zip(panels[0], guidances, strict=True):
        axes.set_title(GUIDANCE[guidance], fontsize=9)
    panels[0, 0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
