"""What posteriors build. Import it inside `build` only: it needs torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dvae_core import IndependentNormal, Sample
from dvae_plugins.networks import glorot


class Correlated(nn.Module):
    """Normal with the covariance L L^T; the diagonal of L is exp(log_var / 2) of `base`."""

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.base = IndependentNormal(features, latent_dim)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        self.to_below = nn.Linear(features, len(rows)) if len(rows) else None
        for parameter in self.to_below.parameters() if self.to_below else ():
            nn.init.zeros_(parameter)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    rows: Tensor
    columns: Tensor

    def forward(self, features: Tensor, noise: Tensor) -> Sample:
        """A sample from features [B, F] and standard normal noise [B, D]."""
        base = self.base(features, noise)
        log_diagonal = 0.5 * base.log_var
        lower = torch.diag_embed(log_diagonal.exp())
        if self.to_below is not None:
            lower[:, self.rows, self.columns] = self.to_below(features).float()
        # The networks may be in bfloat16, and this must not.
        with torch.autocast(noise.device.type, enabled=False):
            z = base.mean + (lower @ noise[:, :, None])[:, :, 0]
        log_var = lower.square().sum(dim=2).log()
        log_determinant = log_diagonal.sum(dim=1)
        log_q = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(dim=1) - log_determinant
        correlation = 0.5 * log_var.sum(dim=1) - log_determinant
        return Sample(z, base.mean, log_var, log_q, correlation)


class Point(nn.Module):
    """The mean itself."""

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.to_mean = glorot(nn.Sequential(nn.Linear(features, latent_dim)))

    def forward(self, features: Tensor, noise: Tensor) -> Sample:
        """The point of features [B, F]; the noise is taken no notice of."""
        mean = self.to_mean(features).float()
        return Sample(mean, mean, torch.zeros_like(mean))
