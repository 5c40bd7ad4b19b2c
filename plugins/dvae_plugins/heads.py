"""Guidance heads: latent samples to class logits."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt

from dvae_core import Head, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class _Likely(Head, ABC):
    """A head whose loss is a negative log-likelihood of the labels, constants apart."""

    likelihood: Literal["categorical", "bernoulli", "normal"] = "categorical"
    """What labels are: one class, or shares of classes; "bernoulli", several labels of an image,
    each there or not; "normal", any numbers, whose squared distance counts half, as at unit
    variance."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        from torch.nn import functional as F  # noqa: N812

        if self.likelihood == "categorical":
            return super().loss(logits, labels)
        if labels.ndim == 1:
            labels = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        if self.likelihood == "normal":
            return (logits - labels).square().sum(dim=1) / 2
        each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return each.sum(dim=1)

    @property
    def is_cross_entropy(self) -> bool:
        return self.likelihood == "categorical"

    def check_labels(self, labels: np.ndarray) -> None:
        if self.likelihood == "categorical":
            try:
                super().check_labels(labels)
            except ValueError as error:
                raise ValueError(
                    f'{error}; likelihood = "bernoulli" is for several labels an image, "normal" '
                    "for any numbers"
                ) from error
        wrong = labels.ndim == 2 and not 0 <= labels.min() <= labels.max() <= 1
        if self.likelihood == "bernoulli" and wrong:
            raise ValueError(
                'likelihood = "bernoulli" is for targets in [0, 1], and these are '
                f'{labels.min():g}..{labels.max():g}; "normal" is for any numbers'
            )


class MLPHead(_Likely):
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


class LinearHead(_Likely):
    """One linear layer: straight borders between the classes."""

    name = "linear"

    def build(self, latent_dim: int, classes: tuple[str, ...]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot

        return glorot(nn.Sequential(nn.Linear(latent_dim, len(classes))))


@hookimpl
def register_heads() -> list[type[Head]]:
    return [MLPHead, LinearHead]
