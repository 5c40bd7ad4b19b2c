"""Loads a data set: where it is cached, what is left out, which labels guidance may see."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dvae_core.errors import DataError, DvaeError, RecipeError
from dvae_core.files import cache_folder
from dvae_core.plugin.kinds import Dataset
from dvae_core.plugin.labelled_images import LabelledImages, held_out

if TYPE_CHECKING:
    import numpy as np

    from dvae_core.recipe.recipe import Recipe


DARK = 64
"""Images without a pixel above this are nearly black: of 255, a quarter."""


def load_data(dataset: Dataset, warn: Callable[[str], None] = lambda text: None) -> LabelledImages:
    """The data set's images, down to its limits, with a validation part held out if it is to be.

    One of the data set's own is taken as it is, and nothing held out beside it.

    Args:
        warn: told what the data set says by `warnings.warn`, and of what is odd about the images.

    Raises:
        DataError: the data cannot be had, or is not what a data set must give.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            data = dataset.load(cache_folder())
        if not isinstance(data, LabelledImages):
            raise TypeError(f"load gave {type(data).__name__}, not LabelledImages")
        if data.has_validation and dataset.has_validation() is False:
            raise ValueError("load gave a validation part, and has_validation() says there is none")
    except DvaeError:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise DataError(f'data set "{dataset.name}": {reason}') from error
    said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    if dataset.validation_fraction is not None and data.has_validation:
        said.append(
            "has a validation part of its own, which is taken as it is: "
            f"validation_fraction = {dataset.validation_fraction} holds nothing out"
        )
    white, dark = (255, DARK) if data.train_images.dtype.kind == "u" else (1, DARK / 255)
    if (high := data.train_images.max()) < dark:
        said.append(
            f"no pixel of the training images is above {high:g} of {white}, so they are nearly "
            f"black; scale them to 0..{white}: images * {white // max(high, white / 255):.0f}"
        )
    for text in dict.fromkeys(said):
        warn(f'data set "{dataset.name}": {text}')
    train = first_of_each(data.train_labels, dataset.train_limit)
    test = first_of_each(data.test_labels, dataset.test_limit)
    limited = dataclasses.replace(data, **data.rows("train", train), **data.rows("test", test))
    if dataset.validation_fraction is None or limited.has_validation:
        return limited
    count = held_out(len(limited.train_images), dataset.validation_fraction)
    if not 0 < count < len(limited.train_images):
        raise DataError(
            f'data set "{dataset.name}": of {len(limited.train_images)} training images '
            f"validation_fraction = {dataset.validation_fraction} holds {count} out"
        )
    return _validated(limited, count)


def _validated(data: LabelledImages, count: int) -> LabelledImages:
    """The same data, with so many of the training images held out as its validation part."""
    import numpy as np

    held = np.zeros(len(data.train_labels), dtype=bool)
    held[stratified(data.train_labels, count)] = True
    validation = data.rows("train", held, as_part="validation")
    return dataclasses.replace(data, **data.rows("train", ~held), **validation)


def stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """The indices of so many images, of each class its share, -1 included, to within one image.

    The shares are Sainte-Laguë's. Which images of a class they are is drawn, the same ones always:
    runs with different seeds are chosen among by the same images, and share their image judge.
    """
    import numpy as np

    order = np.random.default_rng(0).permutation(len(labels))
    _, number, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
    place = (rank_in_class(labels[order]) + 0.5) / sizes[number]
    return order[np.lexsort((labels[order], place))[:count]]


HASHED = 100_000_000
"""Bytes of images that a fingerprint looks at, at most: all of MNIST."""


def fingerprint(data: LabelledImages) -> str:
    """A digest of a data set's images and labels: of all of them, or evenly spread ones of many."""
    digest = hashlib.sha256(repr((data.classes, data.image_shape)).encode())
    parts = [(data.train_images, data.train_labels), data.part("test")]
    if data.has_validation:
        parts.append(data.part("val"))
    for images, labels in parts:
        step = max(1, -(-images.nbytes // HASHED))
        digest.update(f"{len(images)} {step}".encode())
        digest.update(labels.tobytes())
        digest.update(images[::step].tobytes())
    for targets in (data.train_targets, data.test_targets, data.validation_targets):
        if targets is not None:
            digest.update(targets.tobytes())
    return digest.hexdigest()[:32]


def difference(info: Mapping[str, Any], data: LabelledImages) -> str | None:
    """What tells data from those that run.json speaks of; None if they are the same."""
    facts = {
        "classes": list(data.classes),
        "image_shape": list(data.image_shape),
        "train_images": len(data.train_images),
        "test_images": len(data.test_images),
        "validation_images": 0 if data.validation_images is None else len(data.validation_images),
    }
    for key, now in facts.items():
        if key in info and info[key] != now:
            return f"{key} were {info[key]} and are {now}"
    if info.get("data", found := fingerprint(data)) != found:
        return "the images or labels are not those that the run was started with"
    return None


def first_of_each(labels: np.ndarray, limit: int | None) -> np.ndarray | slice:
    """The indices of the first `limit` images, as many of each class as there are to be had."""
    if limit is None or limit >= len(labels):
        return slice(None)
    import numpy as np

    return np.sort(np.lexsort((labels, rank_in_class(labels)))[:limit])


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """For each label [N], how many of its class stand before it."""
    import numpy as np

    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rank[own] = np.arange(len(own))
    return rank


def visible_labels(recipe: Recipe, data: LabelledImages) -> tuple[np.ndarray, np.ndarray | None]:
    """The training labels [N] that a run of the recipe may see, of which -1 are hidden.

    And the head's targets [N, K], if the data has such; rows of NaN are hidden.

    Raises:
        RecipeError: labels that are targets are to be spread.
    """
    from dvae_core.randomness import derived_seed

    seed = derived_seed(recipe.seed, "hidden labels")
    fraction, targets = recipe.dataset.labelled_fraction, data.train_targets
    visible = guidance_labels(data.train_labels, fraction, seed)
    if targets is not None:
        targets = guidance_labels(targets, fraction, seed)
    if not recipe.dataset.spread_labels:
        return visible, targets
    if targets is not None:
        raise RecipeError(
            f"{recipe.origin(('dataset', 'spread_labels'))}: [dataset] spread_labels spreads "
            "classes, and the head learns targets"
        )
    from dvae_core.model.label_spreading import spread_labels

    return spread_labels(data.train_images, visible), None


def guidance_labels(labels: np.ndarray, labelled_fraction: float, seed: int) -> np.ndarray:
    """A seeded random part of the labels [N] or targets [N, K]; the rest is -1 or NaN."""
    if labelled_fraction >= 1:
        return labels
    import numpy as np

    hidden = np.random.default_rng(seed).permutation(len(labels))
    visible = labels.copy()
    nothing = -1 if labels.dtype.kind == "i" else np.nan
    visible[hidden[round(labelled_fraction * len(labels)) :]] = nothing
    return visible
