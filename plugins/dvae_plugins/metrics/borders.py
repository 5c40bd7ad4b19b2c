"""The claim, measured: classes own areas, areas share borders, paths cross only two classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import Metric, pair_name, pairs_of

if TYPE_CHECKING:
    from dvae_core import Snapshot


WEIGHTS = 10_000
"""Steps, spread over the run, among which the highest guidance weight is looked for."""


class Borders(Metric):
    """Areas, borders and direct paths in latent space, as a judge sees them.

    The judge is a vote of the 15 nearest training means; it never took part in training.
    """

    name = "borders"
    explains = {
        "knn_accuracy": "how often the latent judge is right about test images, 0 to 1",
        "area_evenness": "entropy of the classes' shares of the area / log K: 1 when all own alike",
        "wholeness": "the largest connected piece of a class's area / all of it, averaged over the "
        "classes, 0 to 1",
        "adjacency": "pairs of classes whose largest pieces share a border / as many as can, "
        "0 to 1",
        "area_in_posteriors": "the area that is not void / that of the median posterior: how many "
        "of them find room; up to two dimensions, of posteriors whose dimensions are independent",
        "direct_path_mean": "share of straight lines between two images of different classes that "
        "cross these two alone, averaged over all pairs, 0 to 1",
        "direct_path/*": "the same for one pair, 0 to 1",
        "intrusion": "share of the steps on those lines that are judged a third class, 0 to 1",
        "void_rate": "share of those steps that are void, 0 to 1",
        "void_rate/*": "the same for one pair, 0 to 1",
        "knn_accuracy_full": "knn_accuracy in the last epoch with the highest guidance weight",
        "retention": "knn_accuracy / knn_accuracy_full, around 1",
        "kept_guidance": "what is left of the accuracy that guidance won over the plain run, "
        "around 0 to 1",
    }
    directions = {
        "knn_accuracy": "higher",
        "area_evenness": "higher",
        "wholeness": "higher",
        "adjacency": "higher",
        "direct_path_mean": "higher",
        "direct_path/*": "higher",
        "intrusion": "lower",
        "void_rate": "lower",
        "void_rate/*": "lower",
        "retention": "higher",
        "kept_guidance": "higher",
    }

    pairs: tuple[tuple[str | int, str | int], ...] = ()
    """Pairs of classes to report by name, besides those that the recipe and its terms name."""
    lines: int = Field(default=100, ge=1)
    """Straight lines between two classes."""
    steps: int = Field(default=64, ge=2)
    """Points along a line."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        judge, regions = snapshot.judge, snapshot.regions
        known = (snapshot.test_labels >= 0).any()
        accuracy = judge.accuracy(snapshot.test_labels) if known else math.nan
        measured = {
            "knn_accuracy": accuracy,
            "area_evenness": regions.area_evenness,
            "wholeness": regions.wholeness,
            "adjacency": regions.adjacency,
        }
        if regions.grid and snapshot.independent_posterior:
            measured["area_in_posteriors"] = regions.grid.area / _posterior_area(snapshot)
        paths = snapshot.paths(self.lines, self.steps)
        if len(paths.pairs):
            measured["direct_path_mean"] = paths.direct_path_mean
            measured["intrusion"] = paths.intrusion
            measured["void_rate"] = paths.void_rate
        direct, void = paths.direct_path, paths.void_rates
        for a, b in self._named(snapshot):
            name = pair_name((a, b), snapshot.classes)
            measured[f"direct_path/{name}"] = direct[a, b]
            measured[f"void_rate/{name}"] = void[a, b]
        full = _accuracy_at_full_guidance(snapshot, accuracy)
        if full:
            measured["knn_accuracy_full"] = full
            measured["retention"] = accuracy / full
        # What there are no images or lines for is no number.
        return {name: float(value) for name, value in measured.items() if not math.isnan(value)}

    @classmethod
    def against_plain(
        cls, measured: Mapping[str, float], plain: Mapping[str, float]
    ) -> dict[str, float]:
        """`kept_guidance`: what is left of the accuracy that guidance won over the plain run."""
        names = ("knn_accuracy", "knn_accuracy_full")
        if not all(name in measured for name in names) or "knn_accuracy" not in plain:
            return {}
        now, full = (measured[name] - plain["knn_accuracy"] for name in names)
        return {"kept_guidance": now / full} if full > 0 else {}

    def details(self, snapshot: Snapshot) -> dict[str, Any]:
        regions, paths = snapshot.regions, snapshot.paths(self.lines, self.steps)
        low, high = paths.direct_path_interval
        kept: dict[str, Any] = {
            "judge": f"vote of the {snapshot.judge.k} nearest training means",
            "space": "grid" if regions.grid else "graph of the nearest test means",
            "classes": list(snapshot.classes),
            "named_pairs": [[snapshot.classes[c] for c in pair] for pair in self._named(snapshot)],
            "void_beyond": snapshot.judge.void,
            "area_share": regions.area_share,
            "wholeness": regions.wholeness_of,
            "border": regions.borders,
            "border_around": regions.around,
            "border_share": regions.border_share,
            "border_ceiling": regions.ceiling,
            "adjacency_from_share": regions.adjacency_band,
            "lines": self.lines,
            "steps": self.steps,
            "direct_path": paths.direct_path,
            "direct_path_low": low,
            "direct_path_high": high,
        }
        if named := self._named(snapshot):
            kept["direct_path_band"] = _band(snapshot, paths, named)
        if interval := paths.direct_path_mean_interval:
            kept["direct_path_mean_95"] = list(interval)
        if regions.grid:
            kept |= regions.grid.kept()
        return kept

    def _named(self, snapshot: Snapshot) -> list[tuple[int, int]]:
        own = pairs_of(self.pairs, snapshot.classes)
        return list(dict.fromkeys([*snapshot.named_pairs, *own]))


