"""Whether what a checkpoint holds fits the run that takes it up: looked at before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.optim import Optimizer

from dvae_core.model.guided_vae import GuidedVAE, build_model
from dvae_core.plugin.labelled_images import ImageShape
from dvae_core.recipe import optimizers
from dvae_core.recipe.recipe import Recipe

WAYS = ("fused", "foreach")
"""Keywords that say how an optimizer goes over its parameters."""


def build_to_fit(
    recipe: Recipe, image_shape: ImageShape, classes: tuple[str, ...], weights: Mapping[str, Any]
) -> GuidedVAE:
    """The recipe's model, which is to take these weights.

    Raises:
        ValueError: it has more of them; said when it has taken little memory.
        Others: as `build_model`.
    """
    storages = [w.untyped_storage() for w in weights.values() if isinstance(w, Tensor)]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    needed: dict[int, int] = {}

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        # A layer registers its parameters before it fills them: until then they are only claimed.
        if isinstance(parameter, Tensor):
            needed[id(parameter)] = parameter.nbytes
            if sum(needed.values()) > held:
                raise ValueError(f"the model is larger than the {held:,} bytes of its weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        return build_model(recipe, image_shape, classes)
    finally:
        hook.remove()


def restore_optimizer(optimizer: Optimizer, recipe: Recipe, kept: Mapping[str, Any]) -> None:
    """Hand an optimizer what a checkpoint holds of it, if that is what its own steps leave.

    An optimizer trusts the shapes of its state; some write past the end of what is too short. So
    the shapes are compared with those that a step leaves. Its keywords are the recipe's; only
    whether it goes over all parameters at once is as it was, for that can change the bits.

    Raises:
        ValueError, KeyError, ...: the state is another's.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    twins = [nn.Parameter(torch.zeros_like(p)) for p in parameters]
    for twin in twins:
        twin.grad = torch.zeros_like(twin)
    (group,) = kept["param_groups"]
    ways = {way: group[way] for way in WAYS if way in optimizer.param_groups[0] and way in group}
    if not all(way is None or isinstance(way, bool) for way in ways.values()):
        raise ValueError("the optimizer's keywords are none of its own")
    keywords = recipe.optimizer.keywords | ways
    stepped = optimizers.build(recipe.optimizer.name, keywords, twins)
    stepped.step()
    state = {
        index: {} if not given else _fitted(stepped.state[twins[index]], given)
        for index, given in kept["state"].items()
    }
    optimizer.param_groups[0] |= ways
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _fitted(expected: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, laid out in memory as what is expected."""
    if expected.keys() != given.keys():
        raise ValueError(f"the optimizer keeps {', '.join(expected)}, not {', '.join(given)}")
    fitted = {}
    for key, there in expected.items():
        value = given[key]
        same = type(value) is type(there)
        if same and isinstance(there, Tensor):
            same = value.shape == there.shape and value.dtype == there.dtype
            value = torch.empty_like(there).copy_(value) if same else value
        if not same:
            raise ValueError(f"the optimizer's {key} is not what a step leaves")
        fitted[key] = value
    return fitted
