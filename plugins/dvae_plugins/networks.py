"""Pieces that several networks share. Import it inside `build` only: it needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from torch import nn


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
