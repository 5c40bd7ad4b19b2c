"""The claim, measured: classes own areas, areas share borders, paths cross only two classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import Metric, class_number

if TYPE_CHECKING:
    from dvae_core import Snapshot


class Borders(Metric):
    """Areas, borders and direct paths in latent space, as a judge sees them.

    The judge is a vote of the 15 nearest training means; it never took part in training. See
    docs/borders.md for what each figure means.
    """

    name = "borders"
    directions = {
        "knn_accuracy": "higher",
        "area_evenness": "higher",
        "wholeness": "higher",
        "adjacency": "higher",
        "direct_path_mean": "higher",
        "direct_path/*": "higher",
        "intrusion": "lower",
        "void_rate": "lower",
        "retention": "higher",
    }

    pairs: tuple[tuple[str | int, str | int], ...] = ()
    """Pairs of classes to report by name, besides those that the recipe's terms name."""
    lines: int = Field(default=100, ge=1)
    """Straight lines between two classes."""
    steps: int = Field(default=64, ge=2)
    """Points along a line."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        judge, regions = snapshot.judge, snapshot.regions
        accuracy = judge.accuracy(snapshot.test_labels)
        measured = {
            "knn_accuracy": accuracy,
            "area_evenness": regions.area_evenness,
            "wholeness": regions.wholeness,
            "adjacency": regions.adjacency,
        }
        paths = snapshot.paths(self.lines, self.steps)
        if len(paths.pairs):
            measured["direct_path_mean"] = paths.direct_path_mean
            measured["intrusion"] = paths.intrusion
            measured["void_rate"] = paths.void_rate
        for a, b in self._named(snapshot):
            name = f"direct_path/{snapshot.classes[a]}-{snapshot.classes[b]}"
            measured[name] = float(paths.direct_path[a, b])
        before = _accuracy_at_full_guidance(snapshot, accuracy)
        if before:
            measured["retention"] = accuracy / before
        return measured

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
            "border_ceiling": regions.ceiling,
            "lines": self.lines,
            "steps": self.steps,
            "direct_path": paths.direct_path,
            "direct_path_low": low,
            "direct_path_high": high,
        }
        if len(paths.pairs):
            kept["direct_path_mean_95"] = list(paths.direct_path_mean_interval)
        if regions.grid:
            kept |= regions.grid.kept()
        return kept

    def _named(self, snapshot: Snapshot) -> list[tuple[int, int]]:
        own = [sorted(class_number(c, snapshot.classes) for c in pair) for pair in self.pairs]
        return list(dict.fromkeys([*snapshot.named_pairs, *((a, b) for a, b in own)]))


def _accuracy_at_full_guidance(snapshot: Snapshot, accuracy: float) -> float | None:
    """The judge's accuracy in the last epoch whose guidance weight is within 1 % of the highest."""
    rows = [
        (row["train/guidance_weight"], row["test/knn_accuracy"])
        for row in snapshot.history
        if "train/guidance_weight" in row and "test/knn_accuracy" in row
    ]
    weight = snapshot.weights.get("guidance")
    if weight is None:
        return None
    rows.append((weight, accuracy))
    highest = max(weight for weight, _ in rows)
    return next(measured for weight, measured in reversed(rows) if weight >= 0.99 * highest)
