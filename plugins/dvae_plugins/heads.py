"""Guidance heads: latent samples to class logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt

from dvae_core import Head, hookimpl

if TYPE_CHECKING:
    from torch import nn


class MLPHead(Head):
    """A small perceptron with leaky ReLU."""

    name = "mlp"

    hidden: tuple[PositiveInt, ...] = (10, 10)
    """Width of each hidden layer."""
    slope: float = Field(default=0.2, ge=0, le=1)
    """Of the leaky ReLU below zero."""

    def build(self, latent_dim: int, classes: tuple[str, ...]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot, perceptron

        return glorot(
            nn.Sequential(*perceptron((latent_dim, *self.hidden, len(classes)), self.slope))
        )


class LinearHead(Head):
    """One linear layer: straight borders between the classes."""

    name = "linear"

    def build(self, latent_dim: int, classes: tuple[str, ...]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot

        return glorot(nn.Sequential(nn.Linear(latent_dim, len(classes))))


@hookimpl
def register_heads() -> list[type[Head]]:
    return [MLPHead, LinearHead]
