"""Small data sets that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dvae_core import LabelledImages
from dvae_plugins.datasets.split import SplitDataset


class ScikitLearn(SplitDataset):
    """Toy data of scikit-learn, for trials without a network: digits of 8x8 pixels, or a table.

    Tables, whose rows are shown as profiles, have each column scaled to [0, 1].
    """

    name = "sklearn"

    which: Literal["digits", "breast_cancer", "iris", "wine", "diabetes"] = "digits"
    """1,797 digits of ten classes; 569, 150 or 178 rows with 30, 4 or 13 columns, of two classes
    or three; 442 with 10 columns and one continuous target, the progress of the disease, which is
    standardized."""

    def load(self, cache: Path) -> LabelledImages:
        import numpy as np
        from sklearn import datasets

        found = getattr(datasets, f"load_{self.which}")()
        values, labels = found.data, found.target
        if self.which == "digits":
            images = values.reshape(-1, 1, 8, 8) / 16
        else:
            low, high = values.min(axis=0), values.max(axis=0)
            images = ((values - low) / (high - low))[:, None, None]
        if self.which == "diabetes":
            labels = ((labels - labels.mean()) / labels.std()).astype(np.float32)[:, None]
            classes: tuple[str, ...] = ("progress",)
        else:
            labels, classes = labels.astype(np.int64), tuple(map(str, found.target_names))
        return self.split(images.astype(np.float32), labels, classes, f"sklearn {self.which}")
