"""The checks, by kind. Each is named for what must hold and raises Failure with a reason."""

from __future__ import annotations

import functools
import json
import math
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dvae_core.components import (
    KL,
    Callback,
    Component,
    Dataset,
    Decoder,
    Encoder,
    Head,
    LabelledImages,
    Metric,
    Plot,
    Reconstruction,
    Schedule,
    Term,
)
from dvae_core.describe import example_table, field_help
from dvae_core.errors import DataError, RecipeError
from dvae_core.model import GuidedVAE, Outputs
from dvae_core.randomness import global_state
from dvae_core.snapshot import Snapshot
from dvae_core.testing import Failure, NotChecked
from dvae_core.testing.toys import toy_recipe, toy_registry
from dvae_core.watch import Watch

CheckFunction = Callable[[Any], None]

HEAVY = ("torch", "torchvision", "wandb", "matplotlib")
CLASSES = ("a", "b", "c", "d")
SHAPES = ((1, 28, 28), (3, 32, 32))
B = 5

_CHECKS: dict[str, dict[str, CheckFunction]] = {}


def checks_of(kind: str) -> dict[str, CheckFunction]:
    """The checks of a kind by name: those of every component first."""
    return _CHECKS["any"] | _CHECKS.get(kind, {})


def instance_of(component: Component | type[Component]) -> Component:
    """The component itself, or its class made with `example`.

    Raises:
        Failure: the class cannot be made.
    """
    if isinstance(component, Component):
        return component
    try:
        return component.from_table(example_table(component))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise Failure(
            f"cannot be made with its defaults ({key}: {first['msg'].lower()}); "
            "set the class attribute example = {...} to keys that work"
        ) from error


def _check(kind: str) -> Callable[[CheckFunction], CheckFunction]:
    def register(function: CheckFunction) -> CheckFunction:
        _CHECKS.setdefault(kind, {})[function.__name__] = function
        return function

    return register


def _must(holds: Any, reason: str) -> None:
    if not holds:
        raise Failure(reason)


# --- Every kind.


@_check("any")
def has_docstring(component: Component) -> None:
    summary = type(component).summary()
    _must(summary, "the class has no docstring, which is its help")
    _must(summary[-1] in ".!?", f'the docstring\'s first line is no sentence: "{summary}"')


@_check("any")
def keys_have_descriptions(component: Component) -> None:
    base = {f for b in type(component).__mro__[1:] for f in getattr(b, "model_fields", {})}
    told = field_help(type(component))
    bare = [name for name in type(component).model_fields if name not in told and name not in base]
    _must(not bare, f"no docstring below the field {', '.join(bare)}")


@_check("any")
def is_frozen(component: Component) -> None:
    _must(type(component).model_config.get("frozen"), "model_config turns frozen off")
    _must(
        type(component).model_config.get("extra") == "forbid",
        "model_config lets unknown recipe keys pass",
    )


@_check("any")
def has_json_schema(component: Component) -> None:
    try:
        json.dumps(type(component).model_json_schema())
    except Exception as error:
        raise Failure(f"no JSON schema can be made of its fields: {error}") from error


@_check("any")
def survives_a_recipe(component: Component) -> None:
    table = component.model_dump(mode="json")
    name = table.pop(type(component).name_key)
    _must(name == component.name, f"its table is named {name!r}")
    table = {k: v for k, v in table.items() if v is not None}
    try:
        again = type(component).from_table(table)
    except ValidationError as error:
        raise Failure(f"the table it gives does not make it again: {error.errors()}") from error
    _must(again == component, "the table it gives makes another component")


@_check("any")
def can_be_pickled(component: Component) -> None:
    try:
        again = pickle.loads(pickle.dumps(component))
    except Exception as error:
        raise Failure(f"cannot be pickled: {error}") from error
    _must(again == component, "comes back from pickle as another component")


@_check("any")
def imports_quickly(component: Component) -> None:
    found = _heavy_imports(type(component).__module__)
    _must(
        not found,
        f"importing {type(component).__module__} loads {', '.join(found)}; "
        "import them inside the methods",
    )


