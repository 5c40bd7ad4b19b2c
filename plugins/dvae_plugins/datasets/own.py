"""A user's own data: arrays in an npz file, or images in a folder a class."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from dvae_core import (
    DataError,
    LabelledImages,
    RecipePath,
    as_float32,
    as_uint8,
    pictures_in,
    read_npz,
    read_picture,
)
from dvae_plugins.datasets.pixels import resized, with_channels
from dvae_plugins.datasets.split import SplitDataset

if TYPE_CHECKING:
    import numpy as np

PARTS = ("", "test_", "validation_")
ARRAYS = (*(f"{part}{name}" for part in PARTS for name in ("images", "labels")), "classes")


class _OwnDataset(SplitDataset):
    path: RecipePath
    """Where the data is: beside the recipe, in the working directory, or an absolute path."""
    pixels: Literal["uint8", "float32"] = "uint8"
    """What pixels are kept as. Those that are floats, or have 16 bits, are rounded to 8, or with
    "float32" trained on as they are, in four times the memory."""
    resize: tuple[PositiveInt, PositiveInt] | None = None
    """[height, width] to resize to; left out, all images must have one size."""


class NPZ(_OwnDataset):
    """Arrays from a NumPy npz file: `images` and `labels`.

    Images are [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels, or vectors [N, F],
    which pictures show as profiles; uint8 or floats in [0, 1]. Labels are integers or strings; -1
    is unlabelled. Or they are targets for the head, floats [N, K] with K names in `classes`: shares
    of classes, several labels as zeros and ones, or any numbers; a row with a NaN is unlabelled.
    `test_images` and `test_labels`, if there, are the test set, and `validation_images` and
    `validation_labels` the validation part; `classes` names the classes in the order of the sorted
    labels.

    Large arrays of uint8 that np.savez wrote, which packs nothing, stay in the file and are read
    as they are needed; so do those of float32 with pixels = "float32". A split copies them: where
    memory is short, write `test_images` into the file, and `validation_images` in place of a
    `validation_fraction`.
    """

    name = "npz"
    example = {"path": "my_data.npz"}

    channels: Literal[1, 3] | None = None
    """1 makes colour grey, 3 repeats grey; left out, images stay as they are."""

    def load(self, cache: Path) -> LabelledImages:
        import numpy as np

        arrays = self._arrays()
        parts = {part: arrays[f"{part}labels"] for part in PARTS if f"{part}labels" in arrays}
        if all(part.dtype.kind == "f" and part.ndim == 2 for part in parts.values()):
            if "classes" not in arrays:
                raise DataError(f"{self.path}: labels [N, K] are targets; classes must name the K")
            labels = {part: a.astype(np.float32) for part, a in parts.items()}
            names: tuple[str, ...] = ()
        else:
            labels, names = self._classes(parts)
        classes = tuple(map(str, arrays["classes"].ravel())) if "classes" in arrays else names
        images = {
            part: self._fitted(arrays[f"{part}images"], f"{self.path}: {part}images")
            for part in parts
        }
        if len(images[""]) != len(labels[""]):
            raise DataError(f"{self.path}: {len(images[''])} images and {len(labels[''])} labels")
        validation = images.get("validation_"), labels.get("validation_")
        if "test_" in parts:
            test = images["test_"], labels["test_"]
            return LabelledImages(images[""], labels[""], *test, classes, *validation)
        return self.split(images[""], labels[""], classes, str(self.path), *validation)

    def _fitted(self, images: np.ndarray, where: str) -> np.ndarray:
        scaled = as_float32 if self.pixels == "float32" else as_uint8
        return resized(with_channels(scaled(images, where), self.channels), self.resize)

    def _classes(
        self, parts: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """The numbers of the classes that labels name, by part, and the names."""
        import numpy as np

        for part in parts.values():
            if part.ndim != 1 or part.dtype.kind not in "iuUS":
                raise DataError(
                    f"{self.path}: labels must be [N] integers or strings, or [N, K] floats, not "
                    f"{part.dtype} {list(part.shape)}"
                )
        numbers, names = _numbered(np.concatenate(list(parts.values())))
        ends = np.cumsum([len(part) for part in parts.values()])[:-1]
        return dict(zip(parts, np.split(numbers, ends), strict=True)), names

    def has_validation(self) -> bool | None:
        try:
            with zipfile.ZipFile(self.path) as file:
                return "validation_images.npy" in file.namelist()
        except (OSError, zipfile.BadZipFile):
            return None

    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            arrays, names = read_npz(self.path, ARRAYS)
        except FileNotFoundError:
            raise DataError(f"{self.path}: there is no such file") from None
        except Exception as error:  # a damaged zip file raises nearly anything
            raise DataError(f"{self.path}: no readable npz file: {error}") from error
        missing = {"images", "labels"} - set(arrays)
        if missing or any((f"{p}images" in arrays) != (f"{p}labels" in arrays) for p in PARTS):
            raise DataError(
                f"{self.path}: needs arrays images and labels (and test_images with test_labels, "
                "validation_images with validation_labels), "
                f"and has {', '.join(names)[:200] or 'none'}"
            )
        return arrays


class ImageFolder(_OwnDataset):
    """Image files in a folder a class: path/<class>/<any name>.png, jpg, ...

    Pixels of 16 bits are scaled to [0, 1], and those of floats must lie there.
    """

    name = "image_folder"
    example = {"path": "my_images", "resize": [28, 28], "channels": 1}

    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour."""

    def load(self, cache: Path) -> LabelledImages:
        import numpy as np

        if not self.path.is_dir():
            raise DataError(f"{self.path}: there is no such folder")
        exact = self.pixels == "float32"
        folders = sorted(f for f in self.path.iterdir() if f.is_dir() and f.name[0] != ".")
        images, labels = [], []
        for label, folder in enumerate(folders):
            for file in sorted(pictures_in(folder)):
                images.append(read_picture(file, self.channels, self.resize, exact=exact))
                labels.append(label)
                if images[-1].shape != images[0].shape:
                    raise DataError(
                        f"{file}: {images[-1].shape[1]}x{images[-1].shape[2]} pixels where the "
                        f"first image has {images[0].shape[1]}x{images[0].shape[2]}; "
                        "set resize = [height, width]"
                    )
        if not images:
            raise DataError(f"{self.path}: no images in {len(folders)} folders; one folder a class")
        elsewhere = [*pictures_in(self.path), *(f for c in folders for f in _images_below(c))]
        if elsewhere:
            warnings.warn(
                f"{len(elsewhere)} images, such as {min(elsewhere)}, lie in no class's own folder "
                f"and are left out; images belong into {self.path}/<class>/",
                stacklevel=2,
            )
        names = tuple(folder.name for folder in folders)
        numbers = np.array(labels, dtype=np.int64)
        return self.split(np.stack(images), numbers, names, str(self.path))


def _images_below(folder: Path) -> list[Path]:
    return [f for inner in folder.rglob("*/") if inner != folder for f in pictures_in(inner)]


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as 0..K-1 in sorted order, and their names; -1 stays."""
    import numpy as np

    unlabelled = labels == -1 if labels.dtype.kind in "iu" else np.zeros(len(labels), bool)
    values = np.unique(labels[~unlabelled])
    numbers = np.full(len(labels), -1, dtype=np.int64)
    numbers[~unlabelled] = np.searchsorted(values, labels[~unlabelled])
    return numbers, tuple(_text(value) for value in values)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
