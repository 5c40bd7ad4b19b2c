"""Reconstructions: the output activation, and how far a decoded image is from the true one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dvae_core import Reconstruction, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(Reconstruction):
    """Sigmoid output; squared error summed over the pixels.

    At weight 1 it is, but for a constant, the negative log-likelihood in nats of pixels with
    Gaussian noise of variance 1/2. Papers that halve it mean variance 1: SE/2 + beta KL is half of
    SE + 2 beta KL, so that a KL weight w here is a beta of w / 2 there. Read the other way, a
    weight w is w times the plain ELBO (beta = 1) with noise of variance w / 2.
    """

    name = "squared_error"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).square().flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return -0.5 * pixels * math.log(math.pi)


class Bernoulli(Reconstruction):
    """Sigmoid output; negative log-likelihood of Bernoulli pixels, summed, in nats.

    For a grey pixel it is the mean over black and white drawn with the grey as probability of
    white: bounds are then about images made binary by chance, not about densities of grey ones.
    """

    name = "bernoulli"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        losses = binary_cross_entropy_with_logits(logits, images, reduction="none")
        return losses.flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return 0.0


@hookimpl
def register_reconstructions() -> list[type[Reconstruction]]:
    return [SquaredError, Bernoulli]
