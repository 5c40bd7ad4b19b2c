"""Which classes the data has close together, before anything is trained."""

from __future__ import annotations

import numpy as np

IMAGES = 5000
"""That are looked at."""
AXES = 50
"""Principal axes in which they are compared."""
NEIGHBOURS = 15


def affinity(images: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How often the nearest images to one of a class are of another.

    By the 15 nearest neighbours in the 50 first principal axes of the pixels, among 5,000 images.

    Args:
        images: uint8 or float32 [N, C, H, W].
        labels: int [N]; images with the label -1 are left out.
        classes: how many there are.

    Returns:
        [K, K], symmetric: the share of a's neighbours that are b's and that of b's that are a's,
        added. 0 on the diagonal, and for classes without images.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    known = np.flatnonzero(labels >= 0)
    found = np.zeros((classes, classes))
    if len(known) < 2:
        return found
    random = np.random.default_rng(0)
    some = np.sort(random.choice(known, min(len(known), IMAGES), replace=False))
    pixels = images[some].reshape(len(some), -1).astype(np.float64)
    axes = PCA(min(AXES, *pixels.shape), svd_solver="full").fit_transform(pixels)
    k = min(NEIGHBOURS, len(some) - 1)
    near = NearestNeighbors(n_neighbors=k + 1).fit(axes).kneighbors(axes, return_distance=False)
    np.add.at(found, (labels[some, None], labels[some[near[:, 1:]]]), 1 / k)
    found /= np.maximum(np.bincount(labels[some], minlength=classes), 1)[:, None]
    np.fill_diagonal(found, 0)
    symmetric: np.ndarray = found + found.T
    return symmetric
