"""What a data set gives: images and labels, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dvae_core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

ImageShape = tuple[int, int, int]
"""(C, H, W)."""
Split = Literal["test", "val"]
"""Which images are looked at: those of the test, or those of the validation part."""
Part = Literal["train", "test", "validation"]
HOW_TO_VALIDATE = "dataset.validation_fraction = 0.1 holds a tenth of the training images out"


@dataclass(frozen=True)
class LabelledImages:
    """What a data set gives: NumPy arrays (torch tensors are converted).

    Images are uint8, of which 255 is white, or float32 in [0, 1], which are trained on as they are;
    all parts alike.

    Labels are the numbers of classes, or targets for the head: float32 [N, K], a column for each of
    `classes`. Such may be shares of classes, several labels of an image as zeros and ones, or any
    numbers; a row with a NaN is unlabelled. They stay in `train_targets`, ..., which may be given
    beside classes too, and in their place `train_labels`, ... hold the classes that they say, as
    `classes_of` finds them, for all that goes by classes.

    Raises:
        ValueError: a wrong dtype, shape, pixel or label; the message says which.
    """

    train_images: np.ndarray
    """uint8 or float32 [N, C, H, W]."""
    train_labels: np.ndarray
    """int64 [N]; -1 is unlabelled. Or targets, see above."""
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
    train_targets: np.ndarray | None = None
    """float32 [N, K], what the head is to learn in place of the classes; all parts have such."""
    test_targets: np.ndarray | None = None
    """float32 [M, K]."""
    validation_targets: np.ndarray | None = None
    """float32 [V, K]."""

    def __post_init__(self) -> None:
        import numpy as np

        object.__setattr__(self, "classes", tuple(str(c) for c in self.classes))
        again = [c for n, c in enumerate(self.classes) if c in self.classes[:n]]
        if again:
            raise ValueError(f'two classes are called "{again[0]}"; figures go by the name')
        if (self.validation_images is None) != (self.validation_labels is None):
            raise ValueError("validation_images and validation_labels come together")
        parts = ("train", "test", *["validation"] * self.has_validation)
        self._tell_targets_from_classes(parts)
        for part in parts:
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
                    f"{part}_labels must be int64 [{len(images)}] or float32 [{len(images)}, "
                    f"{len(self.classes)}], not {labels.dtype} {list(labels.shape)}"
                )
            targets = getattr(self, f"{part}_targets")
            if (targets is None) != (self.train_targets is None):
                raise ValueError("all parts must have targets, or none of them")
            shape = (len(images), len(self.classes))
            if targets is not None and (targets.dtype, targets.shape) != (np.float32, shape):
                raise ValueError(
                    f"{part} targets must be float32 {list(shape)}, a column for each class, not "
                    f"{targets.dtype} {list(targets.shape)}"
                )
            if targets is not None and np.isinf(targets).any():
                raise ValueError(f"{part} targets are not all finite")
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

    def _tell_targets_from_classes(self, parts: Sequence[str]) -> None:
        """Put targets that were given as labels where they belong, and the classes they say."""
        import numpy as np

        given = [np.asarray(getattr(self, f"{part}_labels")) for part in parts]
        if not all(
            labels.dtype == np.float32 and labels.shape[1:] == (len(self.classes),)
            for labels in given
        ):
            return
        ends = np.cumsum([len(labels) for labels in given])[:-1]
        classes = np.split(classes_of(np.concatenate(given)), ends)
        for part, labels, said in zip(parts, given, classes, strict=True):
            object.__setattr__(self, f"{part}_targets", labels)
            object.__setattr__(self, f"{part}_labels", said)

    @property
    def has_validation(self) -> bool:
        """Whether there is a validation part."""
        return self.validation_images is not None

    @property
    def known_labels(self) -> np.ndarray:
        """What a head is to learn, hidden labels apart: int64 [N], or float32 [N, K] targets."""
        import numpy as np

        if self.train_targets is None:
            return self.train_labels[self.train_labels >= 0]
        return self.train_targets[~np.isnan(self.train_targets).any(axis=1)]

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

    def targets(self, split: Split) -> np.ndarray | None:
        """The targets of a split's images; None where the data has none."""
        return self.test_targets if split == "test" else self.validation_targets

    def rows(
        self, part: Part, chosen: slice | np.ndarray, as_part: Part | None = None
    ) -> dict[str, Any]:
        """Some images of a part with all that is said of them, for `dataclasses.replace`.

        Args:
            as_part: the part that they become, if another.
        """
        found = {}
        for what in ("images", "labels", "targets"):
            whole = getattr(self, f"{part}_{what}")
            found[f"{as_part or part}_{what}"] = None if whole is None else whole[chosen]
        return found

    @property
    def image_shape(self) -> ImageShape:
        c, h, w = self.train_images.shape[1:]
        return (c, h, w)


def classes_of(targets: np.ndarray) -> np.ndarray:
    """The class of each row of targets [N, K], as int64 [N]; -1 where it has none.

    Where all targets are shares, or zeros and ones, the class of a row that sums to one is that
    with more than half of it. Other targets say no class.

    >>> import numpy as np
    >>> classes_of(np.array([[0.2, 0.8], [0.5, 0.5], [1, 1], [0, 0], [np.nan, 1]])).tolist()
    [1, -1, -1, -1, -1]
    >>> classes_of(np.array([[0.2, 0.8], [3.0, 0.1]])).tolist()
    [-1, -1]
    """
    import numpy as np

    known = ~np.isnan(targets).any(axis=1)
    shares = known & np.isclose(targets.sum(axis=1), 1, atol=1e-3)
    whole = np.isin(targets, (0, 1)).all(axis=1)
    possible = bool((targets[known] >= 0).all() and (shares | whole)[known].all())
    sure = shares & (targets > 0.5).any(axis=1)
    return np.where(sure & possible, targets.argmax(axis=1), -1)


def held_out(images: int, fraction: float) -> int:
    """How many of so many training images `validation_fraction` holds out.

    >>> held_out(60_000, 0.1)
    6000
    """
    return round(images * fraction)


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


def pair_name(pair: tuple[int, int], classes: tuple[str, ...]) -> str:
    """What figures call a pair of class numbers.

    >>> pair_name((0, 2), ("0", "1", "8"))
    '0-8'
    """
    return "-".join(classes[c] for c in pair)


def pairs_of(
    pairs: Iterable[Iterable[str | int]], classes: tuple[str, ...]
) -> tuple[tuple[int, int], ...]:
    """The numbers a < b of pairs of classes that are given by name or number, each pair once.

    >>> pairs_of([["8", "0"], [0, 2]], ("0", "1", "8"))
    ((0, 2),)

    Raises:
        ValueError: there is no such class, a pair is of one class alone, or figures could not tell
            two pairs apart.
    """
    named = []
    for pair in pairs:
        a, b = sorted(class_number(c, classes) for c in pair)
        if a == b:
            raise ValueError(f"a class has no border with itself: {list(pair)}")
        named.append((a, b))
    told: dict[str, tuple[int, int]] = {}
    for a, b in dict.fromkeys(named):
        name = pair_name((a, b), classes)
        if name in told:
            both = f"{[classes[c] for c in told[name]]} and {[classes[a], classes[b]]}"
            raise ValueError(f'both {both} are called "{name}" in figures; rename a class')
        told[name] = a, b
    return tuple(told.values())
