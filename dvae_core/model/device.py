"""Where a model computes, and in which precision."""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from dvae_core.errors import RecipeError
from dvae_core.model.fast_linear import speed_up_linears


def device_of(name: str) -> torch.device:
    """The device that a recipe names; for "auto" a GPU where there is one.

    Raises:
        RecipeError: this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not is_available(name):
        raise RecipeError(f'[train] device: "{name}" is not available on this machine; try "auto"')
    return torch.device(name)


def is_available(name: str) -> bool:
    """Whether this machine has the device that a recipe names."""
    kind, _, index = name.partition(":")
    if kind == "cuda":
        return torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count()
    return kind != "mps" or torch.backends.mps.is_available()


def place(model: nn.Module, device: torch.device) -> None:
    """Move a model to its device, in the form that is fastest there."""
    model.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        speed_up_linears(model)
        return
    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d) and module.weight.shape[1] == 1:
            # With one channel both layouts are the same but for their strides, and those of the
            # gradient are the usual ones: DistributedDataParallel would copy it in each step.
            usual = torch.empty_like(module.weight, memory_format=torch.contiguous_format)
            module.weight.data = usual.copy_(module.weight.data)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The precision of the networks, as `train.precision` names it."""
    if precision != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
