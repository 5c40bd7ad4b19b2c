"""Reconstructions: the output activation, and how far a decoded image is from the true one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dvae_core import Reconstruction, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(Reconstruction):
    """Sigmoid output; squared error summed over the pixels.

    At weight 1 it is, but for a constant, the negative log-likelihood in nats of pixels with
    Gaussian noise of variance 1/2. Papers that halve it mean variance 1: SE/2 + beta KL is half of
    SE + 2 beta KL, so that a KL weight w here is a beta of w / 2 there. Read the other way, a
    weight w is w times the plain ELBO (beta = 1) with noise of variance w / 2.
    """

    name = "squared_error"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).square().flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return -0.5 * pixels * math.log(math.pi)


class Bernoulli(Reconstruction):
    """Sigmoid output; negative log-likelihood of Bernoulli pixels, summed, in nats.

    For a grey pixel it is the mean over black and white drawn with the grey as probability of
    white: bounds are then about images made binary by chance, not about densities of grey ones.
    """

    name = "bernoulli"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        losses = binary_cross_entropy_with_logits(logits, images, reduction="none")
        return losses.flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return 0.0


class Gaussian(Reconstruction):
    """Sigmoid output; negative log-likelihood of pixels with normal noise, in nats.

    With a fixed standard deviation of sqrt(1/2) it is, but for a constant, `squared_error`. A
    learned one weighs reconstruction against KL by itself: Rybkin et al., "Simple and Effective VAE
    Training with Calibrated Decoders" (arXiv:2006.13202).
    """

    name = "gaussian"

    noise: Literal["fixed", "learned", "pixel"] = "learned"
    """One standard deviation for all pixels of all images, as it stands in `std` or learned; or one
    for each pixel, which the decoder gives."""
    std: float = Field(default=0.1, gt=0)
    """The standard deviation; where learned, at the start. Of 1, which is white."""
    least: float = Field(default=0.01, gt=0)
    """None that is learned goes below this: pixels that never change would have none."""

    def channels(self, image_shape: tuple[int, int, int]) -> int:
        return (2 if self.noise == "pixel" else 1) * image_shape[0]

    def build(self, image_shape: tuple[int, int, int]) -> Any:
        if self.noise != "learned":
            return self
        from dvae_plugins.learned import LearnedNoise

        return LearnedNoise(self, self.std, self.least)

    def image(self, logits: Tensor) -> Tensor:
        return (logits.chunk(2, dim=1)[0] if self.noise == "pixel" else logits).sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        from torch.nn.functional import softplus

        log_std: Tensor | float = math.log(self.std)
        if self.noise == "pixel":
            floor = math.log(self.least)
            log_std = floor + softplus(logits.chunk(2, dim=1)[1] - floor)
        return self.loss_at(log_std, logits, images)

    def loss_at(self, log_std: Tensor | float, logits: Tensor, images: Tensor) -> Tensor:
        """The loss [B] with this logarithm of the standard deviation, one or [B, C, H, W]."""
        # A number stays one: as a tensor on a GPU the host would wait for it at every step.
        precise = math.exp(-log_std) if isinstance(log_std, float) else (-log_std).exp()
        apart = (self.image(logits) - images) * precise
        return (0.5 * apart.square() + log_std).flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return -0.5 * pixels * math.log(2 * math.pi)


class ContinuousBernoulli(Reconstruction):
    """The density on [0, 1] that is proportional to exp(logit x); its mean is the image. In nats.

    `bernoulli` with the constant that makes it a density of grey pixels; Loaiza-Ganem and
    Cunningham, "The continuous Bernoulli" (arXiv:1907.06845).
    """

    name = "continuous_bernoulli"

    def image(self, logits: Tensor) -> Tensor:
        from torch import where

        # 1/2 + 1/2 coth(l/2) - 1/l, which near 0 is 1/2 + l/12.
        small = logits.abs() < 0.1
        safe = where(small, 1.0, logits)
        far = 0.5 + 0.5 / (0.5 * safe).tanh() - 1 / safe
        return where(small, 0.5 + logits / 12 - logits**3 / 720, far)

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        from torch import where

        # log of the integral of exp(l x), which is l/2 + log(sinh(h) / h) with h = |l| / 2.
        half = 0.5 * logits.abs()
        small = half < 0.1
        safe = where(small, 1.0, half)
        far = safe + (-(-2 * safe).expm1() / (2 * safe)).log()
        spread = where(small, half.square() / 6 - half**4 / 180, far)
        return (0.5 * logits + spread - logits * images).flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return 0.0


class Poisson(Reconstruction):
    """Counts with the Poisson distribution; negative log-likelihood, in nats.

    A pixel x in [0, 1] is the count `scale` x, rounded, and its rate is `scale` softplus(logit): it
    has no upper bound, and one bad step does not throw it far. The bound is on the probability of
    the counts.
    """

    name = "poisson"

    scale: float = Field(default=255.0, gt=0)
    """The count of a pixel of 1; 255 where images hold the counts themselves, as uint8."""

    def image(self, logits: Tensor) -> Tensor:
        from torch.nn.functional import softplus

        return softplus(logits).clamp(max=1)

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        from torch import where
        from torch.nn.functional import softplus

        counts = (images * self.scale).round()
        rates = softplus(logits)
        # Far below 0 softplus is exp, and runs out of numbers.
        log_rates = where(logits < -15, logits, softplus(logits.clamp(min=-15)).log())
        log_rates = log_rates + math.log(self.scale)
        losses = self.scale * rates - counts * log_rates + (counts + 1).lgamma()
        return losses.flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return 0.0


@hookimpl
def register_reconstructions() -> list[type[Reconstruction]]:
    return [SquaredError, Bernoulli, Gaussian, ContinuousBernoulli, Poisson]
