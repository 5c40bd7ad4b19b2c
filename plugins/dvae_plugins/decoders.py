"""Decoders: latent points to images, as logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from dvae_core import Decoder, hookimpl

if TYPE_CHECKING:
    from torch import nn

Slope = Annotated[float, Field(ge=0, le=1)]


class ConvDecoder(Decoder):
    """The conv encoder's mirror: a linear layer, three transposed convolutions, an upsampling.

    Nearest-neighbour upsampling doubles the size after the first transposed convolution (computed
    without making the larger image), leaky ReLU follows each of the four layers, an odd side loses
    its last pixels, and a last 1x1 convolution scales the pixels. It starts dark, with negative
    weights and a bias of -2 (12 % of white). Started at grey, with weights of either sign, the
    first steps darken every pixel at once, and in 6 of 16 runs on MNIST the sigmoid saturated and
    never recovered.
    """

    name = "conv"

    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (32, 32, 16)
    """Channels after the linear layer and after the first two transposed convolutions."""
    kernel: int = Field(default=5, ge=1)
    """Side of the transposed convolutions' square kernels."""
    slope: Slope = 0.2
    """Of the leaky ReLU below zero."""

    def build(self, latent_dim: int, image_shape: tuple[int, int, int]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot
        from dvae_plugins.polyphase import ConvTranspose2d, FromPhases, PolyphaseConvTranspose2d

        channels, *sides = image_shape
        grown = self.kernel - 1
        # Backwards from the image: two convolutions, the doubling, one convolution.
        doubled = [side - 2 * grown for side in sides]
        start = [math.ceil(side / 2) - grown for side in doubled]
        if min(start) < 1:
            smallest = 2 * self.kernel + 2 * grown - 1
            raise ValueError(
                f'decoder "conv" with kernel {self.kernel} makes images of at least '
                f"{smallest}x{smallest} pixels, and these are {sides[0]}x{sides[1]}; "
                'use a smaller kernel or decoder "mlp"'
            )
        first, second, third = self.channels
        decoder = glorot(
            nn.Sequential(
                nn.Linear(latent_dim, first * math.prod(start)),
                nn.LeakyReLU(self.slope, inplace=True),
                nn.Unflatten(1, (first, *start)),
                ConvTranspose2d(first, second, self.kernel),
                nn.LeakyReLU(self.slope, inplace=True),
                nn.Identity(),  # here torch's own layers would upsample; the names stay theirs
                PolyphaseConvTranspose2d(second, third, self.kernel, upsample=True),
                nn.LeakyReLU(self.slope, inplace=True),
                PolyphaseConvTranspose2d(third, channels, self.kernel),
                nn.LeakyReLU(self.slope, inplace=True),
                FromPhases(channels, *sides),
            )
        )
        weight, bias = list(decoder.parameters())[-2:]
        weight.data.copy_(-weight.data.abs())
        bias.data.fill_(-2.0)
        return decoder


class MLPDecoder(Decoder):
    """Fully connected layers, leaky ReLU between them, reshaped to the image."""

    name = "mlp"

    hidden: tuple[PositiveInt, ...] = Field(default=(256, 512), min_length=1)
    """Width of each layer before the image."""
    slope: Slope = 0.2
    """Of the leaky ReLU below zero."""

    def build(self, latent_dim: int, image_shape: tuple[int, int, int]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot, perceptron

        layers = perceptron((latent_dim, *self.hidden, math.prod(image_shape)), self.slope)
        return glorot(nn.Sequential(*layers, nn.Unflatten(1, image_shape)))


class ConditionalMLPDecoder(MLPDecoder):
    """The decoder `mlp`, which is also told the class, as learned numbers beside z.

    Kingma et al., "Semi-Supervised Learning with Deep Generative Models" (arXiv:1406.5298), M2. A
    hidden label has numbers of its own, for "unknown", learned from images whose label is hidden,
    and from some others whose label is hidden from the decoder alone.
    """

    name = "conditional_mlp"
    given_labels = True

    width: int = Field(default=16, ge=1)
    """Numbers that say a class."""
    hide: float = Field(default=0.02, ge=0, le=1)
    """The share of the labels that are hidden from it while it trains, by chance. The more are, the
    more of the class z itself must hold, and the less the decoder heeds what it is told."""

    def build(
        self, latent_dim: int, image_shape: tuple[int, int, int], classes: tuple[str, ...] = ()
    ) -> nn.Module:
        from dvae_plugins.learned import Conditional

        network = super().build(latent_dim + self.width, image_shape)
        return Conditional(network, len(classes), self.width, self.hide)


@hookimpl
def register_decoders() -> list[type[Decoder]]:
    return [ConvDecoder, MLPDecoder, ConditionalMLPDecoder]