@functools.cache
def _heavy_imports(module: str) -> tuple[str, ...]:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import {module}; "
        f"print(*[h for h in {HEAVY!r} if h in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if result.returncode:
        raise NotChecked(f"{module} cannot be imported by itself")
    lines = result.stdout.splitlines()
    return tuple(lines[-1].split()) if lines else ()


# --- Schedules.

_SPANS = {"step": 10_000.0, "epoch": 20.0, "run": 1.0}


@_check("schedule")
def is_finite_on_the_whole_run(schedule: Schedule) -> None:
    for t in _times(schedule):
        try:
            value = schedule.value(t)
        except Exception as error:
            raise Failure(f"raises at t = {t:g}: {type(error).__name__}: {error}") from error
        _must(isinstance(value, int | float), f"gives a {type(value).__name__} at t = {t:g}")
        _must(math.isfinite(value), f"is {value} at t = {t:g}")


@_check("schedule")
def is_deterministic(schedule: Schedule) -> None:
    forwards = [schedule.value(t) for t in _times(schedule)]
    backwards = [schedule.value(t) for t in reversed(_times(schedule))][::-1]
    for t, a, b in zip(_times(schedule), forwards, backwards, strict=True):
        _must(a == b, f"gives {a:g} and then {b:g} at t = {t:g}")


@_check("schedule")
def keeps_its_word_about_settling(schedule: Schedule) -> None:
    settles = schedule.settles_at()
    if settles is None:
        return
    _must(settles >= 0, f"settles at {settles:g}")
    if not math.isfinite(settles):
        return
    before = [schedule.value(t * settles / 50) for t in range(51)]
    after = [schedule.value(settles + t * max(settles, 1.0) / 10) for t in range(1, 101)]
    spread = max(before + after) - min(before + after)
    drift = max(after) - min(after)
    _must(
        drift <= 0.02 * spread + 1e-9,
        f"says that it settles at {settles:g} and changes by {drift:g} after that",
    )


def _times(schedule: Schedule) -> list[float]:
    span = _SPANS[schedule.unit]
    return [0.0, *(span * i / 997 for i in range(1, 998))]


# --- KLs.


@_check("kl")
def gives_one_number_an_image(kl: KL) -> None:
    for b, d in ((B, 2), (1, 1), (B, 8)):
        values = _kl(kl, b, d)[0]
        _must(tuple(values.shape) == (b,), f"shape {list(values.shape)} where [{b}] is due")
        _must(values.isfinite().all(), "is not finite for ordinary means and variances")


@_check("kl")
def treats_each_image_by_itself(kl: KL) -> None:
    torch.manual_seed(0)
    function = kl.build(2, CLASSES)
    mean, log_var, labels = torch.randn(B, 2), torch.randn(B, 2), torch.arange(B) % 4
    whole = function(mean, log_var, labels)
    alone = torch.cat([function(mean[i : i + 1], log_var[i : i + 1], labels[i : i + 1])
                       for i in range(B)])  # fmt: skip
    _must(torch.allclose(whole, alone, atol=1e-5), "an image's term depends on the batch around it")


@_check("kl")
def is_differentiable(kl: KL) -> None:
    values, mean, log_var = _kl(kl, B, 2)
    _must(values.requires_grad, "does not depend on mean and log_var")
    values.sum().backward()
    for name, tensor in (("mean", mean), ("log_var", log_var)):
        _must(tensor.grad is not None, f"no gradient reaches {name}")
        _must(tensor.grad.isfinite().all(), f"the gradient of {name} is not finite")  # type: ignore[union-attr]


@_check("kl")
def is_not_negative_if_a_divergence(kl: KL) -> None:
    if not kl.divergence:
        return
    torch.manual_seed(0)
    function = kl.build(2, CLASSES)
    mean, log_var = 3 * torch.randn(2000, 2), 2 * torch.randn(2000, 2)
    lowest = function(mean, log_var, torch.arange(2000) % 4).min().item()
    _must(lowest >= -1e-4, f"claims to be a divergence and is {lowest:g} somewhere")


