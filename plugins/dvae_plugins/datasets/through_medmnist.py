"""Data sets of the package medmnist."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dvae_core import DataError, Dataset, LabelledImages, RecipePath
from dvae_plugins.extras import package

if TYPE_CHECKING:
    import numpy as np


class MedMNIST(Dataset):
    """Medical images of one of the MedMNIST sets, with its own validation part (arXiv:2110.14795).

    Those with several labels an image ask for a head that takes such: `likelihood = "bernoulli"`.
    Those of volumes are refused.
    """

    name = "medmnist"
    example = {"which": "pathmnist"}

    which: str
    """Which set: pathmnist, dermamnist, octmnist, pneumoniamnist, retinamnist, breastmnist,
    bloodmnist, tissuemnist, organamnist, organcmnist or organsmnist; chestmnist has several labels
    an image."""
    side: Literal[28, 64, 128, 224] = 28
    """Pixels along each side."""
    root: RecipePath | None = None
    """A folder that medmnist has downloaded to before; the cache, if left out."""

    def load(self, cache: Path) -> LabelledImages:
        medmnist = package("medmnist", "data", "the data set medmnist", DataError)
        about = medmnist.INFO.get(self.which)
        if about is None:
            raise DataError(f"medmnist has no {self.which}; it has {', '.join(medmnist.INFO)}")
        if self.which.endswith("3d"):
            raise DataError(f"{self.which} has volumes, not images")
        root = self.root or cache / "medmnist"
        reader = getattr(medmnist, about["python_class"])
        several = "multi-label" in about["task"]
        train, validation, test = (
            self._part(reader, root, split, several) for split in ("train", "val", "test")
        )
        classes = tuple(about["label"][key] for key in sorted(about["label"], key=int))
        return LabelledImages(*train, *test, classes, *validation)

    def has_validation(self) -> bool:
        return True

    def _part(
        self, reader: Any, root: Path, split: str, several: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        try:
            if self.root is None:
                root.mkdir(parents=True, exist_ok=True)
            size = "" if self.side == 28 else f"_{self.side}"
            kept = (root / f"{self.which}{size}.npz").exists()
            # medmnist tells its progress on stdout, which is for data.
            with contextlib.redirect_stdout(sys.stderr):
                part = reader(split=split, root=root, download=not kept, size=self.side)
            images = part.imgs[:, None] if part.imgs.ndim == 3 else part.imgs.transpose(0, 3, 1, 2)
            return images, part.labels.astype("f4") if several else part.labels[:, 0].astype("i8")
        except Exception as error:  # a damaged file or a server raises nearly anything
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{root}: no readable {self.which} there, and it cannot be downloaded "
                f"({type(error).__name__}: {reason}). Connect to the network and run again, or set "
                "root to a folder that medmnist has filled"
            ) from error
