"""VQ: z is put together of codes out of a learned book (van den Oord et al., arXiv:1711.00937)."""

from dataclasses import dataclass
from typing import Any

from dvae_core import Posterior, Sample, Term
from pydantic import Field


@dataclass(frozen=True)
class Quantised(Sample):
    apart: Any = None  # [B]: how far what the encoder asked for lies from the codes


class VectorQuantised(Posterior):
    """A point made of codes: every `size` dimensions of z are the nearest entry of the book."""

    name = "vq"
    family = "point"

    codes: int = Field(default=64, ge=2)
    """Entries of the book."""
    size: int = Field(default=1, ge=1)
    """Dimensions of an entry; latent.dim is a multiple of it."""

    def build(self, features, latent_dim):
        import torch
        from torch import nn

        if latent_dim % self.size:
            raise ValueError(f"latent.dim = {latent_dim} is no multiple of size = {self.size}")

        class Book(nn.Module):
            def __init__(self, codes, size):
                super().__init__()
                self.to_mean = nn.Linear(features, latent_dim)
                self.entries = nn.Parameter(torch.randn(codes, size))

            def forward(self, features, noise):
                asked = self.to_mean(features).float()
                parts = asked.detach().unflatten(1, (-1, self.entries.shape[1]))
                nearest = torch.cdist(parts, self.entries.detach()).argmin(dim=2)
                codes = self.entries[nearest].flatten(1)
                z = asked + (codes - asked).detach()  # the codes, with the gradient of `asked`
                apart = (codes - asked.detach()).square() + (asked - codes.detach()).square() / 4
                return Quantised(z, z, torch.zeros_like(z), apart=apart.sum(dim=1))

        return Book(self.codes, self.size)


class Commitment(Term):
    """The squared distance of what is asked for and its codes, which draws each to the other."""

    name = "commitment"

    def build(self, model):
        if not hasattr(model.posterior, "entries"):
            raise ValueError('the term "commitment" needs posterior.name = "vq"')
        return lambda outputs, labels: outputs.sample.apart.mean()
