"""What the images on the way look like, to a judge that knows images alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import Metric, pair_name

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import Snapshot

MIXED = 0.2
"""What a step must look like of either class to be a mix of both."""
SHARED = 100
"""Lines between two classes that `borders` walks, too, by default: they are judged but once."""


class Morphs(Metric):
    """Whether decoded images look like the class that they lie in, and like the ends of a path.

    The image judge is a small network, trained once for a data set on real images alone.
    `decoded_agreement` is the share of points, spread evenly over all that is not void (beyond two
    dimensions: of the test means), whose decoded image looks to it like the class that the latent
    judge names.

    Along the straight lines between two classes a and b: `morph_between` is its probability of a
    or b, `morph_ends` the share of steps that it calls a or b, and `morph_mix` the share of lines
    with a step that it gives more than 0.2 of either, so that a hard cut has none.
    `morph_distance` is how far the images are from real ones in what the judge sees (its last
    hidden layer), over what is usual for real test images. `morph_kept_realism` is that distance at
    the ends over that in the middle half: 1 where the way is as real as its ends, whatever the
    decoder blurs.

    Each of these has `_crossfade` beside it: the same of a cross-fade, pixel by pixel, between the
    two real images of each line.

    With a conditional decoder, `asked_agreement` is the share of test means that, decoded as a
    class drawn at random, look to the judge like the class that was asked for.
    """

    name = "morphs"
    directions = {
        "decoded_agreement": "higher",
        "asked_agreement": "higher",
        "morph_between*": "higher",
        "morph_mix*": "higher",
        "morph_ends*": "higher",
        "morph_kept_realism*": "higher",
        "morph_distance*": "lower",
        # What runs of earlier versions have: the higher of both probabilities.
        "morph_realism": "higher",
        "morph_realism/*": "higher",
    }

    points: int = Field(default=2000, ge=1)
    """Points whose decoded images are compared with what lies there."""
    lines: int = Field(default=5, ge=1)
    """Straight lines between two classes."""
    steps: int = Field(default=16, ge=2)
    """Decoded images along a line."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        places, verdicts = _spread(snapshot, self.points)
        seen = snapshot.image_judge.probabilities(snapshot.decode(places))
        measured = {"decoded_agreement": float((seen.argmax(axis=1) == verdicts).mean())}
        if snapshot.conditional:
            measured["asked_agreement"] = _asked(snapshot, self.points)

        paths = snapshot.paths(max(self.lines, SHARED))
        walked = paths.walked
        if not walked.any():
            return measured
        pairs = paths.pairs[walked]
        points = paths.points(self.lines, self.steps)[walked]  # [Q, L, S, D]
        decoded = snapshot.decode(points.reshape(-1, snapshot.latent_dim))
        faded = _cross_fade(snapshot, paths.ends[walked][:, : self.lines], self.steps)
        kinds = [
            ("", _seen(snapshot, decoded, pairs, points.shape[1:3])),
            ("_crossfade", _seen(snapshot, faded, pairs, points.shape[1:3])),
        ]
        for suffix, way in kinds:
            for name, value in way.figures(slice(None)).items():
                measured[f"{name}{suffix}"] = value
        for pair in snapshot.named_pairs:
            for q in (pairs == sorted(pair)).all(axis=1).nonzero()[0]:
                for suffix, way in kinds:
                    for name, value in way.figures(slice(q, q + 1)).items():
                        key = f"{name}{suffix}/{pair_name(pair, snapshot.classes)}"
                        measured[key] = value
        return measured

    def details(self, snapshot: Snapshot) -> dict[str, Any]:
        judge = snapshot.image_judge
        return {"judge_accuracy": judge.accuracy, "judge_learnt_from": judge.digest}


def _asked(snapshot: Snapshot, most: int) -> float:
    """How often an image decoded as a class looks like it."""
    random = snapshot.random("asked")
    points = snapshot.test_means[random.permutation(len(snapshot.test_means))[:most]]
    labels = random.integers(len(snapshot.classes), size=len(points))
    seen = snapshot.image_judge.probabilities(snapshot.decode(points, labels))
    return float((seen.argmax(axis=1) == labels).mean())


@dataclass(frozen=True)
class _Seen:
    """What the judge makes of the images along lines."""

    of_ends: np.ndarray
    """[Q, L, S, 2]: the probabilities of the two classes."""
    called: np.ndarray
    """bool [Q, L, S]: whether it calls the image one of the two."""
    distances: np.ndarray
    """[Q, L, S]: how far the images are from real ones."""

    def figures(self, chosen: slice) -> dict[str, float]:
        """The figures over some pairs."""
        of_ends, distances = self.of_ends[chosen], self.distances[chosen]
        figures = {
            "morph_between": of_ends.sum(axis=3).mean(),
            "morph_mix": (of_ends.min(axis=3) > MIXED).any(axis=2).mean(),
            "morph_ends": self.called[chosen].mean(),
            "morph_distance": distances.mean(),
        }
        steps = distances.shape[2]
        middle = distances[:, :, steps // 4 : steps - steps // 4].mean()
        if steps > 2 and middle > 0:
            figures["morph_kept_realism"] = distances[:, :, [0, -1]].mean() / middle
        return {name: float(value) for name, value in figures.items()}


def _seen(
    snapshot: Snapshot, images: np.ndarray, pairs: np.ndarray, shape: tuple[int, ...]
) -> _Seen:
    """Of images [Q * L * S, C, H, W] on lines between pairs [Q, 2]; `shape` is (L, S)."""
    import numpy as np

    seen = snapshot.image_judge.probabilities(images).reshape(len(pairs), *shape, -1)
    ends = pairs[:, None, None, :]
    return _Seen(
        np.take_along_axis(seen, ends, axis=3),
        (seen.argmax(axis=3)[..., None] == ends).any(axis=3),
        snapshot.strangeness(images).reshape(len(pairs), *shape),
    )


def _cross_fade(snapshot: Snapshot, ends: np.ndarray, steps: int) -> np.ndarray:
    """[Q * L * S, C, H, W], between the real images whose means are the ends [Q, L, 2, D]."""
    import numpy as np
    from scipy.spatial import KDTree

    _, whose = KDTree(snapshot.test_means).query(ends.reshape(-1, ends.shape[-1]))
    real = snapshot.test_images[whose].reshape(-1, 2, *snapshot.image_shape)
    t = np.linspace(0, 1, steps, dtype=real.dtype)[:, None, None, None]
    faded: np.ndarray = (1 - t) * real[:, None, 0] + t * real[:, None, 1]
    return faded.reshape(-1, *snapshot.image_shape)


def _spread(snapshot: Snapshot, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Points that are not void, and whose they are: cells of the map, or else test means."""
    import numpy as np

    grid = snapshot.regions.grid
    if grid is None:
        places, verdicts = snapshot.test_means, snapshot.judge.test_verdicts
    else:
        places, verdicts = grid.points(snapshot.latent_dim), grid.verdicts.ravel()
    owned = snapshot.random("spread").permutation(np.flatnonzero(verdicts >= 0))[:most]
    return places[owned], verdicts[owned]
