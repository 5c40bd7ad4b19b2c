"""What the images on the way look like, to a judge that knows images alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from dvae_core import Metric

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import Snapshot


class Morphs(Metric):
    """Whether decoded images look like the class that they lie in, and like the ends of a path.

    The image judge is a small network, trained once for a data set on real images alone.
    `decoded_agreement` is the share of points, spread over all that is not void, whose decoded
    image looks to it like the class that the latent judge names. Along the straight lines between
    two classes a and b, `morph_realism` is its probability of a or b, whichever is higher, and
    `morph_ends` the share of steps that it calls a or b.
    """

    name = "morphs"
    directions = {
        "decoded_agreement": "higher",
        "morph_realism": "higher",
        "morph_realism/*": "higher",
        "morph_ends": "higher",
        "morph_ends/*": "higher",
    }

    points: int = Field(default=2000, ge=1)
    """Points whose decoded images are compared with what lies there."""
    lines: int = Field(default=5, ge=1)
    """Straight lines between two classes."""
    steps: int = Field(default=16, ge=2)
    """Decoded images along a line."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        places, verdicts = _spread(snapshot, self.points)
        agreed = self._seen(snapshot, places).argmax(axis=1) == verdicts
        measured = {"decoded_agreement": float(agreed.mean())}

        paths = snapshot.paths()
        walked = paths.walked
        if not walked.any():
            return measured
        pairs = paths.pairs[walked]
        points = paths.points(self.lines, self.steps)[walked]  # [Q, L, S, D]
        seen = self._seen(snapshot, points.reshape(-1, snapshot.latent_dim))
        seen = seen.reshape(len(pairs), -1, len(snapshot.classes))  # [Q, L * S, K]
        realism, ends = _along(seen, pairs)
        measured["morph_realism"] = float(realism.mean())
        measured["morph_ends"] = float(ends.mean())
        for a, b in snapshot.named_pairs:
            for q in (pairs == (a, b)).all(axis=1).nonzero()[0]:
                name = f"{snapshot.classes[a]}-{snapshot.classes[b]}"
                measured[f"morph_realism/{name}"] = float(realism[q])
                measured[f"morph_ends/{name}"] = float(ends[q])
        return measured

    def details(self, snapshot: Snapshot) -> dict[str, Any]:
        judge = snapshot.image_judge
        return {"judge_accuracy": judge.accuracy, "judge_learnt_from": judge.digest}

    def _seen(self, snapshot: Snapshot, points: np.ndarray) -> np.ndarray:
        return snapshot.image_judge.probabilities(snapshot.decode(points))


def _along(seen: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Realism and share of ends [Q] of the judge's probabilities [Q, N, K] along pairs [Q, 2]."""
    import numpy as np

    of_ends = np.take_along_axis(seen, pairs[:, None, :], axis=2)  # [Q, N, 2]
    called = (seen.argmax(axis=2)[:, :, None] == pairs[:, None, :]).any(axis=2)
    return of_ends.max(axis=2).mean(axis=1), called.mean(axis=1)


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
