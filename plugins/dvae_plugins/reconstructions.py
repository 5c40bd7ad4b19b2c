"""Reconstructions: the output activation, and how far a decoded image is from the true one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvae_core import Reconstruction, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(Reconstruction):
    """Sigmoid output; squared error summed over the pixels."""

    name = "squared_error"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).square().flatten(1).sum(dim=1)


class Bernoulli(Reconstruction):
    """Sigmoid output; negative log-likelihood of Bernoulli pixels, summed, in nats."""

    name = "bernoulli"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        losses = binary_cross_entropy_with_logits(logits, images, reduction="none")
        return losses.flatten(1).sum(dim=1)


@hookimpl
def register_reconstructions() -> list[type[Reconstruction]]:
    return [SquaredError, Bernoulli]