@_check("kl")
def takes_hidden_labels(kl: KL) -> None:
    values = kl.build(2, CLASSES)(torch.randn(B, 2), torch.randn(B, 2), torch.full((B,), -1))
    _must(values.isfinite().all(), "is not finite where the label is -1")


def _kl(kl: KL, b: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    mean = torch.randn(b, d, requires_grad=True)
    log_var = torch.randn(b, d, requires_grad=True)
    return kl.build(d, CLASSES)(mean, log_var, torch.arange(b) % len(CLASSES)), mean, log_var


# --- Heads.


@_check("head")
def gives_a_number_a_class(head: Head) -> None:
    for b, d in ((B, 2), (1, 7)):
        logits = _seeded(functools.partial(head.build, d, CLASSES))(torch.randn(b, d))
        _expect_shape(logits, (b, len(CLASSES)))


@_check("head")
def gives_logits_not_probabilities(head: Head) -> None:
    outputs = _seeded(lambda: head.build(2, CLASSES))(20 * torch.randn(200, 2))
    sums, log_sums = outputs.sum(dim=1), outputs.logsumexp(dim=1)
    if torch.allclose(sums, torch.ones(200), atol=1e-4) and outputs.min() >= 0:
        raise Failure("gives probabilities: a softmax stands at its end")
    if torch.allclose(log_sums, torch.zeros(200), atol=1e-4):
        raise Failure("gives log-probabilities: a log-softmax stands at its end")
    _must(
        outputs.min() < 0 or outputs.max() > 1,
        "gives numbers between 0 and 1 only: a sigmoid or the like stands at its end",
    )


@_check("head")
def trains_every_parameter(head: Head) -> None:
    _gradients_everywhere(_seeded(lambda: head.build(2, CLASSES)), torch.randn(64, 2))


# --- Encoders and decoders.


@_check("encoder")
def gives_features(encoder: Encoder) -> None:
    for shape, network in _networks(encoder.build):
        for b in (B, 1):
            features = network(torch.rand(b, *shape))
            _must(features.ndim == 2 and features.shape[0] == b,
                  f"shape {list(features.shape)} for {b} images of {list(shape)}, "
                  "where [B, F] is due")  # fmt: skip
            _must(features.isfinite().all(), "features are not finite")


@_check("encoder")
def trains_all_its_parameters(encoder: Encoder) -> None:
    for shape, network in _networks(encoder.build):
        _gradients_everywhere(network, torch.rand(32, *shape))


@_check("decoder")
def gives_images(decoder: Decoder) -> None:
    for latent_dim in (2, 1):
        build = functools.partial(decoder.build, latent_dim)
        for shape, network in _networks(build):
            for b in (B, 1):
                _expect_shape(network(torch.randn(b, latent_dim)), (b, *shape))


@_check("decoder")
def leaves_the_activation_to_the_reconstruction(decoder: Decoder) -> None:
    for _, network in _networks(functools.partial(decoder.build, 2)):
        images = network(100 * torch.randn(64, 2))
        _must(
            images.min() < -1e-6 or images.max() > 1 + 1e-6,
            "gives numbers between 0 and 1 only: a sigmoid or the like stands at its end",
        )


@_check("decoder")
def trains_all_parameters(decoder: Decoder) -> None:
    for _, network in _networks(functools.partial(decoder.build, 2)):
        _gradients_everywhere(network, torch.randn(32, 2))


def _networks(build: Callable[[Any], nn.Module]) -> Iterator[tuple[Any, nn.Module]]:
    """The network for 1 and for 3 channels; a size that it refuses in words is its right."""
    refusals = []
    built = 0
    for shape in SHAPES:
        try:
            network = _seeded(functools.partial(build, shape))
        except ValueError as error:
            refusals.append(str(error))
            continue
        built += 1
        yield shape, network
    _must(built, f"takes neither 28x28 grey nor 32x32 colour: {'; '.join(refusals)}")


# --- Reconstructions.


@_check("reconstruction")
def gives_images_in_range(reconstruction: Reconstruction) -> None:
    logits = 5 * torch.randn(B, 3, 4, 6)
    images = reconstruction.image(logits)
    _expect_shape(images, (B, 3, 4, 6))
    _must(images.min() >= 0 and images.max() <= 1, "images leave [0, 1]")


@_check("reconstruction")
def gives_one_loss_an_image(reconstruction: Reconstruction) -> None:
    torch.manual_seed(0)
    logits, images = torch.randn(B, 3, 4, 6, requires_grad=True), torch.rand(B, 3, 4, 6)
    losses = reconstruction.loss(logits, images)
    _expect_shape(losses, (B,))
    _must(losses.isfinite().all(), "is not finite")
    alone = reconstruction.loss(logits[:1], images[:1])
    _must(torch.allclose(losses[:1], alone, atol=1e-4), "an image's loss depends on the batch")
    losses.sum().backward()
    _must(logits.grad is not None and logits.grad.isfinite().all(), "no gradient reaches logits")


@_check("reconstruction")
def sums_over_pixels(reconstruction: Reconstruction) -> None:
    logits, images = torch.randn(B, 1, 4, 4), torch.rand(B, 1, 4, 4)
    once = reconstruction.loss(logits, images)
    twice = reconstruction.loss(torch.cat([logits] * 2, dim=2), torch.cat([images] * 2, dim=2))
    _must(
        torch.allclose(twice, 2 * once, rtol=1e-3, atol=1e-4),
        "twice the pixels do not give twice the loss: sum over them, do not average",
    )


# --- Terms.


@_check("term")
def gives_a_scalar_that_trains(term: Term) -> None:
    for hidden in (False, True):
        model = _toy_model()
        try:
            function = term.build(model)
        except (RecipeError, ValueError) as error:
            raise NotChecked(f"it asks for another model: {error}") from error
        images = torch.rand(B, *model.image_shape)
        outputs: Outputs = model(images, torch.randn(B, model.latent_dim))
        labels = torch.full((B,), -1) if hidden else torch.arange(B) % 3
        value = function(outputs, labels)
        about = " where every label is hidden" if hidden else ""
        _must(value.ndim == 0, f"shape {list(value.shape)} where a scalar is due{about}")
        _must(value.isfinite(), f"is not finite{about}")
        if not hidden:
            _must(value.requires_grad, "does not depend on the model")
            value.backward()


# --- Data sets.


@_check("dataset")
def gives_labelled_images(dataset: Dataset) -> None:
    data = _load(dataset)
    for part in (data.train_labels, data.test_labels):
        _must((part >= 0).any(), "no image has a label")
    size = dataset.size()
    _must(
        size in (None, len(data.train_images)),
        f"size() says {size} and load gives {len(data.train_images)} training images",
    )


@_check("dataset")
def gives_the_same_twice(dataset: Dataset) -> None:
    one, two = _load(dataset), _load(dataset)
    for name in ("train_images", "train_labels", "test_images", "test_labels", "classes"):
        same = np.array_equal(getattr(one, name), getattr(two, name))
        _must(same, f"{name} differ when loaded again")


_NOT_HERE: dict[str, str] = {}
"""Why the data of a data set cannot be had, so that nobody waits for it twice."""


def _load(dataset: Dataset) -> LabelledImages:
    from dvae_core.data import cache_folder

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
    _must(isinstance(data, LabelledImages), f"load gives {type(data).__name__}")
    return data


# --- Metrics, plots, callbacks: tried on a small run.


@_check("metric")
def gives_finite_numbers(metric: Metric) -> None:
    numbers = metric.measure(_snapshot())
    _must(isinstance(numbers, dict) and numbers, f"gives {numbers!r}, not numbers by name")
    for name, value in numbers.items():
        _must(isinstance(name, str), f"the name {name!r} is no string")
        finite = isinstance(value, int | float) and math.isfinite(value)
        _must(finite, f"{name} is {value!r}, not a finite float")


@_check("metric")
def measures_the_same_twice(metric: Metric) -> None:
    one, two = metric.measure(_snapshot()), metric.measure(_snapshot())
    _must(one == two, f"gives {one} and then {two}; use snapshot.random for random choices")


@_check("metric")
def leaves_the_snapshot_alone(metric: Metric) -> None:
    with _untouched(_snapshot()) as snapshot:
        metric.measure(snapshot)


@_check("plot")
def gives_a_figure(plot: Plot) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), tempfile.TemporaryFile() as file:
        figure = plot.draw(_snapshot())
        _must(isinstance(figure, Figure), f"gives {type(figure).__name__}, not a matplotlib Figure")
        figure.savefig(file, format="png")


