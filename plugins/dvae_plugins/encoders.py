"""Encoders: images to features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from dvae_core import Encoder, hookimpl

if TYPE_CHECKING:
    from torch import nn

Slope = Annotated[float, Field(ge=0, le=1)]


class ConvEncoder(Encoder):
    """Three convolutions with a max-pool between the second and the third.

    Valid padding, leaky ReLU after each convolution. With the defaults a 28x28 image gives
    1,152 features.
    """

    name = "conv"

    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (32, 32, 32)
    """Output channels of each convolution."""
    kernel: int = Field(default=5, ge=1)
    """Side of the convolutions' square kernels."""
    slope: Slope = 0.2
    """Of the leaky ReLU below zero."""

    def build(self, image_shape: tuple[int, int, int]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot

        channels, *sides = image_shape
        smallest = 2 * self.kernel + 2 * (self.kernel - 1)
        if min(sides) < smallest:
            raise ValueError(
                f'encoder "conv" with kernel {self.kernel} needs images of at least '
                f"{smallest}x{smallest} pixels, and these are {sides[0]}x{sides[1]}; "
                'use a smaller kernel or encoder "mlp"'
            )
        first, second, third = self.channels
        return glorot(
            nn.Sequential(
                nn.Conv2d(channels, first, self.kernel),
                nn.LeakyReLU(self.slope, inplace=True),
                nn.Conv2d(first, second, self.kernel),
                nn.MaxPool2d(2),  # the maximum may be taken first: a leaky ReLU keeps the order
                nn.LeakyReLU(self.slope, inplace=True),
                nn.Conv2d(second, third, self.kernel),
                nn.LeakyReLU(self.slope, inplace=True),
                nn.Flatten(),
            )
        )


class MLPEncoder(Encoder):
    """Fully connected layers on the flattened image, leaky ReLU after each."""

    name = "mlp"

    hidden: tuple[PositiveInt, ...] = Field(default=(512, 256), min_length=1)
    """Width of each layer; the last one's is the number of features."""
    slope: Slope = 0.2
    """Of the leaky ReLU below zero."""

    def build(self, image_shape: tuple[int, int, int]) -> nn.Module:
        from torch import nn

        from dvae_plugins.networks import glorot, perceptron

        layers = perceptron((math.prod(image_shape), *self.hidden), self.slope)
        return glorot(nn.Sequential(nn.Flatten(), *layers, nn.LeakyReLU(self.slope, inplace=True)))


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [ConvEncoder, MLPEncoder]
