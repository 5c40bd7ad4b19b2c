"""Priors that have a state. Import it inside `build` only: it needs torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ClassPrior(nn.Module):
    """The KL divergence to N(m_y, 1), and to the even mixture of these without a label.

    Args:
        means: [K, D], a row for each class.
        width: the standard deviation of the means' own prior; they are learned then, and fixed
            without it.
    """

    means: Tensor

    def __init__(self, means: Tensor, width: float | None = None) -> None:
        super().__init__()
        self.width = width
        if width is None:
            self.register_buffer("means", means)
        else:
            self.means = nn.Parameter(means)

    def forward(self, mean: Tensor, log_var: Tensor, labels: Tensor) -> Tensor:
        """The term [B] of means and log-variances [B, D] and labels [B]."""
        spread = 0.5 * (log_var.exp() - 1 - log_var).sum(dim=1)
        distances = 0.5 * (mean[:, None] - self.means).square().sum(dim=2)
        own = distances.gather(1, labels.clamp(min=0)[:, None])[:, 0]
        mixture = math.log(len(self.means)) - torch.logsumexp(-distances, dim=1)
        term = spread + torch.where(labels >= 0, own, mixture)
        if self.training and self.width is not None:
            term = term + self.means.square().sum(dim=1).mean() / (2 * self.width**2)
        return term
