"""Reconstructions, KLs, terms, and the schedules of their weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from dvae_core.errors import RecipeError
from dvae_core.plugin.given import Outputs, Sample
from dvae_core.plugin.kinds import (
    KL,
    Reconstruction,
    Schedule,
    Term,
)
from dvae_core.randomness import set_aside
from dvae_core.runs.checkpoints import packed, unpacked
from dvae_core.testing.checks.register import CLASSES, B, check, expect_shape, must
from dvae_core.testing.outcomes import Failure, NotChecked
from dvae_core.testing.toys import toy_recipe, toy_registry, toy_training


@check("reconstruction")
def gives_images_in_range(reconstruction: Reconstruction) -> None:
    shape = (3, 4, 6)
    built = reconstruction.build(shape)
    images = built.image(5 * torch.randn(B, reconstruction.channels(shape), 4, 6))
    expect_shape(images, (B, *shape))
    must(images.min() >= 0 and images.max() <= 1, "images leave [0, 1]")


@check("reconstruction")
def gives_one_loss_an_image(reconstruction: Reconstruction) -> None:
    torch.manual_seed(0)
    shape = (3, 4, 6)
    built = reconstruction.build(shape)
    logits = torch.randn(B, reconstruction.channels(shape), 4, 6, requires_grad=True)
    images = torch.rand(B, *shape)
    losses = built.loss(logits, images)
    expect_shape(losses, (B,))
    must(losses.isfinite().all(), "is not finite")
    alone = built.loss(logits[:1], images[:1])
    must(torch.allclose(losses[:1], alone, atol=1e-4), "an image's loss depends on the batch")
    losses.sum().backward()
    must(logits.grad is not None and logits.grad.isfinite().all(), "no gradient reaches logits")


@check("reconstruction")
def sums_over_pixels(reconstruction: Reconstruction) -> None:
    shapes = (1, 4, 4), (1, 8, 4)
    logits = torch.randn(B, reconstruction.channels(shapes[0]), 4, 4)
    images = torch.rand(B, *shapes[0])
    of_half, of_both = (reconstruction.build(shape) for shape in shapes)
    once = of_half.loss(logits, images)
    twice = of_both.loss(torch.cat([logits] * 2, dim=2), torch.cat([images] * 2, dim=2))
    must(
        torch.allclose(twice, 2 * once, rtol=1e-3, atol=1e-4),
        "twice the pixels do not give twice the loss: sum over them, do not average",
    )


@check("reconstruction")
def weighs_no_more_than_one(reconstruction: Reconstruction) -> None:
    constant, shape = reconstruction.log_constant(1), (1, 1, 1)
    if constant is None:
        return
    built = reconstruction.build(shape)
    images = torch.linspace(0, 1, 4001)[:, None, None, None]
    for logit in (-4.0, 0.0, 1.5):
        logits = torch.full((len(images), reconstruction.channels(shape), 1, 1), logit)
        with torch.no_grad():
            mass = (constant - built.loss(logits, images)).exp().mean().item()
        must(
            mass < 1.02,
            f"claims to be a log-likelihood, and the pixels from 0 to 1 weigh {mass:.3g}: its "
            "bounds would be too high",
        )


@check("reconstruction")
def trains_what_it_builds(reconstruction: Reconstruction) -> None:
    shape = (1, 4, 4)
    built = reconstruction.build(shape)
    trained = dict(built.named_parameters()) if isinstance(built, nn.Module) else {}
    if not trained:
        return
    logits = torch.randn(B, reconstruction.channels(shape), 4, 4, requires_grad=True)
    built.loss(logits, torch.rand(B, *shape)).sum().backward()
    for name, parameter in trained.items():
        reached = parameter.grad is not None and parameter.grad.abs().sum() > 0
        must(reached or not parameter.requires_grad, f"no gradient reaches parameter {name}")


@check("kl")
def gives_one_number_an_image(kl: KL) -> None:
    for b, d in ((B, 2), (1, 1), (B, 8)):
        try:
            values = _kl(kl, b, max(d, _dim(kl)) if d > 1 else d)[0]
        except ValueError:
            if d > 1:
                raise
            continue  # it says that it does not fit so small a latent space
        must(tuple(values.shape) == (b,), f"shape {list(values.shape)} where [{b}] is due")
        must(values.isfinite().all(), "is not finite for ordinary means and variances")


@check("kl")
def treats_each_image_by_itself(kl: KL) -> None:
    torch.manual_seed(0)
    d = _dim(kl)
    function = kl.build(d, CLASSES)
    given = mean, log_var, labels = torch.randn(B, d), torch.randn(B, d), torch.arange(B) % 4
    whole = _term(kl, function, *given)
    if torch.equal(whole, _term(kl, function, *given)):
        alone = torch.cat([_term(kl, function, *(x[i : i + 1] for x in given)) for i in range(B)])
    else:  # it draws numbers: the same ones, if as many of them and from the same seed
        others = 3 - mean, 1 - log_var, labels.roll(1)
        one = torch.arange(B) == 0
        rows = one[:, None], one[:, None], one
        mixed = [torch.where(*which) for which in zip(rows, given, others, strict=True)]
        whole, alone = (_seeded_term(kl, function, *inputs)[:1] for inputs in (given, mixed))
    must(torch.allclose(whole, alone, atol=1e-5), "an image's term depends on the batch around it")


@check("kl")
def is_differentiable(kl: KL) -> None:
    values, mean, log_var = _kl(kl, B, _dim(kl))
    must(values.requires_grad, "does not depend on mean and log_var")
    values.sum().backward()
    for name, tensor in (("mean", mean), ("log_var", log_var)):
        must(tensor.grad is not None, f"no gradient reaches {name}")
        must(tensor.grad.isfinite().all(), f"the gradient of {name} is not finite")  # type: ignore[union-attr]


@check("kl")
def is_not_negative_if_a_divergence(kl: KL) -> None:
    if not kl.divergence:
        return
    torch.manual_seed(0)
    d = _dim(kl)
    function = kl.build(d, CLASSES)
    mean, log_var = 3 * torch.randn(2000, d), 2 * torch.randn(2000, d)
    labels = torch.arange(2000) % 4
    if kl.given_outputs:  # it may look at one sample, and then only its mean has a sign
        mean, log_var = (x[:1].expand(20_000, d) for x in (mean, log_var))
        noise, labels = torch.randn(20_000, d), labels[:1].expand(20_000)
        lowest = _term(kl, function, mean, log_var, labels, noise).mean().item()
        must(lowest >= -0.05, f"claims to be a divergence and is {lowest:g} on the whole somewhere")
        return
    lowest = function(mean, log_var, labels).min().item()
    must(lowest >= -1e-4, f"claims to be a divergence and is {lowest:g} somewhere")


@check("kl")
def has_a_prior_if_a_divergence(kl: KL) -> None:
    if not kl.divergence:
        return
    if _dim(kl) > 2:
        raise NotChecked("it fits no plane, over which its prior could be summed")
    torch.manual_seed(0)
    function: Any = kl.build(2, CLASSES)
    if isinstance(function, nn.Module):
        function.eval()
    # The divergence from a next to certain z says log p(z), and p must not weigh more than 1.
    step, log_var = 0.1, -20.0
    z = torch.cartesian_prod(*[torch.arange(-20, 20, step)] * 2)
    hidden = torch.full((len(z),), -1)
    with torch.no_grad():
        if kl.given_outputs:
            must(hasattr(function, "log_prior"), "is given the outputs, and has no log_prior(z)")
            log_prior = function.log_prior(z)
            must(tuple(log_prior.shape) == (len(z),), "log_prior does not give [B]")
        else:
            term = function(z, torch.full_like(z, log_var), hidden)
            log_prior = -term - (math.log(2 * math.pi) + 1 + log_var)
    mass = log_prior.exp().sum().item() * step**2
    must(mass < 1.05, f"claims to be a divergence to a prior that weighs {mass:.3g} and not 1")


@check("kl")
def takes_hidden_labels(kl: KL) -> None:
    d = _dim(kl)
    function = kl.build(d, CLASSES)
    values = _term(kl, function, torch.randn(B, d), torch.randn(B, d), torch.full((B,), -1))
    must(values.isfinite().all(), "is not finite where the label is -1")


def _dim(kl: KL) -> int:
    """The dimensions to try a KL with: two, or more if it says that it needs more."""
    for d in (2, 3, 4, 8, 16, 64):
        try:
            kl.build(d, CLASSES)
        except ValueError as error:
            refusal = error
        else:
            return d
    raise NotChecked(f"it asks for other classes or dimensions: {refusal}")


def _kl(kl: KL, b: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    mean = torch.randn(b, d, requires_grad=True)
    log_var = torch.randn(b, d, requires_grad=True)
    labels = torch.arange(b) % len(CLASSES)
    return _term(kl, kl.build(d, CLASSES), mean, log_var, labels), mean, log_var


def _seeded_term(kl: KL, function: Any, *given: Tensor) -> Tensor:
    torch.manual_seed(1)
    return _term(kl, function, *given)


def _term(
    kl: KL, function: Any, mean: Tensor, log_var: Tensor, labels: Tensor, noise: Any = None
) -> Tensor:
    """What the KL's function says of a posterior with independent dimensions."""
    if not kl.given_outputs:
        return function(mean, log_var, labels)
    noise = torch.ones_like(mean) if noise is None else noise
    z = mean + noise * (0.5 * log_var).exp()
    images = torch.zeros(len(z), 1, 1, 1)
    sample = Sample(z, mean, log_var, noise=noise)
    return function(mean, log_var, labels, Outputs(images, mean, log_var, z, images, None, sample))


