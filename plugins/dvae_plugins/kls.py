"""KL terms: what pulls the approximate posterior towards a prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from dvae_core import KL, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class SquareKL(KL):
    """The KL divergence from N(mean, var) to N(0, 1), in nats.

    -1/2 (1 + log var - mean^2 - var), summed over dimensions; Kingma and Welling
    (arXiv:1312.6114), appendix B.
    """

    name = "square"
    divergence = True

    def build(
        self, latent_dim: int, classes: tuple[str, ...]
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        def kl(mean: Tensor, log_var: Tensor, labels: Tensor) -> Tensor:
            return -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(dim=1)

        return kl


class AbsKL(KL):
    """|mean| in place of mean^2: a pull that does not grow with the distance.

    -1/2 (1 + log var - |mean| - var), summed over dimensions. Not a divergence: it gives no
    bound on the likelihood.
    """

    name = "abs"

    def build(
        self, latent_dim: int, classes: tuple[str, ...]
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        def kl(mean: Tensor, log_var: Tensor, labels: Tensor) -> Tensor:
            return -0.5 * (1 + log_var - mean.abs() - log_var.exp()).sum(dim=1)

        return kl


class LaplaceKL(KL):
    """The KL divergence from N(mean, var) to Laplace(0, 1), in nats: a linear pull, and a bound.

    log 2 + E|z| - 1/2 log(2 pi e var), summed over dimensions, where E|z| is the mean of the
    folded normal distribution, s sqrt(2/pi) exp(-u^2) + mean erf(u) with s^2 = var and
    u = mean / (s sqrt 2); Leone, Nelson and Nottingham, "The Folded Normal Distribution"
    (Technometrics 3, 1961).
    """

    name = "laplace"
    divergence = True

    def build(
        self, latent_dim: int, classes: tuple[str, ...]
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        import torch

        def kl(mean: Tensor, log_var: Tensor, labels: Tensor) -> Tensor:
            # Below exp(-60) the variance adds nothing to E|z|, and dividing by it would overflow.
            std = (0.5 * log_var.clamp(min=-60)).exp()
            u = mean / (std * math.sqrt(2))
            expected = std * math.sqrt(2 / math.pi) * (-u.square()).exp() + mean * torch.erf(u)
            entropy = 0.5 * (math.log(2 * math.pi) + 1 + log_var)
            return (math.log(2) + expected - entropy).sum(dim=1)

        return kl


@hookimpl
def register_kls() -> list[type[KL]]:
    return [SquareKL, AbsKL, LaplaceKL]
