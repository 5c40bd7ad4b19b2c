"""Runs beside each other: what their recipes differ in, and what came of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from dvae_core.errors import DvaeError, RecipeError, RunFolderError, did_you_mean
from dvae_core.plugin.kinds import Metric
from dvae_core.plugin.registry import Registry, load_registry
from dvae_core.recipe.source import Dotted, read_source
from dvae_core.runs.comparison_table import Comparison, Estimate, Row, Run, was_figures
from dvae_core.runs.differences import differences, drop_unshared, settings
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.intervals import CONFIDENCE, mean_margin
from dvae_core.runs.plain import add_against_plain
from dvae_core.runs.provenance import TIME
from dvae_core.runs.significance import holm, p_value

CORE_DIRECTIONS: dict[str, str] = {
    "reconstruction": "lower",
    "kl": "lower",
    "train/loss": "lower",
    "train/reconstruction": "lower",
    "train/kl": "lower",
    "train/guidance": "lower",
    "train/guidance_accuracy": "higher",
    "seconds": "lower",
    "images_per_second": "higher",
}
"""Which way is better, of the metrics that no component gives."""
OWN_MEASURE = ("reconstruction", "kl")
"""Terms that measure themselves: two components of the kind have no common scale."""


def compare_runs(
    paths: Iterable[str | Path],
    metrics: Sequence[str] = (),
    *,
    figures: Sequence[str] = (),
    registry: Registry | None = None,
) -> Comparison:
    """Put runs beside each other, those that differ only in their seed in one row.

    A metric's best is the row with the best mean, among finished runs. Another row counts as equal
    where a t-test gives p >= 0.05: over the seeds that the two rows share, paired, or Welch's where
    these are fewer than two; with one run in either there is no such test. Each metric's p-values
    are corrected for the rows compared (Holm), and not for the number of metrics: choose one before
    you look. Nothing is marked where nobody says which way is better, and neither are the values of
    different reconstructions or KL terms.

    Where the plain run of a run's seed is among them, without guidance and otherwise alike, what
    metrics say of the two (`Metric.against_plain`) is among the metrics.

    Args:
        paths: run folders, and folders of run folders.
        metrics: names of metrics, `train/` before those of training, `val/` before those of the
            validation images; all of the test and validation images if left out.
        figures: the old name of `metrics`.
        registry: the metrics that say which way is better.

    Raises:
        RunFolderError: a path holds no run, or no run can be compared.
        RecipeError: no run has a metric of that name.
    """
    if figures:
        was_figures()
    left_out: list[str] = []
    runs = [run for folder in _folders(paths) if (run := _read(folder, left_out)) is not None]
    groups = _groups(runs, left_out)
    if not groups:
        raise RunFolderError("\n".join([*left_out, "no run is left to compare"]))
    places = differences([group[0].settings for group in groups])
    registry = registry or load_registry()
    add_against_plain(groups, registry, left_out)
    names = _metric_names(runs, metrics or figures)
    rows = [
        Row(
            tuple(group),
            {".".join(p): group[0].settings[p] for p in places if p in group[0].settings},
            {name: estimate for name in names if (estimate := _estimate(group, name)) is not None},
        )
        for group in groups
    ]
    for name, direction in _directions(names, places, registry).items():
        _mark(rows, name, direction)
    return Comparison(tuple(rows), tuple(map(".".join, places)), tuple(names), tuple(left_out))


def _folders(paths: Iterable[str | Path]) -> list[Path]:
    """The run folders, each once."""
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        inside = [path] if (path / "run.json").exists() else sorted(path.glob("*/"))
        folders = [folder for folder in inside if (folder / "run.json").exists()]
        if not folders:
            raise RunFolderError(f"{path}: neither a run folder nor a folder of run folders")
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _read(path: Path, left_out: list[str]) -> Run | None:
    try:
        folder = RunFolder.open(path)
        recipe = read_source(folder.recipe_file).table
        seed = recipe.get("seed", 0)
        if type(seed) is not int:
            raise RunFolderError(f"{path}: damaged: recipe.toml: seed: must be an integer")
        rows = folder.metrics()
        status = folder.status
    except (DvaeError, OSError, ValueError) as error:
        problem = str(error)
        left_out.append(problem if problem.startswith(str(path)) else f"{path}: {problem}")
        return None
    if status == "failed":
        left_out.append(f"{path}: failed: {folder.info.get('error', 'no reason is known')}")
        return None
    if not rows:
        left_out.append(f"{path}: {status}, and no epoch has been finished")
        return None
    return Run(
        path=path,
        name=path.resolve().name,
        seed=seed,
        status=status,
        epoch=rows[-1]["epoch"],
        started=_moment(folder.info.get("started")),
        settings=settings(recipe),
        metrics={key.removeprefix("test/"): float(value) for key, value in rows[-1].items()},
    )


def _moment(started: Any) -> float:
    """Seconds since 1970 of a time with its zone; 0 for what is none."""
    try:
        return datetime.strptime(str(started), TIME).timestamp()
    except ValueError:
        return 0.0


def _groups(runs: list[Run], left_out: list[str]) -> list[list[Run]]:
    """Finished runs of the same settings together, one a seed; every other run by itself."""
    drop_unshared([run.settings for run in runs])
    groups: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: run.started, reverse=True):
        same = (g for g in groups if g[0].status == "finished" and g[0].settings == run.settings)
        group = next(same, None) if run.status == "finished" else None
        if group is None:
            groups.append([run])
            continue
        newer = next((other for other in group if other.seed == run.seed), None)
        if newer is None:
            group.append(run)
        else:
            left_out.append(f"{run.path}: has the recipe and the seed of {newer.path}, a newer run")
    order = {run.path: index for index, run in enumerate(runs)}
    for group in groups:
        group.sort(key=lambda run: run.seed)
    return sorted(groups, key=lambda group: min(order[run.path] for run in group))


def _metric_names(runs: list[Run], wanted: Sequence[str]) -> list[str]:
    known = dict.fromkeys(name for run in runs for name in run.metrics)
    if not wanted:
        plain = ("epoch", "step", "seconds", "images_per_second")
        every = dict.fromkeys(name.removeprefix("val/") for name in known)
        own = [name for name in every if "/" not in name and name not in plain]
        return [name for name in (*own, *(f"val/{name}" for name in own)) if name in known]
    names = list(dict.fromkeys(name.removeprefix("test/") for name in wanted))
    problems = [
        f'no run has a metric "{name}"{did_you_mean(name, known)}; known: {", ".join(known)}'
        for name in names
        if name not in known
    ]
    if problems:
        raise RecipeError(problems)
    return names


def _estimate(runs: Sequence[Run], name: str) -> Estimate | None:
    values = tuple(run.metrics[name] for run in runs if name in run.metrics)
    if not values:
        return None
    return Estimate(values, mean_margin(values))


def _directions(
    names: Sequence[str], places: Sequence[Dotted], registry: Registry
) -> dict[str, str]:
    """Which way is better, of the metrics that can be told."""
    known = dict(CORE_DIRECTIONS)
    for provider in registry.of_kind("metric"):
        if issubclass(provider.component, Metric):
            known |= provider.component.directions
    for term in OWN_MEASURE:
        if any(place[0] == term and place[1:2] != ("weight",) for place in places):
            for name in (term, f"train/{term}", "train/loss"):
                known.pop(name, None)
    if any("weight" in place for place in places):
        known.pop("train/loss", None)
    directions = {}
    for name in names:
        own = name.removeprefix("val/")
        pattern = next((p for p in known if fnmatch.fnmatchcase(own, p)), None)
        if pattern is not None:
            directions[name] = known[pattern]
    return directions


def _mark(rows: list[Row], name: str, direction: str) -> None:
    finished = [row for row in rows if row.finished and name in row.metrics]
    means = [row.metrics[name].mean for row in finished]
    if not means or min(means) == max(means):
        return
    goal = max(means) if direction == "higher" else min(means)
    best = _by_seed(finished[means.index(goal)], name)
    tested = []
    for row in finished:
        if row.metrics[name].mean == goal:
            _set_mark(row, name, "best")
        elif (p := p_value(_by_seed(row, name), best)) is not None:
            tested.append((row, p))
    for (row, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
        if p >= 1 - CONFIDENCE:
            _set_mark(row, name, "equal")


def _by_seed(row: Row, name: str) -> dict[int, float]:
    return {run.seed: run.metrics[name] for run in row.runs if name in run.metrics}


def _set_mark(row: Row, name: str, mark: Literal["best", "equal"]) -> None:
    row.metrics[name] = replace(row.metrics[name], mark=mark)
