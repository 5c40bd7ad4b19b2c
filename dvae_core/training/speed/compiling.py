"""The step as one compiled graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dvae_core.errors import RecipeError

Loss = Callable[..., tuple[Tensor, Tensor]]
"""Of images, labels, noise and weights, and of what is to be decoded where that is something else
than the images: the loss, and its row for the ledger."""


def compiled(loss: Loss, device: torch.device) -> Loss:
    """`loss` and its gradient as compiled graphs; on a GPU, CUDA graphs.

    All that changes from step to step comes in as a tensor, so that one compilation, at the first
    call, serves the whole run.

    Raises:
        RecipeError: from the first call, where torch cannot compile here.
    """
    on_gpu = device.type == "cuda"
    torch.compiler.reset()  # torch compiles one function only so often, and earlier runs count
    graph = torch.compile(loss, dynamic=False, mode="reduce-overhead" if on_gpu else None)

    def call(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        if on_gpu:
            # The tensors of the step before may be written over from here on.
            torch.compiler.cudagraph_mark_step_begin()
        try:
            value, row = graph(*tensors)
        except torch._dynamo.exc.TorchDynamoException as error:
            # What a compiler says runs over many lines; the first two have the reason.
            reason = " ".join(str(error).split("\n")[:2]).strip()
            raise RecipeError(
                f'[train] compile: torch.compile failed here: {reason}; set train.compile = "off"'
            ) from error
        return value, row

    return call
