"""What a data set gives: images and labels, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvae_core.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np

ImageShape = tuple[int, int, int]
"""(C, H, W)."""


@dataclass(frozen=True)
class LabelledImages:
    """What a data set gives: NumPy arrays (torch tensors are converted).

    Raises:
        ValueError: a wrong dtype, shape or label; the message says which.
    """

    train_images: np.ndarray
    """uint8 [N, C, H, W]."""
    train_labels: np.ndarray
    """int64 [N]; -1 is unlabelled."""
    test_images: np.ndarray
    """uint8 [M, C, H, W]."""
    test_labels: np.ndarray
    """int64 [M]."""
    classes: tuple[str, ...]
    """Class names in the order of the labels."""

    def __post_init__(self) -> None:
        import numpy as np

        object.__setattr__(self, "classes", tuple(str(c) for c in self.classes))
        for part in ("train", "test"):
            images = np.asarray(getattr(self, f"{part}_images"))
            labels = np.asarray(getattr(self, f"{part}_labels"))
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
            if images.dtype != np.uint8 or images.ndim != 4:
                raise ValueError(
                    f"{part}_images must be uint8 [N, C, H, W], not {images.dtype} "
                    f"{list(images.shape)}"
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
            if labels.min() < -1 or labels.max() >= len(self.classes):
                raise ValueError(
                    f"{part}_labels must lie in -1..{len(self.classes) - 1} for "
                    f"{len(self.classes)} classes, not {labels.min()}..{labels.max()}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"train images are {self.train_images.shape[1:]}, "
                f"test images {self.test_images.shape[1:]}"
            )

    @property
    def image_shape(self) -> ImageShape:
        c, h, w = self.train_images.shape[1:]
        return (c, h, w)


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
