"""Data without a test part of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from dvae_core import DataError, Dataset, LabelledImages

if TYPE_CHECKING:
    import numpy as np


class SplitDataset(Dataset):
    """What keeps a share of its images for testing."""

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """The share of the images that is kept for testing."""
    split_seed: int = Field(default=0, ge=0)
    """Chooses which ones."""

    def split(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        classes: tuple[str, ...],
        where: str,
        *validation: np.ndarray | None,
    ) -> LabelledImages:
        """Some of the images for training and some for testing; messages call them `where`.

        `validation` are the images and labels of the validation part, if there are such.
        """
        import numpy as np

        n_test = round(self.test_fraction * len(images))
        if not 0 < n_test < len(images):
            raise DataError(f"{where}: {len(images)} images are too few to split")
        order = np.random.default_rng(self.split_seed).permutation(len(images))
        test, train = np.sort(order[:n_test]), np.sort(order[n_test:])
        parts = (images[train], labels[train], images[test], labels[test])
        return LabelledImages(*parts, classes, *validation)
