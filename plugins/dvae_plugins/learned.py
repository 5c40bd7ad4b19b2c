"""What decoders and reconstructions learn beside layers. Import it inside `build` only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from dvae_plugins.reconstructions import Gaussian


class Conditional(nn.Module):
    """A decoder of z and what says the class, side by side; the last row says "unknown"."""

    def __init__(self, network: nn.Module, classes: int, width: int, hide: float) -> None:
        super().__init__()
        self.network = network
        self.places = nn.Embedding(classes + 1, width)
        self.hide = hide

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Logits of latent points [B, D] and labels [B]."""
        if self.training:
            hidden = torch.rand(labels.shape, device=labels.device) < self.hide
            labels = labels.masked_fill(hidden, -1)
        last = self.places.num_embeddings - 1
        return self.network(torch.cat([z, self.places(labels.where(labels >= 0, last))], dim=1))


class LearnedNoise(nn.Module):
    """A Gaussian reconstruction whose one standard deviation is learned, above a least one."""

    def __init__(self, likeness: Gaussian, std: float, least: float) -> None:
        super().__init__()
        self.likeness = likeness
        self.floor = math.log(least)
        # The inverse of the softplus below.
        above = max(math.log(std) - self.floor, 0.01)
        self.raw = nn.Parameter(torch.tensor(self.floor + math.log(math.expm1(above))))

    @property
    def log_std(self) -> Tensor:
        """The logarithm of the standard deviation."""
        return self.floor + softplus(self.raw - self.floor)

    def image(self, logits: Tensor) -> Tensor:
        return self.likeness.image(logits)

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        return self.likeness.loss_at(self.log_std, logits, images)
