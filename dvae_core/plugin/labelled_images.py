"""What a data set gives: images and labels, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dvae_core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

ImageShape = tuple[int, int, int]
"""(C, H, W)."""
Split = Literal["test", "val"]
"""Which images are looked at: those of the test, or those of the validation part."""
HOW_TO_VALIDATE = "dataset.validation_fraction = 0.1 holds a tenth of the training images out"


@dataclass(frozen=True)
class LabelledImages:
    """What a data set gives: NumPy arrays (torch tensors are converted).

    Images are uint8, of which 255 is white, or float32 in [0, 1], which are trained on as they are;
    all parts alike.

    Raises:
        ValueError: a wrong dtype, shape, pixel or label; the message says which.
    """

    train_images: np.ndarray
    """uint8 or float32 [N, C, H, W]."""
    train_labels: np.ndarray
    """int64 [N]; -1 is unlabelled."""
    test_images: np.ndarray
    """uint8 or float32 [M, C, H, W]."""
    test_labels: np.ndarray
    """int64 [M]."""
    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    validation_images: np.ndarray | None = None
    """uint8 or float32 [V, C, H, W], if the data has a validation part."""
    validation_labels: np.ndarray | None = None
    """int64 [V]."""

    def __post_init__(self) -> None:
        import numpy as np

        object.__setattr__(self, "classes", tuple(str(c) for c in self.classes))
        if (self.validation_images is None) != (self.validation_labels is None):
            raise ValueError("validation_images and validation_labels come together")
        for part in ("train", "test", *["validation"] * self.has_validation):
            images = np.asarray(getattr(self, f"{part}_images"))
            labels = np.asarray(getattr(self, f"{part}_labels"))
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
            if images.dtype not in (np.uint8, np.float32) or images.ndim != 4:
                raise ValueError(
                    f"{part}_images must be uint8 or float32 [N, C, H, W], not {images.dtype} "
                    f"{list(images.shape)}"
                )
            if images.dtype != self.train_images.dtype:
                raise ValueError(
                    f"train images are {self.train_images.dtype}, {part} images {images.dtype}"
                )
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise ValueError(
                    f"{part}_labels must be int64 [{len(images)}], not {labels.dtype} "
                    f"{list(labels.shape)}"
                )
            if len(images) == 0:
                raise ValueError(f"there are no {part} images")
            if images.size == 0:
                raise ValueError(f"{part}_images have no pixels: {list(images.shape)}")
            if images.dtype == np.float32:
                low, high = images.min(), images.max()
                if not (low >= 0 and high <= 1):  # NaN is neither
                    raise ValueError(f"{part}_images are {low:g}..{high:g}, not floats in [0, 1]")
            if labels.min() < -1 or labels.max() >= len(self.classes):
                raise ValueError(
                    f"{part}_labels must lie in -1..{len(self.classes) - 1} for "
                    f"{len(self.classes)} classes, not {labels.min()}..{labels.max()}"
                )
            if images.shape[1:] != self.train_images.shape[1:]:
                raise ValueError(
                    f"train images are {self.train_images.shape[1:]}, "
                    f"{part} images {images.shape[1:]}"
                )

    @property
    def has_validation(self) -> bool:
        """Whether there is a validation part."""
        return self.validation_images is not None

    def part(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of a split.

        Raises:
            DataError: there is no validation part.
        """
        if split == "test":
            return self.test_images, self.test_labels
        if self.validation_images is None or self.validation_labels is None:
            raise DataError(f"there are no validation images; {HOW_TO_VALIDATE}")
        return self.validation_images, self.validation_labels

    @property
    def image_shape(self) -> ImageShape:
        c, h, w = self.train_images.shape[1:]
        return (c, h, w)


def held_out(images: int, fraction: float | None) -> int:
    """How many of so many training images `validation_fraction` holds out.

    >>> held_out(60_000, 0.1), held_out(60_000, None)
    (6000, 0)
    """
    return round(images * fraction) if fraction else 0


def short_name(name: str, length: int) -> str:
    """A class name as a label of so many characters at most, for matplotlib.

    >>> short_name("ankle boot", 6), short_name("0", 6)
    ('ankle…', '0')
    """
    text = name if len(name) <= length else name[: length - 1] + "…"
    return text.replace("$", r"\$")  # a dollar sign would start a formula


def class_number(name: str | int, classes: tuple[str, ...]) -> int:
    """The number of a class that is given by name or by number.

    >>> class_number("0", ("7", "0")), class_number(0, ("7", "0")), class_number("0", ("a", "b"))
    (1, 0, 0)

    Raises:
        ValueError: there is no such class; the message names those that there are.
    """
    if isinstance(name, str) and name in classes:
        return classes.index(name)
    number = int(name) if isinstance(name, int) or name.isdecimal() else -1
    if 0 <= number < len(classes):
        return number
    known = ", ".join(classes[:30]) + (", ..." if len(classes) > 30 else "")
    hint = "" if str(name).isdecimal() else did_you_mean(str(name), classes)
    hint = hint or f"; known: {known}"
    raise ValueError(f'there is no class "{name}"{hint}')


def pairs_of(
    pairs: Iterable[Iterable[str | int]], classes: tuple[str, ...]
) -> tuple[tuple[int, int], ...]:
    """The numbers a < b of pairs of classes that are given by name or number, each pair once.

    >>> pairs_of([["8", "0"], [0, 2]], ("0", "1", "8"))
    ((0, 2),)

    Raises:
        ValueError: there is no such class, or a pair is of one class alone.
    """
    named = []
    for pair in pairs:
        a, b = sorted(class_number(c, classes) for c in pair)
        if a == b:
            raise ValueError(f"a class has no border with itself: {list(pair)}")
        named.append((a, b))
    return tuple(dict.fromkeys(named))