def _posterior_area(snapshot: Snapshot) -> float:
    """The median over test images of (2 pi)^(D/2) times the posterior's standard deviations: the
    area (length on a line) of a box as high as the density's peak that holds all of it."""
    import numpy as np

    dim = snapshot.test_log_vars.shape[1]
    widths = np.exp(0.5 * snapshot.test_log_vars.sum(axis=1))
    return float((2 * np.pi) ** (dim / 2) * np.median(widths))


def _accuracy_at_full_guidance(snapshot: Snapshot, accuracy: float) -> float | None:
    """The judge's accuracy in the last epoch whose guidance weight is within 1 % of the highest.

    The highest of all steps that see labels: epochs that were not measured count. None where none
    that was measured had it, without guidance, and where the weight's schedule is not known any
    more.
    """
    weight = snapshot.weights.get("guidance")
    if weight is None:
        return None
    now = {
        "step": snapshot.step,
        "train/guidance_weight": weight,
        "test/knn_accuracy": accuracy,
    }
    guided = [
        row
        for row in (*snapshot.history, now)
        if "train/guidance_weight" in row and row.get("step", 0) <= snapshot.labelled_steps
    ]
    steps, weights = snapshot.weight_curves(WEIGHTS)["guidance"]
    highest = float(weights[steps < snapshot.labelled_steps].max())
    once = max((row["train/guidance_weight"] for row in guided), default=0.0)
    if highest <= 0 or once > 1.01 * highest:
        return None
    full = (
        row["test/knn_accuracy"]
        for row in reversed(guided)
        if row["train/guidance_weight"] >= 0.99 * highest and "test/knn_accuracy" in row
    )
    return next(full, None)


def _band(
    snapshot: Snapshot, paths: Any, named: list[tuple[int, int]]
) -> dict[str, dict[str, float]]:
    """The direct paths of the named pairs by judges with other knobs: what hangs on these."""
    some, half = paths.between(named), snapshot.judge.voters // 2
    judges = {
        "as measured": snapshot.judge,
        "5 voters": snapshot.judge_of(5),
        "45 voters": snapshot.judge_of(45),
        "void from 1.6": snapshot.judge_of(snapshot.judge.k, void=1.6),
        "void from 2.5": snapshot.judge_of(snapshot.judge.k, void=2.5),
        "half of the images": snapshot.judge_of(snapshot.judge.k, voters=max(half, 1)),
    }
    names = [pair_name(pair, snapshot.classes) for pair in named]
    shares = {knob: some.direct_path_by(judge) for knob, judge in judges.items()}
    return {
        knob: {name: float(share[pair]) for name, pair in zip(names, named, strict=True)}
        for knob, share in shares.items()
    }
