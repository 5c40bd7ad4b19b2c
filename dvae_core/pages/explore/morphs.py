"""The morphs between classes that a page plays, as `dvae morph` finds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from dvae_core.latent.borders.paths import STEPS, straight
from dvae_core.latent.morph import Morph, morph
from dvae_core.latent.snapshot import Snapshot
from dvae_core.pages.explore.epochs import pack_map
from dvae_core.pages.explore.packing import as_bytes, pack
from dvae_core.pages.explore.planes import Plane

FRAMES = (22, 8)
"""Images that are kept of a morph's 64 steps, evenly, the ends among them; as there is room."""
VALUES = 64 * 64 * 28 * 28
"""Values that all kept images hold together at most: a megabyte or so when packed."""
MOST_CLASSES = 20
"""Classes up to which every two of them are joined by morphs."""


def class_morphs(snapshot: Snapshot, planes: Sequence[Plane]) -> dict[str, Any] | None:
    """From each class to each other one, straight and over the border if they share one.

    What `morph` finds at 64 steps with its usual seed. None where there are no two classes to join,
    or more than 20.
    """
    classes = len(snapshot.classes)
    if classes > MOST_CLASSES:
        return None
    right = snapshot.test_labels == snapshot.judge.test_verdicts
    able = [c for c in range(classes) if (right & (snapshot.test_labels == c)).any()]
    asked = [
        (a, b, over)
        for a, b in permutations(able, 2)
        for over in ((False, True) if snapshot.regions.borders[a, b] else (False,))
    ]
    if not asked:
        return None
    room = VALUES // (len(asked) * math.prod(snapshot.image_shape))
    frames = next((n for n in FRAMES if n <= room), 0)
    paths, verdicts, probabilities, images = [], [], [], []
    for a, b, over in asked:
        path = morph(snapshot, a, b, steps=STEPS, route="border" if over else "straight")
        paths.append(_place(path, planes))
        verdicts.append(path.verdicts)
        probabilities.append(path.probabilities)
        images.append(_frames(path.images, frames))
    return {"paths": paths, **_packed(verdicts, probabilities, images)}


def line(snapshot: Snapshot, plane: Plane, ends: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The straight line between two places of a plane: both judges' verdicts, and images."""
    start, end = np.array(ends, dtype=np.float64)
    points = plane.points(straight(start, end))
    images = snapshot.decode(points)
    return _packed(
        [snapshot.judge.verdicts(points)],
        [snapshot.image_judge.probabilities(images)],
        [_frames(images, FRAMES[0])],
    )


def _place(path: Morph, planes: Sequence[Plane]) -> dict[str, Any]:
    """Where a path lies on each plane, and at which share of its length it turns."""
    lengths = np.linalg.norm(np.diff(path.corners, axis=0), axis=1)
    return {
        "a": path.a,
        "b": path.b,
        "route": path.route,
        "turn": round(float(lengths[0] / max(lengths.sum(), 1e-12)), 4),
        "corners": [plane.coordinates(path.corners).round(4).tolist() for plane in planes],
    }


def _frames(images: np.ndarray, frames: int) -> np.ndarray:
    """uint8 [frames, C * H * W]: so many of the images at 64 steps."""
    steps = np.linspace(0, STEPS - 1, frames).round().astype(int)
    return as_bytes(images[steps]).reshape(frames, math.prod(images.shape[1:]))


def _packed(
    verdicts: Sequence[np.ndarray],
    probabilities: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
) -> dict[str, Any]:
    """Of each path verdicts [64], probabilities [64, K] and images [frames, C * H * W]."""
    sure = np.stack(probabilities)
    frames = len(images[0])
    return {
        "latent": pack_map(np.stack(verdicts), sure.shape[-1]),
        "image": pack_map(sure.argmax(axis=-1), sure.shape[-1]),
        "percent": pack(np.round(100 * sure.max(axis=-1)).astype(np.uint8)),
        "frames": frames,
        "images": pack(np.concatenate(images), differences=True) if frames else None,
    }