@_check("plot")
def leaves_no_global_state(plot: Plot) -> None:
    import matplotlib
    import matplotlib.pyplot as plt

    with matplotlib.rc_context():
        before, open_before = dict(matplotlib.rcParams), plt.get_fignums()
        with _untouched(_snapshot()) as snapshot:
            plot.draw(snapshot)
        left = [n for n in plt.get_fignums() if n not in open_before]
        for number in left:
            plt.close(number)
        changed = [k for k, v in matplotlib.rcParams.items() if before.get(k) != v]
    _must(not left, "leaves a pyplot figure open; make a matplotlib.figure.Figure instead")
    _must(not changed, f"changes matplotlib.rcParams: {', '.join(changed[:3])}")


@_check("callback")
def survives_a_run(callback: Callback) -> None:
    from dvae_core.train import run_recipe

    registry = toy_registry(type(callback))
    table = callback.model_dump(mode="json")
    recipe = toy_recipe(registry, callbacks=[{k: v for k, v in table.items() if v is not None}])
    heard: list[str] = []

    class Listen(Watch):
        def warn(self, text: str) -> None:
            heard.append(text)

    with tempfile.TemporaryDirectory() as folder:
        run = run_recipe(recipe, folder, watch=Listen(), registry=registry)
        _must(len(run.metrics()) == recipe.train.epochs, "the run's record is not complete")
        _must(Path(run.path).exists(), "the run folder is gone")
    _must(not heard, "; ".join(heard))


