"""Labels for images that have none, from the few that do."""

from __future__ import annotations

from typing import Any

import numpy as np

AXES = 40
"""Principal axes in which images are compared, at most."""
NEIGHBOURS = 5
CLAMP = 0.95
"""How much of its belief an image takes from its neighbours at each turn: alpha of the paper."""


def spread_labels(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels, and for images without one the likeliest by similar images.

    Label spreading over the graph of each image's nearest neighbours (Zhou et al., "Learning with
    local and global consistency", 2004). What it reaches has a label, however doubtful: images
    without one lie wherever they like, and those in doubt between two classes like to lie between
    others. What no way of neighbours leads to stays hidden.

    Args:
        images: [N, ...], any numbers.
        labels: int [N]; -1 is hidden.

    Returns:
        int [N]; what was visible is as it was.
    """
    from sklearn.decomposition import PCA
    from sklearn.semi_supervised import LabelSpreading

    if not (labels < 0).any() or len(np.unique(labels[labels >= 0])) < 2:
        return labels
    pixels = images.reshape(len(images), -1).astype(np.float32)
    axes = PCA(min(AXES, *pixels.shape), random_state=0).fit_transform(pixels)
    spread = LabelSpreading(kernel=_nearness, alpha=CLAMP, max_iter=200).fit(axes, labels)
    reached = spread.label_distributions_.max(axis=1) > 0
    return np.where((labels < 0) & reached, spread.transduction_, labels)


def _nearness(points: np.ndarray, _: np.ndarray) -> Any:
    """A Gaussian of the distance [N, N] between neighbours, as wide as they are apart, else 0."""
    from sklearn.neighbors import kneighbors_graph

    near = kneighbors_graph(points, min(NEIGHBOURS, len(points) - 1), mode="distance")
    near.data = np.exp(-np.square(near.data / max(np.median(near.data), 1e-12)))
    return near.maximum(near.T)
