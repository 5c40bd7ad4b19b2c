"""The step as one compiled graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dvae_core.errors import RecipeError

Loss = Callable[..., tuple[Tensor, Tensor]]
"""Of the parts of a batch, by name: the loss, and its row for the ledger. See `Gradients`."""


def compiled(loss: Loss) -> Loss:
    """`loss` and its gradient as compiled graphs.

    All that changes from step to step comes in as a tensor, so that one compilation, at the first
    call, serves the whole run.

    Raises:
        RecipeError: from the first call, where torch cannot compile here.
    """
    torch.compiler.reset()  # torch compiles one function only so often, and earlier runs count
    # On a GPU the whole step becomes one CUDA graph, so that this need make none of its own.
    graph = torch.compile(loss, dynamic=False)

    def call(**tensors: Tensor) -> tuple[Tensor, Tensor]:
        try:
            value, row = graph(**tensors)
        except torch._dynamo.exc.TorchDynamoException as error:
            # What a compiler says runs over many lines; the first two have the reason.
            reason = " ".join(str(error).split("\n")[:2]).strip()
            raise RecipeError(
                f'[train] compile: torch.compile failed here: {reason}; set train.compile = "off"'
            ) from error
        return value, row

    return call
