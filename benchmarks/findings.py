"""What label guidance, layouts, named borders and KL terms do: the figures of docs/findings.md.

    python -m benchmarks.findings --sweeps DIR [--as-is]

Runs the sweeps of recipes/sweeps that `STUDIES` names in DIR, or goes on with those that lie there:
478 runs, about a minute and a half each on one core, and some four for a convolutional one. With
--as-is it trains nothing and takes the runs that have finished.

What each run came to is kept in benchmarks/results, a CSV file a sweep, so that the tables can be
made without the runs; a run that is measured again replaces its row there.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.documents import DOCS, RESULTS, ROOT, save_picture, stamp_of, write_below_mark
from dvae_core.runs.intervals import mean_margin
from dvae_core.runs.significance import holm, p_value

if TYPE_CHECKING:
    import numpy as np

Measure = Callable[["Run"], float | None]


@dataclass(frozen=True)
class Run:
    """A finished run of a sweep."""

    path: Path

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Of the epochs that were evaluated."""
        from dvae_core import RunFolder

        return [row for row in RunFolder.open(self.path).metrics() if "val/kl" in row]

    @property
    def arm(self) -> str:
        """What it was varied to."""
        return self.path.name.rpartition("-seed-")[0]

    @property
    def seed(self) -> int:
        return int(self.path.name.rpartition("-seed-")[2])

    @cached_property
    def information(self) -> float:
        """Nats that a latent point tells of its image: a rate that means the same under any KL."""
        from dvae_core import load_run

        snapshot = load_run(self.path).snapshot()
        random = snapshot.random("information")
        return mutual_information(snapshot.test_means, snapshot.test_log_vars, random)


def mutual_information(
    means: np.ndarray, log_vars: np.ndarray, random: np.random.Generator, samples: int = 2000
) -> float:
    """Of an image and its latent point, in nats, at most log M; posteriors are diagonal normals.

    The mean of log q(z | x) - log q(z), with q(z) the mixture of all posteriors; Hoffman and
    Johnson, "ELBO surgery" (NIPS workshop on advances in approximate Bayesian inference, 2016).

    Args:
        means: [M, D], of as many images, and
        log_vars: [M, D].
        samples: how many points it is estimated from, each of another image.
    """
    import numpy as np
    from scipy.special import logsumexp

    chosen = random.permutation(len(means))[:samples]
    noise = random.standard_normal((len(chosen), means.shape[1]))
    points = means[chosen] + np.exp(log_vars[chosen] / 2) * noise
    found = []
    for point, own in zip(points, chosen, strict=True):
        densities = -((point - means) ** 2 / np.exp(log_vars) + log_vars).sum(axis=1) / 2
        found.append(densities[own] - logsumexp(densities) + np.log(len(means)))
    return float(np.mean(found))


def last(name: str, split: str = "test") -> Measure:
    return lambda run: run.rows[-1].get(f"{split}/{name}")


def named(name: str, split: str = "test") -> Measure:
    """The mean over the pairs that the recipe names."""

    def measure(run: Run) -> float | None:
        row, prefix = run.rows[-1], f"{split}/{name}/"
        found = [value for key, value in row.items() if key.startswith(prefix)]
        return statistics.fmean(found) if found else None

    return measure


def full(name: str) -> Measure:
    """In the last evaluated epoch with full guidance, on validation images."""

    def measure(run: Run) -> float | None:
        highest = max(row.get("train/guidance_weight", 0.0) for row in run.rows)
        guided = [row for row in run.rows if row.get("train/guidance_weight", 0) >= 0.99 * highest]
        return guided[-1].get(f"val/{name}") if highest and guided else None

    return measure


def over(one: Measure, other: Measure) -> Measure:
    def measure(run: Run) -> float | None:
        a, b = one(run), other(run)
        return None if a is None or not b else a / b

    return measure


DIRECT: dict[str, Measure] = {
    "direct paths": named("direct_path"),
    "on validation": named("direct_path", "val"),
    "mix": named("morph_mix"),
    "kept realism": named("morph_kept_realism"),
    "of a cross-fade": named("morph_kept_realism_crossfade"),
    "k-NN": last("knn_accuracy"),
    "reconstruction": last("reconstruction"),
    "KL, nats": last("kl"),
}
RATE = "information, nats"
SHRINKING: dict[str, Measure] = {
    RATE: lambda run: run.information,
    "reconstruction": last("reconstruction"),
    "k-NN, full guidance": full("knn_accuracy"),
    "after": last("knn_accuracy", "val"),
    "area, full guidance": full("area_in_posteriors"),
    "area after": last("area_in_posteriors", "val"),
    "area after / full": over(last("area_in_posteriors", "val"), full("area_in_posteriors")),
    "k-NN after / full": over(last("knn_accuracy", "val"), full("knn_accuracy")),
}


