"""Data sets, metrics, plots and callbacks: what a run is made of and seen by."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import numpy as np
import torch

from dvae_core.errors import DataError, RunFolderError
from dvae_core.latent.snapshot import Snapshot
from dvae_core.plugin.kinds import (
    Callback,
    Dataset,
    Metric,
    Plot,
)
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.randomness import global_state, set_aside
from dvae_core.runs.checkpoints import packed, unpacked
from dvae_core.runs.kept import check_details
from dvae_core.runs.watch import Watch
from dvae_core.testing.checks.register import B, check, expect_shape, must
from dvae_core.testing.outcomes import Failure, NotChecked
from dvae_core.testing.toys import toy_recipe, toy_registry, toy_training


@check("dataset")
def gives_labelled_images(dataset: Dataset) -> None:
    data = _load(dataset)
    for part in ("train", "test", "validation"):
        labels, targets = getattr(data, f"{part}_labels"), getattr(data, f"{part}_targets")
        known = targets is not None and not np.isnan(targets).any(axis=1).all()
        must(labels is None or known or (labels >= 0).any(), "no image has a label")
    said = dataset.has_validation()
    must(
        said in (None, data.has_validation),
        f"has_validation() says {said} and load gives "
        f"{'a' if data.has_validation else 'no'} validation part",
    )
    size = dataset.size()
    must(
        size in (None, len(data.train_images)),
        f"size() says {size} and load gives {len(data.train_images)} training images",
    )
    shape = dataset.image_shape()
    must(
        shape in (None, data.image_shape),
        f"image_shape() says {shape} and load gives {data.image_shape}",
    )


@check("dataset")
def gives_the_same_twice(dataset: Dataset) -> None:
    one, two = _load(dataset), _load(dataset)
    for field in dataclasses.fields(LabelledImages):
        first, second = getattr(one, field.name), getattr(two, field.name)
        floats = isinstance(first, np.ndarray) and first.dtype.kind == "f"
        same = np.array_equal(first, second, equal_nan=floats)  # NaN is what is not known
        must(same, f"{field.name} differ when loaded again")


@check("dataset")
def augments_by_the_generator_alone(dataset: Dataset) -> None:
    import torch

    if type(dataset).augment is Dataset.augment and dataset.augmentation is None:
        return
    shape = dataset.image_shape() or _load(dataset).image_shape
    images = torch.rand(B, *shape, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(B) % 2

    def made(seed: int) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        given = dataset.augment(images.clone(), labels.clone(), generator)
        return given if isinstance(given, tuple) else (given,)

    with set_aside(0, "augmentation"):
        one, two = made(1), made(1)
    must(len(one) in (1, 2), f"augment gives {len(one)} tensors; images, or images and targets")
    for first, second in zip(one, two, strict=True):
        expect_shape(first, tuple(images.shape))
        must(torch.equal(first, second), "augment draws from something else than its generator")
        must(first.min() >= 0 and first.max() <= 1, "augment leaves [0, 1], in which images are")


_NOT_HERE: dict[str, str] = {}
"""Why the data of a data set cannot be had, so that nobody waits for it twice."""


def _load(dataset: Dataset) -> LabelledImages:
    from dvae_core.files import cache_folder

    key = repr(dataset)
    if key in _NOT_HERE:
        raise NotChecked(_NOT_HERE[key])
    try:
        data = dataset.load(cache_folder())
    except DataError as error:
        _NOT_HERE[key] = f"the data is not here: {error}"
        raise NotChecked(_NOT_HERE[key]) from error
    except ValueError as error:
        raise Failure(str(error)) from error
    must(isinstance(data, LabelledImages), f"load gives {type(data).__name__}")
    return data


@check("metric")
def gives_finite_numbers(metric: Metric) -> None:
    numbers = metric.measure(toy_training().snapshot())
    must(isinstance(numbers, dict) and numbers, f"gives {numbers!r}, not numbers by name")
    for name, value in numbers.items():
        must(isinstance(name, str), f"the name {name!r} is no string")
        finite = isinstance(value, int | float) and math.isfinite(value)
        must(finite, f"{name} is {value!r}, not a finite float")


@check("metric")
def gives_details_that_can_be_kept(metric: Metric) -> None:
    try:
        check_details(metric.details(toy_training().snapshot()))
    except TypeError as error:
        raise Failure(str(error)) from error


@check("metric")
def measures_the_same_twice(metric: Metric) -> None:
    one, two = metric.measure(toy_training().snapshot()), metric.measure(toy_training().snapshot())
    must(one == two, f"gives {one} and then {two}; use snapshot.random for random choices")


@check("metric")
def leaves_the_snapshot_alone(metric: Metric) -> None:
    with _untouched(toy_training().snapshot()) as snapshot:
        metric.measure(snapshot)


@check("plot")
def gives_a_figure(plot: Plot) -> None:
    from matplotlib.figure import Figure

    with _global_state_put_back(), tempfile.TemporaryFile() as file:
        figure = plot.draw(toy_training().snapshot())
        must(isinstance(figure, Figure), f"gives {type(figure).__name__}, not a matplotlib Figure")
        figure.savefig(file, format="png")


@check("plot")
def leaves_no_global_state(plot: Plot) -> None:
    import matplotlib
    import matplotlib.pyplot as plt

    with _global_state_put_back():
        before, open_before = dict(matplotlib.rcParams), plt.get_fignums()
        with _untouched(toy_training().snapshot()) as snapshot:
            plot.draw(snapshot)
        left = [n for n in plt.get_fignums() if n not in open_before]
        changed = [k for k, v in matplotlib.rcParams.items() if before.get(k) != v]
    must(not left, "leaves a pyplot figure open; make a matplotlib.figure.Figure instead")
    must(not changed, f"changes matplotlib.rcParams: {', '.join(changed[:3])}")


@check("callback")
def survives_a_run(callback: Callback) -> None:
    heard, _ = _heard_in_a_run(callback)
    must(not heard, "; ".join(heard))


@check("callback")
def keeps_its_state(callback: Callback) -> None:
    _, lived = _heard_in_a_run(callback)
    state = lived.state()
    must(isinstance(state, dict), f"state gives a {type(state).__name__}, not a dict")
    try:
        kept = unpacked(packed(state))
    except RunFolderError as error:
        raise Failure(f"its state {error}") from error
    other = type(callback).from_table(
        {k: v for k, v in callback.model_dump(mode="json").items() if v is not None and k != "name"}
    )
    other.restore(kept)
    must(packed(other.state()) == packed(state), "restore does not take back all that state gives")


def _heard_in_a_run(callback: Callback) -> tuple[list[str], Callback]:
    """What warnings a toy run with such a callback gives, and the callback as it is after it."""
    from dvae_core.training.run import run_recipe

    registry = toy_registry(type(callback))
    table = callback.model_dump(mode="json")
    recipe = toy_recipe(registry, callbacks=[{k: v for k, v in table.items() if v is not None}])
    heard: list[str] = []

    class Listen(Watch):
        def warn(self, text: str) -> None:
            heard.append(text)

    with tempfile.TemporaryDirectory() as folder:
        run = run_recipe(recipe, folder, watch=Listen(), registry=registry)
        due = recipe.train.epochs if run.stopped is None else run.stopped["epoch"]
        must(len(run.metrics()) == due, "the run's record is not complete")
        must(Path(run.path).exists(), "the run folder is gone")
    return heard, recipe.callbacks[0]


@contextmanager
def _global_state_put_back() -> Iterator[None]:
    """Whatever a plot does to matplotlib's settings and to pyplot's figures is undone."""
    import matplotlib
    import matplotlib.pyplot as plt

    open_before = plt.get_fignums()
    try:
        with matplotlib.rc_context():
            yield
    finally:
        for number in set(plt.get_fignums()) - set(open_before):
            plt.close(number)


@contextmanager
def _untouched(snapshot: Snapshot) -> Iterator[Snapshot]:
    arrays = {
        name: getattr(snapshot, name).copy()
        for name in ("train_means", "test_means", "test_images", "train_labels", "test_labels")
    }
    before = global_state()
    # A run hands out arrays that cannot be written; copies that can tell which one is written to.
    watched = copy(snapshot)
    watched.__dict__ |= {name: array.copy() for name, array in arrays.items()}
    yield watched
    for name, array in arrays.items():
        must(np.array_equal(getattr(watched, name), array), f"changes snapshot.{name}")
    after = global_state()
    (_, numbers, *place), (_, later, *now) = before["numpy"], after["numpy"]
    same = torch.equal(before["torch"], after["torch"]) and torch.equal(numbers, later)
    must(same and place == now, "draws from a global random generator; use snapshot.random")
