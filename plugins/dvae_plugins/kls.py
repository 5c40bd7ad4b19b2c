"""KL terms: what pulls the approximate posterior towards a prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from dvae_core import KL, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


GRID = 3.0
"""Between neighbours in a grid that says nothing else."""


class SquareKL(KL):
    """The KL divergence from N(mean, var) to N(0, 1), in nats.

    -1/2 (1 + log var - mean^2 - var), summed over dimensions; Kingma and Welling
    (arXiv:1312.6114), appendix B.
    """

    name = "square"
    divergence = True
    independent = True

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
    independent = True

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
    independent = True

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


class ClassPriorKL(KL):
    """The KL divergence from N(mean, var) to N(m_y, 1): a prior with one mean for each class.

    1/2 (var + (mean - m_y)^2 - 1 - log var), summed over dimensions, in nats. It is the true
    divergence to the prior of the image's class: with the reconstruction it bounds
    log p(image | label), not log p(image). The two cannot be compared.

    An image whose label is hidden has the even mixture of these as its prior, as in VaDE
    (arXiv:1611.05148): its term is the divergence from q(z) q(c) to p(z, c) with the best q(c),
    which is -log(1/K sum_c exp(-KL_c)) for K classes. It is no less than the divergence to the
    mixture, so that the bound, on log p(image) here, holds.

    Learned means start as draws from N(0, 1) and have a prior N(0, width^2) of their own. While
    training, each image adds the mean over classes of |m_c|^2 / (2 width^2), so that the loss
    holds it once whatever the batch. Over N images this is the prior of a standard deviation
    width sqrt(K / N). Evaluation leaves it out.
    """

    name = "class_prior"
    divergence = True
    independent = True
    given_label = True

    means: Literal["learned", "ring", "grid", "given", "planned"] = "learned"
    """Where the means come from. A ring or a grid lies in the first two dimensions; "planned" ones
    lie as the recipe's `pairs` ask, side by side with no third class between, and beside that what
    the data has close together lies close together."""
    width: float = Field(default=10.0, gt=0)
    """The standard deviation of the prior of learned means."""
    radius: float = Field(default=4.0, gt=0)
    """Of the ring: in the order of the labels, counter-clockwise from (radius, 0)."""
    spacing: float | None = Field(default=None, gt=0)
    """Between neighbours: in the grid (in the order of the labels, line by line from the top), 3 if
    left out, and in the plan, which by itself is as tight as the pairs allow."""
    allow_crowded: bool = False
    """Go on with a plan in which some pair has a third class between."""
    coordinates: tuple[tuple[float, ...], ...] = ()
    """The means, where they are "given": one row for each class, in the order of the labels."""

    @model_validator(mode="after")
    def _given(self) -> ClassPriorKL:
        if self.means == "given" and not self.coordinates:
            raise ValueError('means = "given" needs coordinates = [[x, y], ...], one row a class')
        if self.means != "given" and self.coordinates:
            raise ValueError(f'coordinates need means = "given", not "{self.means}"')
        return self

    def build(
        self,
        latent_dim: int,
        classes: tuple[str, ...],
        pairs: tuple[tuple[int, int], ...] = (),
        images: np.ndarray | None = None,
        labels: np.ndarray | None = None,
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """As for every KL.

        Raises:
            ValueError: the coordinates do not fit the classes or the latent space, a ring has no
                plane to lie in, or the pairs cannot be had together.
        """
        import torch

        from dvae_plugins.priors import ClassPrior

        if self.means == "learned":
            return ClassPrior(torch.randn(len(classes), latent_dim), self.width)
        if self.means == "planned":
            if images is None or labels is None:  # what is loaded has its means
                return ClassPrior(torch.zeros(len(classes), latent_dim))
            from dvae_plugins.affinity import affinity
            from dvae_plugins.layout import plan, refuse_crowds, roomy

            close = torch.tensor(affinity(images, labels, len(classes)), dtype=torch.float32)
            if self.spacing:
                layout = plan(len(classes), latent_dim, pairs, self.spacing, close)
            else:
                layout = roomy(len(classes), latent_dim, pairs, close)
            if not self.allow_crowded:
                refuse_crowds(layout, pairs, classes)
            return ClassPrior(layout.means)
        return ClassPrior(torch.tensor(self._layout(latent_dim, len(classes))))

    def _layout(self, latent_dim: int, classes: int) -> list[list[float]]:
        """The means, a row for each class."""
        if self.means == "given":
            self._check(latent_dim, classes)
            return [list(row) for row in self.coordinates]
        if self.means == "ring":
            if latent_dim < 2:
                raise ValueError('means = "ring" needs latent.dim = 2 or more; try "grid"')
            plane = _ring(classes, self.radius)
        else:
            columns = math.ceil(math.sqrt(classes)) if latent_dim > 1 else classes
            plane = _grid(classes, columns, self.spacing or GRID)
        return [[*row, *[0.0] * latent_dim][:latent_dim] for row in plane]

    def _check(self, latent_dim: int, classes: int) -> None:
        rows = len(self.coordinates)
        if rows != classes:
            raise ValueError(
                f"coordinates: {rows} rows for {classes} classes; give one row for each class"
            )
        for index, row in enumerate(self.coordinates):
            if len(row) != latent_dim:
                raise ValueError(
                    f"coordinates: row {index} has {len(row)} numbers, and latent.dim is "
                    f"{latent_dim}; give one number for each dimension"
                )


def _ring(n: int, radius: float) -> list[tuple[float, float]]:
    angles = [2 * math.pi * i / n for i in range(n)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _grid(n: int, columns: int, spacing: float) -> list[tuple[float, float]]:
    """Points of a square grid around the origin of their box."""
    rows = math.ceil(n / columns)
    return [
        (
            spacing * (i % columns - (columns - 1) / 2),
            spacing * ((rows - 1) / 2 - i // columns),
        )
        for i in range(n)
    ]


@hookimpl
def register_kls() -> list[type[KL]]:
    return [SquareKL, AbsKL, LaplaceKL, ClassPriorKL]
