"""What the terms of the loss weigh against each other, and whether they bound the likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dvae_core.plugin.kinds import Schedule
from dvae_core.recipe.recipe import Recipe
from dvae_core.recipe.timeline import Timeline, Weight

Span = tuple[float, float]
"""A number at the first and at the last step of a run."""


@dataclass(frozen=True)
class Share:
    """How a term enters the loss."""

    term: str
    component: str
    reduction: str
    """What it sums and averages over."""
    unit: str
    """nats, or the term's own."""
    weight: Span | None
    """None while it depends on how many images there are."""


@dataclass(frozen=True)
class Balance:
    """The loss of a run: the sum of its terms, each with its weight."""

    terms: tuple[Share, ...]
    beta: Span | None
    """The weight of the KL over that of the reconstruction. Both are sums over an image, so that
    this is the beta of Higgins et al., "beta-VAE" (ICLR 2017). None for a reconstruction that
    weighs nothing, or while a weight is unknown."""
    beta_norm: Span | None
    """beta D / (C H W), their beta_norm: the same balance between means over dimensions and over
    pixels."""
    no_bound: str | None
    """Why there is no bound on the likelihood, or None."""
    bound_on: str | None
    """What minus reconstruction and KL, each at weight 1, bound from below but for a constant."""


def balance(recipe: Recipe, train_images: int | None, image_shape: Sequence[int] | None) -> Balance:
    """The balance of a recipe's loss over a run.

    Args:
        train_images: how many there are, where that is known.
        image_shape: (C, H, W), where that is known.
    """
    timeline = None if train_images is None else recipe.timeline(train_images)
    spans = {name: _span(weight, timeline) for name, weight in recipe.weights.items()}
    reconstruction, kl = recipe.reconstruction.component, recipe.kl.component
    shape = "" if image_shape is None else " x ".join(map(str, image_shape)) + " "
    dim = recipe.latent.dim
    terms = {
        "reconstruction": (
            reconstruction.name,
            f"sum over {shape}pixels, mean over images",
            "its own" if reconstruction.log_constant(1) is None else "nats",
        ),
        "kl": (
            kl.name,
            f"sum over {dim} dimension{'s' if dim > 1 else ''}, mean over images",
            "nats" if kl.divergence else "its own",
        ),
    }
    if recipe.guidance:
        head = recipe.guidance.component
        usual = head.is_cross_entropy
        loss, unit = ("cross-entropy", "nats") if usual else ("the head's own loss", "its own")
        terms["guidance"] = (head.name, f"{loss}, mean over labelled images", unit)
    for term in recipe.terms:
        terms[term.component.name] = (term.component.name, "its own", "its own")
    beta = _over(spans["kl"], spans["reconstruction"])
    pixels = None if image_shape is None else math.prod(image_shape)
    return Balance(
        tuple(Share(term, *told, spans[term]) for term, told in terms.items()),
        beta,
        (beta[0] * dim / pixels, beta[1] * dim / pixels) if beta and pixels else None,
        recipe.no_bound,
        recipe.bound_on,
    )


def _span(weight: Weight, timeline: Timeline | None) -> Span | None:
    if not isinstance(weight, Schedule):
        return weight, weight
    if timeline is None:
        return None
    return timeline.value(weight, 0), timeline.value(weight, timeline.total - 1)


def _over(one: Span | None, other: Span | None) -> Span | None:
    if one is None or other is None or 0 in other:
        return None
    return one[0] / other[0], one[1] / other[1]
