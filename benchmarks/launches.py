"""What a step asks of a device that is not the processor: operations launched, and waits."""

from __future__ import annotations

import contextlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from benchmarks.contenders import ROOT
from benchmarks.made_up_device import imagined, made_up_device
from benchmarks.report import Table
from dvae_core import load_recipe

RECIPES = {"mnist_abs": 180, "mnist_mlp": 140, "mnist_borders": 280}
"""A bound on the operations that a step of each launches."""
BLOCK = 50
"""Steps between two looks at the ledger."""


def count(recipe: str) -> dict[str, int]:
    """The operations and waits of one step in the middle of an epoch, and of the look at a block.

    On a device made in Python, with tensors that have no numbers: on any machine, and the same on
    each. The optimizer takes all parameters at once, as it does on a GPU.
    """
    from torch._subclasses.fake_tensor import DataDependentOutputException

    from dvae_core.model.data import load_data
    from dvae_core.training import state
    from dvae_core.training.steps import steps_of

    changes = ["dataset.train_limit=500", "dataset.test_limit=100", "callbacks=[]"]
    names = ("guidance", "kl") if recipe == "mnist_borders" else ("guidance",)
    changes += [f"{name}.weight.allow_unfinished=true" for name in names]
    built = load_recipe(ROOT / "recipes" / f"{recipe}.toml", changes)
    data = load_data(built.dataset)
    device_of, state.device_of = state.device_of, lambda name: made_up_device()
    try:
        with imagined() as counted:
            training = state.Training(built, data)
            for group in training.optimizer.param_groups:
                group["foreach"] = True
            steps = steps_of(training).take()
            for _ in range(2):
                next(steps)
            counted.clear()
            next(steps)
            found = {"launches": counted.launches.total(), "waits": counted.waits.total()}
            counted.clear()
            with contextlib.suppress(DataDependentOutputException):  # there are no numbers
                training.ledger.read(training.finite())
            found["waits_of_a_block"] = counted.waits.total()
    finally:
        state.device_of = device_of
    return found


def measure() -> tuple[Table, dict[str, Any]]:
    """Of each recipe, beside its bound.

    In a process of its own: torch's autograd knows no device that comes after the first gradients.
    """
    table = Table("a step on a GPU, as torch asks it", ["", "launches", "bound", "waits"])
    rows = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        counts = dict(zip(RECIPES, process.map(count, RECIPES), strict=True))
    for recipe, bound in RECIPES.items():
        found = counts[recipe]
        rows[recipe] = found | {"bound": bound, "within": within(found, bound)}
        waits = f"{found['waits']}, and {found['waits_of_a_block']} every {BLOCK} steps"
        note = "" if within(found, bound) else " (passed)"
        table.add(recipe, str(found["launches"]), f"{bound}{note}", waits)
    return table, {"rows": rows}


def within(found: dict[str, int], bound: int) -> bool:
    """Whether a step launches no more than its bound and waits for nothing."""
    return found["launches"] <= bound and (found["waits"], found["waits_of_a_block"]) == (0, 1)