_PANELS = ("direct paths", "mix", "kept realism", "k-NN", "reconstruction", "KL, nats")


@dataclass(frozen=True)
class Study:
    """A sweep, what is shown of it, and what was planned to be compared."""

    title: str
    columns: dict[str, Measure]
    names: dict[str, str]
    """What the parts of an arm's name are called."""
    panels: tuple[str, ...] = _PANELS
    """Columns that the picture shows."""
    contrasts: tuple[tuple[str, str, str], ...] = ()
    """(column, arm, arm): the second is taken from the first, seed by seed."""
    at_rate: tuple[str, tuple[str, str]] | None = None
    """(column, arms' beginnings): compared where their curves have the same rate."""
    rows: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """What the runs came to, by arm and seed."""

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for arm, _ in self.rows))

    @property
    def seeds(self) -> int:
        """That every arm has."""
        return min(sum(of == arm for of, _ in self.rows) for arm in self.arms)

    def add(self, run: Run) -> None:
        measured = {column: measure(run) for column, measure in self.columns.items()}
        self.rows[self.called(run.arm), run.seed] = measured | {"run": stamp_of(run.path)}

    def called(self, arm: str) -> str:
        for part, name in self.names.items():
            arm = arm.replace(part, name)
        return arm

    def of_seeds(self, arm: str, column: str) -> dict[int, float]:
        measured = {seed: row[column] for (of, seed), row in self.rows.items() if of == arm}
        return {seed: value for seed, value in measured.items() if value is not None}

    def read(self, file: Path) -> None:
        """Take the rows of a file that `write` has written."""
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                figures = {c: float(row[c]) if row[c] else None for c in self.columns}
                self.rows[row["arm"], int(row["seed"])] = figures | {"run": row["run"]}

    def write(self, file: Path) -> None:
        with file.open("w", encoding="utf-8", newline="") as lines:
            table = csv.DictWriter(
                lines, ["arm", "seed", *self.columns, "run"], lineterminator="\n"
            )
            table.writeheader()
            for (arm, seed), row in self.rows.items():
                figures = {c: "" if row[c] is None else f"{row[c]:.6g}" for c in self.columns}
                table.writerow({"arm": arm, "seed": seed, **figures, "run": row["run"]})