@check("term")
def gives_a_scalar_that_trains(term: Term) -> None:
    for hidden in (False, True):
        model = toy_training().model
        try:
            function = term.build(model)
        except (RecipeError, ValueError) as error:
            raise NotChecked(f"it asks for another model: {error}") from error
        images = torch.rand(B, *model.image_shape)
        outputs: Outputs = model(images, torch.randn(B, model.latent_dim))
        labels = torch.full((B,), -1) if hidden else torch.arange(B) % 3
        tensors = {k: v for k, v in vars(outputs).items() if isinstance(v, Tensor)}
        before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        value = function(outputs, labels)
        for name, tensor in tensors.items():
            same = torch.equal(tensor.detach(), before[name])
            must(same, f"edits outputs.{name} in place, which other terms look at too")
        about = " where every label is hidden" if hidden else ""
        must(value.ndim == 0, f"shape {list(value.shape)} where a scalar is due{about}")
        must(value.isfinite(), f"is not finite{about}")
        if not hidden:
            must(value.requires_grad, "does not depend on the model")
            value.backward()


@check("term")
def goes_on_where_it_stopped(term: Term) -> None:
    from dvae_core.model.data import load_data
    from dvae_core.training.state import Training

    table = {k: v for k, v in term.model_dump(mode="json").items() if v is not None}
    recipe = toy_recipe(toy_registry(type(term)), terms=[table], pairs=[[0, 1]])
    data = load_data(recipe.dataset)
    try:
        whole, again = Training(recipe, data), Training(recipe, data)
    except (RecipeError, ValueError) as error:
        raise NotChecked(f"it asks for another model: {error}") from error
    *before, last = whole.batches.epoch(0)
    with set_aside(0, "term"):
        for batch in before:
            whole.take_step(*batch)
        kept = unpacked(packed(whole.state_dict()))
        whole.take_step(*last)
    with set_aside(1, "term"):
        again.load_state_dict(kept)
        again.take_step(*last)
    both = zip(whole.parameters, again.parameters, strict=True)
    must(
        all(torch.equal(one, other) for one, other in both),
        "a run that is resumed becomes another one: what the term knows, an optimizer of its own "
        "too, belongs into its parameters, buffers or get_extra_state",
    )


