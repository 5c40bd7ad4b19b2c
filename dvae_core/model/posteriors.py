"""The posterior of a recipe that names none; others are built on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dvae_core.plugin.given import Sample


class IndependentNormal(nn.Module):
    """Normal with independent dimensions: linear maps of the features to mean and log_var.

    Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114), section 3. Glorot
    uniform weights and zero biases.

    Args:
        features: F
        latent_dim: D
    """

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.to_mean = nn.Linear(features, latent_dim)
        self.to_log_var = nn.Linear(features, latent_dim)
        for linear in (self.to_mean, self.to_log_var):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor, noise: Tensor) -> Sample:
        """A sample from features [B, F] and standard normal noise [B, D]."""
        mean, log_var = self.to_mean(features).float(), self.to_log_var(features).float()
        return Sample(mean + noise * torch.exp(0.5 * log_var), mean, log_var, noise=noise)
