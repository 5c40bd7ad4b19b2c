"""Encoders, decoders and heads."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dvae_core.plugin.kinds import (
    Decoder,
    Encoder,
    Head,
)
from dvae_core.testing.checks.register import CLASSES, B, check, disturbed, expect_shape, must
from dvae_core.testing.outcomes import Failure, NotChecked, Note

SHAPES = ((1, 28, 28), (3, 32, 32))


@check("encoder")
def gives_features(encoder: Encoder) -> None:
    for shape, network in _networks(encoder.build):
        for b in (B, 1):
            features = network(torch.rand(b, *shape))
            must(features.ndim == 2 and features.shape[0] == b,
                  f"shape {list(features.shape)} for {b} images of {list(shape)}, "
                  "where [B, F] is due")  # fmt: skip
            must(features.isfinite().all(), "features are not finite")


@check("encoder")
def leaves_the_images_alone(encoder: Encoder) -> None:
    for shape, network in _networks(encoder.build):
        images = torch.rand(B, *shape)
        before = images.clone()
        network(images)
        must(torch.equal(images, before), "edits the images in place, which are to be decoded too")


@check("encoder")
def trains_all_its_parameters(encoder: Encoder) -> None:
    for shape, network in _networks(encoder.build):
        _gradients_everywhere(network, torch.rand(32, *shape))


@check("decoder")
def gives_images(decoder: Decoder) -> None:
    for latent_dim in (2, 1):
        for shape, network in _decoders(decoder, latent_dim):
            for b in (B, 1):
                inputs = torch.randn(b, latent_dim), *_labels(decoder, b)
                expect_shape(network(*inputs), (b, *shape))


@check("decoder")
def leaves_the_activation_to_the_reconstruction(decoder: Decoder) -> None:
    for _, network in _decoders(decoder, 2):
        images = network(100 * torch.randn(64, 2), *_labels(decoder, 64))
        must(
            images.min() < -1e-6 or images.max() > 1 + 1e-6,
            "gives numbers between 0 and 1 only: a sigmoid or the like stands at its end",
        )


@check("decoder")
def trains_all_parameters(decoder: Decoder) -> None:
    for _, network in _decoders(decoder, 2):
        try:
            _gradients_everywhere(network, torch.randn(32, 2), *_labels(decoder, 32))
        except Failure as failure:
            raise Note(f"{failure} by what it decodes; well if a term trains it") from None


@check("decoder")
def heeds_its_labels(decoder: Decoder) -> None:
    if not decoder.given_labels:
        return
    for _, network in _decoders(decoder, 2):
        disturbed(network).eval()
        z = torch.randn(1, 2).expand(len(CLASSES) + 1, 2)
        labels = torch.arange(-1, len(CLASSES))
        images = network(z, labels)
        must(images.isfinite().all(), "is not finite for every label, -1 among them")
        apart = (images[:, None] - images).flatten(2).abs().amax(dim=2)
        must(
            (apart + torch.eye(len(labels)) > 0).all(),
            "says given_labels, and gives two labels (-1 is one) the same image",
        )
        alone = network(z[:1], labels[:1])
        must(torch.allclose(images[:1], alone, atol=1e-4), "an image depends on the batch's labels")


def _decoders(decoder: Decoder, latent_dim: int) -> Iterator[tuple[Any, nn.Module]]:
    classes: Any = (CLASSES,) if decoder.given_labels else ()
    return _networks(lambda shape: decoder.build(latent_dim, shape, *classes))


def _labels(decoder: Decoder, b: int) -> tuple[Tensor, ...]:
    """Every label in turn, hidden ones too, for a decoder that takes them."""
    return (torch.arange(b) % (len(CLASSES) + 1) - 1,) if decoder.given_labels else ()


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
    must(built, f"takes neither 28x28 grey nor 32x32 colour: {'; '.join(refusals)}")


@check("head")
def gives_a_number_a_class(head: Head) -> None:
    for b, d in ((B, 2), (1, 7)):
        logits = _seeded(functools.partial(head.build, d, CLASSES))(torch.randn(b, d))
        expect_shape(logits, (b, len(CLASSES)))


@check("head")
def gives_logits_not_probabilities(head: Head) -> None:
    outputs = _seeded(lambda: head.build(2, CLASSES))(20 * torch.randn(200, 2))
    sums, log_sums = outputs.sum(dim=1), outputs.logsumexp(dim=1)
    if torch.allclose(sums, torch.ones(200), atol=1e-4) and outputs.min() >= 0:
        raise Failure("gives probabilities: a softmax stands at its end")
    if torch.allclose(log_sums, torch.zeros(200), atol=1e-4):
        raise Failure("gives log-probabilities: a log-softmax stands at its end")
    must(
        outputs.min() < 0 or outputs.max() > 1,
        "gives numbers between 0 and 1 only: a sigmoid or the like stands at its end",
    )


@check("head")
def trains_every_parameter(head: Head) -> None:
    _gradients_everywhere(_seeded(lambda: head.build(2, CLASSES)), torch.randn(64, 2))


@check("head")
def says_how_wrong_each_image_is(head: Head) -> None:
    logits = torch.randn(B, len(CLASSES), requires_grad=True)
    labels = _learnable(head)
    loss = head.loss(logits, labels)
    expect_shape(loss, (B,))
    must(loss.isfinite().all(), "the loss is not finite")
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    must(gradient.isfinite().all() and gradient.any(), "no gradient of the loss reaches the logits")
    alone = head.loss(logits[:1], labels[:1])
    must(
        torch.allclose(loss[:1], alone, atol=1e-4),
        "the loss of an image depends on what else is in the batch",
    )


def _learnable(head: Head) -> Tensor:
    """Labels of every class, or, for a head that refuses them, targets."""
    labels = torch.arange(B) % len(CLASSES)
    targets = torch.eye(len(CLASSES))[labels]
    for each in (labels, targets):
        with contextlib.suppress(ValueError):
            head.check_labels(each.numpy())
            return each
    raise NotChecked("it takes neither classes nor targets of zeros and ones")


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = build()
    must(isinstance(network, nn.Module), f"build gives {type(network).__name__}, not an nn.Module")
    return network


def _gradients_everywhere(network: nn.Module, *inputs: Tensor) -> None:
    outputs = disturbed(network)(*inputs)
    (outputs * torch.randn_like(outputs)).sum().backward()
    for name, parameter in network.named_parameters():
        reached = parameter.grad is not None and parameter.grad.abs().sum() > 0
        must(reached or not parameter.requires_grad, f"no gradient reaches parameter {name}")
