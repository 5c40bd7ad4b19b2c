"""The register of checks, and what every check may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dvae_core.plugin.keys import example_table
from dvae_core.plugin.kinds import Component
from dvae_core.testing.outcomes import Failure

CheckFunction = Callable[[Any], None]

CLASSES = ("a", "b", "c", "d")
B = 5
"""Images in a batch."""

CHECKS: dict[str, dict[str, CheckFunction]] = {}


def checks_of(kind: str) -> dict[str, CheckFunction]:
    """The checks of a kind by name: those of every component first."""
    return CHECKS["any"] | CHECKS.get(kind, {})


def instance_of(component: Component | type[Component]) -> Component:
    """The component itself, or its class made with `example`.

    Raises:
        Failure: the class cannot be made.
    """
    if isinstance(component, Component):
        return component
    try:
        return component.from_table(example_table(component))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise Failure(
            f"cannot be made with its defaults ({key}: {first['msg'].lower()}); "
            "set the class attribute example = {...} to keys that work"
        ) from error


def check(kind: str) -> Callable[[CheckFunction], CheckFunction]:
    def register(function: CheckFunction) -> CheckFunction:
        CHECKS.setdefault(kind, {})[function.__name__] = function
        return function

    return register


def must(holds: Any, reason: str) -> None:
    if not holds:
        raise Failure(reason)


def expect_shape(tensor: Tensor, shape: tuple[int, ...]) -> None:
    must(
        tuple(tensor.shape) == shape,
        f"shape {list(tensor.shape)} where {list(shape)} is due",
    )
    must(tensor.isfinite().all(), "is not finite")


def disturbed(network: nn.Module) -> nn.Module:
    """The network with noise on its weights: what starts at 0 could hide anything."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network
