"""Data sets of the Hugging Face hub, or in its formats."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from dvae_core import DataError, LabelledImages, picture_of
from dvae_plugins.datasets.split import SplitDataset
from dvae_plugins.extras import package

if TYPE_CHECKING:
    import numpy as np


class HuggingFace(SplitDataset):
    """A data set of images with one label each, through the package datasets.

    It comes from the hub, or from a folder of Parquet files or of images. Nothing of it is run.
    Without a test part a share of the training images is kept for testing.
    """

    name = "huggingface"
    example = {"path": "ylecun/mnist"}

    path: str
    """Its name on the hub, such as "ylecun/mnist", or a folder."""
    configuration: str | None = None
    """Which of its configurations, where it has several."""
    image: str = "image"
    """The column of the images."""
    label: str = "label"
    """The column of the labels."""
    train: str = "train"
    """The part that is trained on."""
    test: str = "test"
    """The part that is tested on, if it is there."""
    validation: str = "validation"
    """The validation part, if it is there."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour."""
    resize: tuple[PositiveInt, PositiveInt] | None = None
    """[height, width] to resize to; left out, all images must have one size."""

    def load(self, cache: Path) -> LabelledImages:
        parts = self._parts(cache)
        if self.train not in parts:
            raise DataError(f"{self.path}: has no part {self.train}; it has {', '.join(parts)}")
        names = self._classes(parts[self.train])
        train = self._arrays(parts[self.train], names)
        classes = tuple(map(str, names))
        if self.test in parts:
            data = LabelledImages(*train, *self._arrays(parts[self.test], names), classes)
        else:
            data = self.split(*train, classes, self.path)
        if self.validation not in parts:
            return data
        images, labels = self._arrays(parts[self.validation], names)
        return dataclasses.replace(data, validation_images=images, validation_labels=labels)

    def has_validation(self) -> None:
        return None

    def _parts(self, cache: Path) -> Any:
        datasets = package("datasets", "data", "the data set huggingface", DataError)
        folder = str(cache / "huggingface")
        try:
            return datasets.load_dataset(self.path, self.configuration, cache_dir=folder)
        except Exception as error:
            raise DataError(
                f"{self.path}: cannot be had from the hub, and is no folder of images or Parquet "
                f"files: {type(error).__name__}: {error}"
            ) from error

    def _classes(self, part: Any) -> list[Any]:
        """What labels stand for, in the order of their numbers."""
        for column in (self.image, self.label):
            if column not in part.column_names:
                held = ", ".join(part.column_names)
                raise DataError(f"{self.path}: has no column {column}; it has {held}")
        if hasattr(part.features[self.label], "feature"):  # a list's
            raise DataError(
                f"{self.path}: {self.label} has several labels an image; an npz takes such, as "
                "targets of zeros and ones"
            )
        names = getattr(part.features[self.label], "names", None)
        return list(names) if names is not None else sorted({*part[self.label]} - {-1})

    def _arrays(self, part: Any, names: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        import numpy as np

        try:
            images = [picture_of(image, self.channels, self.resize) for image in part[self.image]]
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: no readable image: {error}") from error
        if shapes := {image.shape for image in images[1:]} - {images[0].shape}:
            one, other = images[0].shape[1:], shapes.pop()[1:]
            raise DataError(
                f"{self.path}: images of {one[0]}x{one[1]} and of {other[0]}x{other[1]} pixels; "
                "set resize = [height, width]"
            )
        labels = np.array(part[self.label])
        if getattr(part.features[self.label], "names", None) is None:
            number = {name: index for index, name in enumerate(names)}
            labels = np.array([number.get(label, -1) for label in labels.tolist()])
        return np.stack(images), labels.astype(np.int64)
