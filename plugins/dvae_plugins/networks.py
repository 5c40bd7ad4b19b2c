"""Pieces that several networks share. Import it inside `build` only: it needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn


class PixelLinear(nn.Conv2d):
    """A linear map from each pixel's channels to as many: a 1x1 convolution.

    Of one channel it is a product, and computed as one: oneDNN would fill it up to sixteen.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        if self.in_channels > 1 or self.bias is None:
            return super().forward(x)
        return torch.addcmul(self.bias.to(x.dtype), x, self.weight.to(x.dtype))


def perceptron(sizes: Iterable[int], slope: float) -> list[nn.Module]:
    """Linear layers through `sizes`, with a leaky ReLU after each but the last.

    Here as everywhere it works in place: its gradient needs the sign of its output alone.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(slope, inplace=True)]
    return layers[:-1]


def glorot(network: nn.Sequential) -> nn.Sequential:
    """Uniform weights after Glorot and Bengio (AISTATS 2010), and zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
