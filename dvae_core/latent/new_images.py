"""Images that a run has not seen: files, folders and data sets, checked against those it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from dvae_core.errors import DataError, RecipeError
from dvae_core.model.data import load_data
from dvae_core.plugin.arrays import read_npz
from dvae_core.plugin.kinds import Dataset
from dvae_core.plugin.labelled_images import ImageShape, Split, class_number
from dvae_core.plugin.pictures import as_float32, as_uint8, pictures_in, read_picture
from dvae_core.plugin.registry import Registry, UnknownComponent


@dataclass(frozen=True)
class NewImages:
    """Images with their names, and what is known of their classes."""

    images: np.ndarray
    """uint8 [P, C, H, W], or float32 in [0, 1]."""
    names: tuple[str, ...]
    labels: np.ndarray
    """int64 [P]: classes of the run; -1 is unknown."""


def check_images(images: np.ndarray, image_shape: ImageShape, where: str = "images") -> None:
    """Raise DataError unless these are images [P, C, H, W] as a run has them.

    That is: of its `image_shape`, uint8 or floats in [0, 1], and at least one.
    """
    if images.ndim != 4:
        raise DataError(f"{where} must be [P, C, H, W], not {list(images.shape)}")
    if not len(images):
        raise DataError(f"{where}: there are none")
    channels, *size = images.shape[1:]
    if tuple(size) != image_shape[1:]:
        raise DataError(
            f"{where}: {_size(size)} pixels (height x width), and the run's images have "
            f"{_size(image_shape[1:])}; resize them first, as its training images were"
        )
    if channels != image_shape[0]:
        advice = "turn them grey" if image_shape[0] == 1 else "give them the run's channels"
        raise DataError(
            f"{where}: {channels} channels, and the run's images have {image_shape[0]}; "
            f"{advice} first"
        )
    if images.dtype == np.uint8:
        return
    if images.dtype.kind != "f" or not (images.min() >= 0 and images.max() <= 1):
        raise DataError(f"{where} must be uint8, or floats in [0, 1], not {images.dtype}")


def gather(
    inputs: Iterable[str],
    image_shape: ImageShape,
    classes: tuple[str, ...],
    registry: Registry,
    *,
    split: Split = "test",
    warn: Callable[[str], None] = lambda text: None,
) -> NewImages:
    """The images of npz files, folders, pictures, and data sets by name, one after the other.

    Args:
        inputs: paths; what is none is the name of a data set that needs no keys.
        image_shape: that of the run's images.
        classes: the run's. A label, a folder or a data set's class of that name is known.
        split: which images of a data set.

    Raises:
        DataError: something cannot be read, or is no image as the run has them.
        RecipeError: there is neither such a file nor such a data set.
    """
    parts = []
    for text in inputs:
        path = Path(text)
        if path.suffix.lower() == ".npz" and path.exists():
            part = _of_npz(path, classes)
        elif path.is_dir():
            part = _of_pictures(_below(path), image_shape, classes)
        elif path.exists():
            part = _of_pictures([path], image_shape, ())
        else:
            part = _of_dataset(_dataset(text, registry), classes, split, warn)
        check_images(part.images, image_shape, text)
        parts.append(part)
    return NewImages(
        _together([part.images for part in parts]),
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.labels for part in parts]),
    )


def _together(parts: list[np.ndarray]) -> np.ndarray:
    """Images one after the other: uint8, or float32 where some are."""
    if len({images.dtype for images in parts}) > 1:
        parts = [as_float32(images, "images") for images in parts]
    return np.concatenate(parts)


def _size(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def _of_npz(path: Path, classes: tuple[str, ...]) -> NewImages:
    try:
        arrays, names = read_npz(path, ("images", "labels"))
        if "images" not in arrays and len(names) == 1:
            arrays, _ = read_npz(path, names)
            arrays = {"images": arrays[names[0]]}
    except Exception as error:  # a damaged zip file raises nearly anything
        raise DataError(f"{path}: no readable npz file: {error}") from error
    if "images" not in arrays:
        held = ", ".join(names)[:200] or "none"
        raise DataError(f"{path}: needs an array images, or one array alone, and has {held}")
    scaled = as_float32 if arrays["images"].dtype.kind == "f" else as_uint8
    images = scaled(arrays["images"], f"{path}: images")
    labels = np.full(len(images), -1, np.int64)
    if arrays.get("labels", labels).shape != labels.shape:
        raise DataError(f"{path}: {len(images)} images and {arrays['labels'].shape} labels")
    for index, label in enumerate(arrays.get("labels", ())):
        labels[index] = _number(str(label), classes)
    return NewImages(images, tuple(f"{path}:{n}" for n in range(len(images))), labels)


def _of_pictures(files: list[Path], image_shape: ImageShape, classes: tuple[str, ...]) -> NewImages:
    images = []
    for file in files:
        image = _in_channels(read_picture(file), image_shape[0])
        check_images(image[None], image_shape, str(file))
        images.append(image)
    labels = [_named(file.parent.name, classes) for file in files]
    found = np.stack(images) if images else np.empty((0, *image_shape), np.uint8)
    return NewImages(found, tuple(map(str, files)), np.array(labels, np.int64))


def _below(folder: Path) -> list[Path]:
    return sorted(f for inner in (folder, *folder.rglob("*/")) for f in pictures_in(inner))


def _in_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A picture [C, H, W] as grey or in colour, where it is the same picture then."""
    if len(image) == 1 and channels == 3:
        return image.repeat(3, axis=0)
    if len(image) == 3 and channels == 1 and (image == image[:1]).all():
        return image[:1]
    return image


def _dataset(name: str, registry: Registry) -> Dataset:
    try:
        found = registry.get("dataset", name).from_table({}, context={"registry": registry})
    except UnknownComponent as error:
        raise RecipeError(f"{name}: there is no such file or folder, and {error}") from None
    except ValidationError as error:
        keys = ", ".join(str(detail["loc"][0]) for detail in error.errors())
        raise RecipeError(
            f'data set "{name}" needs keys that only a recipe can give: {keys}; name its files'
        ) from None
    assert isinstance(found, Dataset)
    return found


def _of_dataset(
    dataset: Dataset, classes: tuple[str, ...], split: Split, warn: Callable[[str], None]
) -> NewImages:
    data = load_data(dataset, warn)
    images, labels = data.part(split)
    known = np.array([*(_named(name, classes) for name in data.classes), -1], np.int64)
    names = tuple(f"{dataset.name}:{n}" for n in range(len(images)))
    return NewImages(images, names, known[labels])


def _named(name: str, classes: tuple[str, ...]) -> int:
    return classes.index(name) if name in classes else -1


def _number(name: str, classes: tuple[str, ...]) -> int:
    try:
        return class_number(name, classes)
    except ValueError:
        return -1
