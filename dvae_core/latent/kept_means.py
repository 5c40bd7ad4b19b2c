"""Where some test images lay after each evaluated epoch, kept in a run folder's evaluation/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dvae_core.latent.snapshot import Snapshot
from dvae_core.runs.kept import load_arrays, save_arrays

MOST = 1000
"""Test images whose means are kept; as many of each class alike, in every epoch the same."""


def keep_means(snapshot: Snapshot, run: Path) -> None:
    """Write `means-0010.npz`: the `index` [P] of test images and their `means` [P, D], float32.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    tested = snapshot.on("test")
    index = tested.test_sample(MOST)
    means, _ = tested.encode(tested.test_images[index])
    file = run / "evaluation" / f"means-{snapshot.epoch:04d}.npz"
    save_arrays(file, run, {"index": index.astype(np.int32), "means": means})


def kept_means(run: Path, snapshot: Snapshot) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Epoch, index [P] and means [P, D] of what a run kept and a snapshot's test images fit.

    Files that are damaged, or of other images, are passed over.
    """
    for file in sorted((run / "evaluation").glob("means-*.npz")):
        if not (match := re.fullmatch(r"means-(\d+)\.npz", file.name)):
            continue
        try:
            arrays = load_arrays(file, run)
            index, means = arrays["index"], arrays["means"]
            fits = index.ndim == 1 and index.dtype.kind == "i" and len(index) > 0
            fits &= bool((index >= 0).all() and (index < len(snapshot.test_labels)).all())
            fits &= means.shape == (len(index), snapshot.latent_dim)
            fits &= means.dtype.kind == "f" and bool(np.isfinite(means).all())
        except (MemoryError, Exception):  # what is in a stranger's file may raise anything
            continue
        if fits:
            yield int(match[1]), index, means
