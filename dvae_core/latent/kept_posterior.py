"""Where all images lay when a run last measured its test images, kept for those who look at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dvae_core.latent.snapshot import Snapshot, read_only
from dvae_core.runs.kept import load_arrays, save_arrays

FILE = "posterior.npz"
LARGEST = 20_000_000
"""Bytes; where it would be more, nothing is kept."""
TRIED = 250
"""Images of each part that are encoded again, to see that what was kept is what comes out."""
CLOSE = 0.01, 0.99
"""How far off these may be, in standard deviations of all, and how many have to be within that:
processors round differently, and a bfloat16 that is rounded the other way is off by more."""


def keep_posterior(snapshot: Snapshot, run: Path) -> None:
    """Write `posterior.npz`: `test_means`, `test_log_vars` [M, D], `train_means` [N, D], float32.

    Nothing is written where no metric has asked for the training means, or where it would be more
    than 20 MB.

    Args:
        snapshot: one that looks at the test images.
        run: the run folder.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    known, (means, log_vars) = snapshot.known_train_means, snapshot.test_posterior
    if known is None or known.nbytes + means.nbytes + log_vars.nbytes > LARGEST:
        return
    arrays = {"train_means": known, "test_means": means, "test_log_vars": log_vars}
    save_arrays(run / "evaluation" / FILE, run, arrays, packed=False)  # it would hardly shrink


def take_posterior(snapshot: Snapshot, run: Path) -> None:
    """Have a snapshot of the run's own data take what was kept, if its networks say the same.

    Some images are encoded again to see: a file that is damaged, or of other weights or code, is
    passed over.
    """
    try:
        kept = load_arrays(run / "evaluation" / FILE, run)
        names = ("train_means", "test_means", "test_log_vars")
        train, means, log_vars = (read_only(kept[name]) for name in names)
        fits = _fits([train], snapshot, "train", len(snapshot.train_labels))
        fits &= _fits([means, log_vars], snapshot, "test", len(snapshot.test_labels))
    except (MemoryError, Exception):  # what is in a stranger's file may raise anything
        return
    if fits:
        snapshot.train_means, snapshot.test_posterior = train, (means, log_vars)


def _fits(
    kept: Sequence[np.ndarray], snapshot: Snapshot, part: Literal["train", "test"], count: int
) -> bool:
    """Whether means, and log_vars if kept, [count, D] are those of a part's images."""
    some = np.unique(np.linspace(0, count - 1, TRIED).astype(int))
    found = snapshot.encode(snapshot.images(part, some))[: len(kept)]
    near, most = CLOSE
    return all(
        one.shape == (count, snapshot.latent_dim)
        and one.dtype == np.float32
        and bool(np.isfinite(one).all())
        and float(np.mean(np.abs(one[some] - again) <= near * one.std())) >= most
        for one, again in zip(kept, found, strict=True)
    )
