"""What decoders and reconstructions learn beside layers. Import it inside `build` only."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


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
        told = self.places(labels.where(labels >= 0, last))
        logits: Tensor = self.network(torch.cat([z, told], dim=1))
        return logits


class LearnedNoise(nn.Module):
    """A Gaussian reconstruction whose one standard deviation is learned, above a least one."""

    def __init__(self, likeness: Any, std: float, least: float) -> None:
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
        image: Tensor = self.likeness.image(logits)
        return image

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        loss: Tensor = self.likeness.loss_at(self.log_std, logits, images)
        return loss