_SPANS = {"step": 10_000.0, "epoch": 20.0, "run": 1.0}


@check("schedule")
def is_finite_on_the_whole_run(schedule: Schedule) -> None:
    for t in _times(schedule):
        try:
            value = schedule.value(t)
        except Exception as error:
            raise Failure(f"raises at t = {t:g}: {type(error).__name__}: {error}") from error
        must(isinstance(value, int | float), f"gives a {type(value).__name__} at t = {t:g}")
        must(math.isfinite(value), f"is {value} at t = {t:g}")


@check("schedule")
def is_deterministic(schedule: Schedule) -> None:
    forwards = [schedule.value(t) for t in _times(schedule)]
    backwards = [schedule.value(t) for t in reversed(_times(schedule))][::-1]
    for t, a, b in zip(_times(schedule), forwards, backwards, strict=True):
        must(a == b, f"gives {a:g} and then {b:g} at t = {t:g}")


@check("schedule")
def keeps_its_word_about_settling(schedule: Schedule) -> None:
    settles = schedule.settles_at()
    if settles is None:
        return
    must(settles >= 0, f"settles at {settles:g}")
    if not math.isfinite(settles):
        return
    before = [schedule.value(t * settles / 50) for t in range(51)]
    after = [schedule.value(settles + t * max(settles, 1.0) / 10) for t in range(1, 101)]
    spread = max(before + after) - min(before + after)
    drift = max(after) - min(after)
    must(
        drift <= 0.02 * spread + 1e-9,
        f"says that it settles at {settles:g} and changes by {drift:g} after that",
    )


def _times(schedule: Schedule) -> list[float]:
    span = _SPANS[schedule.unit]
    return [0.0, *(span * i / 997 for i in range(1, 998))]
