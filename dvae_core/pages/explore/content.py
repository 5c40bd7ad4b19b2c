"""What a page knows of a run, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dvae_core.errors import DataError, DvaeError
from dvae_core.latent.loaded_run import LoadedRun
from dvae_core.latent.snapshot import Snapshot
from dvae_core.pages.explore.epochs import epoch_maps, weight_curves
from dvae_core.pages.explore.figures import figures, number
from dvae_core.pages.explore.ground import CELLS, CELLS_BEYOND, ground, moved_grounds
from dvae_core.pages.explore.morphs import MOST_CLASSES, class_morphs
from dvae_core.pages.explore.packing import as_bytes, pack
from dvae_core.pages.explore.pictures import LATTICE_VALUES, sample
from dvae_core.pages.explore.planes import Plane, planes
from dvae_core.plugin.labelled_images import class_number
from dvae_core.runs.watch import Watch


class Explored:
    """A run as pages and their server see it: its snapshot and its planes.

    Args:
        run: the run.
        wanted: planes, as `planes` takes them.
        watch: who is told what goes on.
        shown_class: for a conditional decoder, what is decoded; no known class if left out.

    Raises:
        DataError: the data cannot be had, or has no labels.
        RecipeError: there is no such plane.
        DvaeError: there is no such class, or the decoder takes no labels.
    """

    def __init__(
        self, run: LoadedRun, wanted: Sequence[str], watch: Watch, shown_class: str | None = None
    ) -> None:
        self.run = run
        self.watch = watch
        watch.stage(f"loading {run.recipe.dataset.name}")
        self.snapshot: Snapshot = run.look(watch)
        if shown_class is not None:
            try:
                number = class_number(shown_class, run.classes)
            except ValueError as error:
                raise DvaeError(f"{run.folder.path}: {error}") from None
            self.snapshot = self.snapshot.showing(number)
        if not (self.snapshot.train_labels >= 0).any():
            raise DataError(f"{run.folder.path}: no training image has a label, so none can judge")
        self.planes: list[Plane] = planes(self.snapshot, wanted)

    def content(self, *, served: bool = False) -> dict[str, Any]:
        """All that a page shows of the run.

        Args:
            served: whether a `Server` stands behind it, which moves planes itself.
        """
        run, snapshot = self.run, self.snapshot
        title = run.recipe.title or run.folder.name
        chosen = _sample_with(sample(snapshot), typical := _typical(snapshot))
        own = None if snapshot.shown_class is not None else snapshot.test_labels[chosen]
        maps, moving = epoch_maps(run.folder, snapshot, self._spread(self.planes[0]))
        rows = [row for row in run.metrics() if row["epoch"] <= run.epoch]
        return {
            "name": run.folder.name,
            "title": ", ".join(filter(None, [title, snapshot.decoded_as])),
            "dataset": run.recipe.dataset.name,
            "epoch": run.epoch,
            "epochs": run.recipe.train.epochs,
            "dim": snapshot.latent_dim,
            "shape": list(snapshot.image_shape),
            "classes": list(snapshot.classes),
            "colours": snapshot.colours,
            "labels": pack(snapshot.test_labels.astype(np.int32)),
            "verdicts": pack(snapshot.judge.test_verdicts.astype(np.int32)),
            "typical": typical,
            "pairs": [list(pair) for pair in snapshot.named_pairs],
            "sample": {
                "index": pack(chosen.astype(np.int32)),
                "real": pack(as_bytes(snapshot.images("test", chosen))),
                "back": pack(as_bytes(snapshot.decode(snapshot.test_means[chosen], own))),
            },
            "planes": [self._plane(plane) for plane in self.planes],
            "moved": [] if served else self._moved(self.planes[0]),
            "maps": maps,
            "moving": moving,
            "weights": weight_curves(snapshot),
            "paths": self._paths(),
            "morphs": class_morphs(snapshot, self.planes),
            "metrics": figures(rows, run.recipe.evaluate.metrics),
            "judges": {
                "latent": f"a vote of the {snapshot.judge.k} nearest training means",
                "latentAccuracy": _accuracy(snapshot),
                "imageAccuracy": number(snapshot.image_judge.accuracy),
            },
        }

    def _plane(self, plane: Plane) -> dict[str, Any]:
        self.watch.stage(f"{self.run.folder.name}: drawing the {plane.name}")
        return {
            "name": plane.name,
            "labels": list(plane.labels),
            "box": list(plane.box),
            "share": plane.share,
            "points": pack(self._spread(plane).astype(np.float32)),
            "plan": self._plan(plane),
            "beyond": list(plane.beyond_labels),
            "spread": plane.spread.tolist(),
            **self.ground(plane),
        }

    def ground(self, plane: Plane) -> dict[str, Any]:
        """The map and the images of a plane, at the page's best."""
        cells = CELLS if self.snapshot.latent_dim <= 2 else CELLS_BEYOND
        return ground(self.snapshot, plane, cells, LATTICE_VALUES // len(self.planes))

    def _moved(self, plane: Plane) -> list[dict[str, Any]]:
        if not len(plane.spread):
            return []
        self.watch.stage(f"{self.run.folder.name}: moving the {plane.name}")
        return moved_grounds(self.snapshot, plane)

    def _plan(self, plane: Plane) -> list[list[float]] | None:
        """Where the prior has its classes [K, 2], or None where it has no such places."""
        means = self.snapshot.class_means
        found = None if means is None else plane.coordinates(means.astype(np.float64))
        return None if found is None else found.round(4).tolist()

    def _spread(self, plane: Plane) -> np.ndarray:
        """Where the test means [M, 2] lie; on a line they are spread across it, to be seen."""
        points = plane.coordinates(self.snapshot.test_means)
        if not plane.axes[1].any():
            points[:, 1] = self.snapshot.random("explore spread").uniform(-0.8, 0.8, len(points))
        return points

    def _paths(self) -> dict[str, Any] | None:
        if len(self.snapshot.classes) > MOST_CLASSES:
            return None
        self.watch.stage(f"{self.run.folder.name}: judging the paths between the classes")
        found = self.snapshot.paths()
        low, high = found.direct_path_interval
        return {
            "lines": found.verdicts.shape[1],
            "direct": _plain(found.direct_path),
            "low": _plain(low),
            "high": _plain(high),
        }


def _typical(snapshot: Snapshot) -> list[int]:
    """For each class, the rightly judged test image nearest to the class mean; -1 for none."""
    means, labels = snapshot.test_means, snapshot.test_labels
    right = snapshot.judge.test_verdicts == labels
    found = []
    for c in range(len(snapshot.classes)):
        own = np.flatnonzero(right & (labels == c))
        if not len(own):
            found.append(-1)
            continue
        distances = np.linalg.norm(means[own] - means[labels == c].mean(axis=0), axis=1)
        found.append(int(own[distances.argmin()]))
    return found


def _sample_with(chosen: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    return np.union1d(chosen, [index for index in wanted if index >= 0]).astype(int)


def _accuracy(snapshot: Snapshot) -> float | None:
    labels = snapshot.test_labels
    return snapshot.judge.accuracy(labels) if (labels >= 0).any() else None


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[number(float(value)) for value in row] for row in matrix]