# --- Tools.


@functools.cache
def _training() -> Any:
    """A toy run after two epochs."""
    from dvae_core.data import load_data
    from dvae_core.train import Training

    recipe = toy_recipe(toy_registry())
    training = Training(recipe, load_data(recipe.dataset))
    for _ in range(recipe.train.epochs):
        for images, labels in training.batches.epoch(training.epoch):
            training.take_step(images, labels)
        training.ledger.read()
        training.finish_epoch()
    training.model.eval()
    return training


def _snapshot() -> Snapshot:
    return _training().snapshot()


def _toy_model() -> GuidedVAE:
    return _training().model


@contextmanager
def _untouched(snapshot: Snapshot) -> Iterator[Snapshot]:
    arrays = {
        name: getattr(snapshot, name).copy()
        for name in ("train_means", "test_means", "test_images", "train_labels", "test_labels")
    }
    before = global_state()
    yield snapshot
    for name, array in arrays.items():
        _must(np.array_equal(getattr(snapshot, name), array), f"changes snapshot.{name}")
    after = global_state()
    same = torch.equal(before["torch"], after["torch"]) and before["numpy"] == after["numpy"]
    _must(same, "draws from a global random generator; use snapshot.random")


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = build()
    _must(isinstance(network, nn.Module), f"build gives {type(network).__name__}, not an nn.Module")
    return network


def _expect_shape(tensor: Tensor, shape: tuple[int, ...]) -> None:
    _must(
        tuple(tensor.shape) == shape,
        f"shape {list(tensor.shape)} where {list(shape)} is due",
    )
    _must(tensor.isfinite().all(), "is not finite")


def _gradients_everywhere(network: nn.Module, inputs: Tensor) -> None:
    outputs = network(inputs)
    (outputs * torch.randn_like(outputs)).sum().backward()
    for name, parameter in network.named_parameters():
        reached = parameter.grad is not None and parameter.grad.abs().sum() > 0
        _must(reached or not parameter.requires_grad, f"no gradient reaches parameter {name}")