_ARMS = {
    "both": "layout and term",
    "neither": "neither",
    "_guidance.weight.end-": ", guidance to ",
}
_CONTRASTS = tuple(
    (column, f"layout and term, guidance to {end}", f"{other}, guidance to {end}")
    for column in ("direct paths", "mix", "kept realism", "reconstruction")
    for other in ("layout", "term", "neither")
    for end in ("5.5", "0.0")
)
STUDIES = {
    "controls": Study("MNIST: layout, term, guidance", DIRECT, _ARMS, contrasts=_CONTRASTS),
    "controls_fashion": Study(
        "Fashion-MNIST: layout, term, guidance", DIRECT, _ARMS, contrasts=_CONTRASTS
    ),
    "controls_conv": Study("MNIST, convolutional: the corners", DIRECT, _ARMS),
    "rate": Study(
        "MNIST: |mean| and mean², each at four weights",
        SHRINKING,
        {"kl-": "", "_kl.weight-": ", weight "},
        panels=("reconstruction", "area after", "area after / full", "k-NN after / full"),
        at_rate=("area after / full", ("abs", "square")),
    ),
    "labels": Study(
        "MNIST: how many labels",
        DIRECT,
        {"_dataset.labelled_fraction-": ", labels ", "-": " "},
    ),
    "baselines": Study(
        "MNIST: what others do",
        DIRECT,
        {"-": " "},
        panels=("direct paths", "k-NN", "reconstruction"),  # an autoencoder's KL is of its own size
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=Path, required=True, help="where they are or shall be")
    parser.add_argument("--as-is", action="store_true", help="train nothing")
    options = parser.parse_args()
    document, parts = DOCS / "findings.md", [f"## Figures\n\n{INTRODUCTION}"]
    standing = sections(document.read_text(encoding="utf-8"))
    for name, study in STUDIES.items():
        results = RESULTS / f"{name}.csv"
        if results.exists():
            study.read(results)
        folder = swept(options.sweeps, name, options.as_is)
        for run in finished(folder) if folder is not None else ():
            study.add(run)
        stands = standing.get(study.title, "0 seeds")
        if study.rows and study.seeds >= int(re.findall(r"(\d+) seeds", stands)[0]):
            study.write(results)
            parts += section(name, study)
        elif study.title in standing:  # of more runs, which are no longer there
            parts.append(stands)
    write_below_mark(document, "benchmarks/findings.py", parts)


INTRODUCTION = (
    "By `python -m benchmarks.findings --sweeps DIR`, on 2 cores with AVX2. Means over the "
    "seeds, with 95 % confidence intervals by Student's t; no interval where all seeds agree. "
    "Runs of one seed start alike, so that differences are taken seed by seed: their p-values "
    "are those of paired t-tests, corrected after Holm for all that a table compares."
)


def sections(text: str) -> dict[str, str]:
    """Those of a document, by their titles.

    >>> sections("# All\\n\\n### One\\n\\n1\\n\\n### Two\\n\\n2\\n")
    {'One': '### One\\n\\n1', 'Two': '### Two\\n\\n2'}
    """
    parts = re.split(r"^(?=### )", text, flags=re.MULTILINE)[1:]
    return {part[4 : part.index("\n")]: part.strip() for part in parts}


def swept(out: Path, name: str, as_is: bool) -> Path | None:
    """The folder of a sweep, run to its end unless it is taken as it is; None where none is."""
    from dvae_core import run_sweep
    from dvae_core.cli.sweep_progress import watch

    there = sorted(out.glob(f"{name}-[0-9]*"))
    if as_is:
        return there[-1] if there else None
    with watch() as watcher:
        file = ROOT / "recipes" / "sweeps" / f"{name}.toml"
        outcome = run_sweep(file, out, resume=there[-1] if there else None, watch=watcher)
    if outcome.failed:
        raise SystemExit(f"{outcome.path}: some runs failed: {', '.join(outcome.failed)}")
    return outcome.path


def finished(folder: Path) -> list[Run]:
    """In the order in which the sweep started them, so that arms are as its file has them."""
    from dvae_core import RunFolder

    folders = [RunFolder.open(file.parent) for file in folder.glob("*-seed-*/run.json")]
    folders.sort(key=lambda run: run.info["started"])
    return [Run(run.path) for run in folders if run.status == "finished"]


def section(name: str, study: Study) -> list[str]:
    ran = ", ".join(sorted({row["run"] for row in study.rows.values()}))
    source = (
        f"`recipes/sweeps/{name}.toml`; {study.seeds} seeds, {ran}; "
        f"every run's figures are in `benchmarks/results/{name}.csv`."
    )
    parts = [f"### {study.title}\n\n{source}", table(study)]
    parts += [text for text in (compared(study), at_rate(study)) if text]
    save_picture((curves if study.at_rate else dots)(study), f"findings-{name}")
    told = "a thin line is a seed" if study.at_rate else "a dot is a run, a stroke their mean"
    parts.append(f"![{study.title}: {told}](images/findings-{name}.png)")
    return parts


def table(study: Study) -> str:
    lines = [f"| arm | {' | '.join(study.columns)} |", "|---" * (len(study.columns) + 1) + "|"]
    for arm in study.arms:
        cells = [interval(list(study.of_seeds(arm, c).values())) for c in study.columns]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compared(study: Study) -> str:
    """The planned comparisons, as far as there are runs of both arms."""
    rows = []
    for column, one, other in study.contrasts:
        a, b = study.of_seeds(one, column), study.of_seeds(other, column)
        rows.append((f"{column} | {one} | {other}", a, b))
    return differences("figure | arm | less that of", rows)


def at_rate(study: Study) -> str:
    """Two curves compared at three rates that all seeds of both reach, seed by seed.

    Between two weights of a curve a straight line is drawn.
    """
    import numpy as np

    if study.at_rate is None:
        return ""
    column, beginnings = study.at_rate
    curves: tuple[dict[int, Any], ...] = ({}, {})
    for found, beginning in zip(curves, beginnings, strict=True):
        points: dict[int, list[tuple[float, float]]] = {}
        for arm in (arm for arm in study.arms if arm.startswith(beginning)):
            values = study.of_seeds(arm, column)
            for seed, rate in study.of_seeds(arm, RATE).items():
                points.setdefault(seed, []).append((rate, values[seed]))
        found |= {s: np.array(sorted(p)).T for s, p in points.items() if len(p) > 1}
    every = [rates for found in curves for rates, _ in found.values()]
    if not every:
        return ""
    low, high = max(rates[0] for rates in every), min(rates[-1] for rates in every)
    rows = []
    for rate in np.linspace(low, high, 5)[1:-1]:
        a, b = ({s: float(np.interp(rate, *c)) for s, c in found.items()} for found in curves)
        means = [interval(list(values.values())) for values in (a, b)]
        rows.append((f"{column} | {rate:.1f} | {' | '.join(means)}", a, b))
    return differences(f"figure | at {RATE} | {' | '.join(beginnings)}", rows)


def differences(heading: str, rows: list[tuple[str, dict[int, float], dict[int, float]]]) -> str:
    """A table of paired differences, where there are any; p-values corrected for all its rows.

    Those count, too, that no test says anything of, for all seeds have the same difference.
    """
    told: list[str] = []
    ps: list[float | None] = []
    for text, a, b in rows:
        p, shared = p_value(a, b), sorted(a.keys() & b.keys())
        told.append(f"{text} | {interval([a[seed] - b[seed] for seed in shared])}")
        ps.append(p)
    if all(p is None for p in ps):
        return ""
    lines = [f"| {heading} | difference | p (Holm) |", "|---" * (heading.count("|") + 3) + "|"]
    corrected = holm([1.0 if p is None else p for p in ps])
    for text, p, of_all in zip(told, ps, corrected, strict=True):
        said = "no test" if p is None else f"{of_all:.3f}" if of_all >= 0.001 else "< 0.001"
        lines.append(f"| {text} | {said} |")
    return "\n".join(lines)


def interval(values: list[float]) -> str:
    """Mean and half of the 95 % confidence interval.

    >>> interval([1.0, 2.0, 3.0]), interval([0.25]), interval([1.0, 1.0]), interval([])
    ('2.00 ± 2.48', '0.250', '1.00 (all 2)', '')
    """
    if not values:
        return ""
    mean, margin = statistics.fmean(values), mean_margin(values)
    digits = 1 if abs(mean) >= 20 else 2 if abs(mean) >= 1 else 3
    if margin is not None:
        return f"{mean:.{digits}f} ± {margin:.{digits}f}"
    return f"{mean:.{digits}f} (all {len(values)})" if len(values) > 1 else f"{mean:.{digits}f}"


def dots(study: Study) -> Any:
    """A panel a figure, a row an arm, a dot a run, a line their mean."""
    from matplotlib.figure import Figure

    arms, rows = study.arms, -(-len(study.panels) // 3)
    figure = Figure(figsize=(9, rows * (0.8 + 0.2 * len(arms))), layout="constrained")
    panels: Any = figure.subplots(rows, 3, sharey=True, squeeze=False).ravel()
    for axes, column in zip(panels, study.panels, strict=True):
        for place, arm in enumerate(arms):
            values = list(study.of_seeds(arm, column).values())
            axes.plot(values, [place] * len(values), ".", color="C0", alpha=0.4)
            if values:
                axes.plot(statistics.fmean(values), place, "|", color="black", markersize=11)
        axes.set_title(column, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(axis="x", color="#e4e4e4")
    panels[0].set_yticks(range(len(arms)), arms)
    panels[0].invert_yaxis()
    return figure


def curves(study: Study) -> Any:
    """A panel a figure over the rate, a thin line a seed, a thick one through the arms' means."""
    from matplotlib.figure import Figure

    assert study.at_rate is not None
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels: Any = figure.subplots(2, 2, sharex=True).ravel()
    for axes, column in zip(panels, study.panels, strict=True):
        for colour, beginning in zip(("C0", "C1"), study.at_rate[1], strict=True):
            arms = [arm for arm in study.arms if arm.startswith(beginning)]
            points = {arm: (study.of_seeds(arm, RATE), study.of_seeds(arm, column)) for arm in arms}
            for seed in sorted({seed for _, seed in study.rows}):
                line = sorted((x[seed], y[seed]) for x, y in points.values() if seed in y)
                axes.plot(*zip(*line, strict=True), "-", color=colour, alpha=0.25, linewidth=1)
            means = sorted(
                tuple(statistics.fmean(v.values()) for v in both) for both in points.values()
            )
            axes.plot(*zip(*means, strict=True), "o-", color=colour, linewidth=2, label=beginning)
        axes.set_title(column, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(color="#e4e4e4")
    for axes in panels[2:]:
        axes.set_xlabel(RATE, fontsize=8)
    panels[1].set_yscale("log")
    panels[0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
