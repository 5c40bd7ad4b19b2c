"""A device that is not the processor, on any machine: for looking at what a GPU would meet.

torch lets a backend be written in Python, and its fake tensors have a shape, a type and a device
but no numbers. So a whole step runs there, and whatever a GPU would refuse, or wait for, shows:
tensors of two devices in one operation, a value read by the host, a float64 that not every device
has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "gadget"
LOOKS = ("prim.", "aten.empty", "aten.detach", "aten._unsafe_view")
"""How the names of operations start that compute nothing."""


@cache
def made_up_device() -> torch.device:
    """The device; torch knows it from the first call on.

    Raises:
        ImportError: this torch has no backends in Python.
    """
    from torch.utils.backend_registration import (
        _DummyBackendModule,
        _setup_privateuseone_for_python_backend,
    )

    class Backend(_DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16]

    _setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    return torch.device(NAME, 0)


class Counted(TorchDispatchMode):
    """Counts what is done on the device: `launches` of operations, and `waits` of the host.

    Operations that only look at memory in another way count for nothing. A GPU's libraries may
    launch several kernels for one operation, and an operation on a list of tensors launches at
    least one. A copy from the processor makes the host wait too, unless it is of pinned memory.

    Raises:
        AssertionError: from an operation that makes a float64 there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def clear(self) -> None:
        """Count from nothing again."""
        self.launches.clear()
        self.waits.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func)
        there = _on_device((args, kwargs))
        if name.startswith("aten._local_scalar_dense") and there:
            self.waits[name] += 1
        out = func(*args, **(kwargs or {}))
        made = _on_device(out)
        assert not any(t.dtype == torch.float64 for t in made), f"{name} makes a float64"
        copies = "copy" in name or name.startswith("aten.to")
        tensors = [t for t in pytree.tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
        if copies and len({t.device.type for t in tensors}) > 1:
            self.waits[name] += 1
        elif (there or made) and not (func.is_view or name.startswith(LOOKS)):
            self.launches[name] += 1
        return out


def _on_device(tree: Any) -> list[Tensor]:
    leaves = pytree.tree_leaves(tree)
    return [t for t in leaves if isinstance(t, Tensor) and t.device.type == NAME]


@contextmanager
def imagined() -> Iterator[Counted]:
    """Fake tensors, and modules that can be moved among them; counts what the device does."""
    real, tensor = nn.Module.to, torch.tensor

    def on_device(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        made = tensor(*args, **kwargs)
        return made if device is None else made.to(device)

    nn.Module.to = _to  # type: ignore[assignment]
    torch.tensor = on_device  # type: ignore[assignment]
    try:
        with FakeTensorMode(), Counted() as counted:
            yield counted
    finally:
        nn.Module.to = real  # type: ignore[method-assign]
        torch.tensor = tensor  # type: ignore[assignment]


def _to(
    module: nn.Module,
    device: torch.device | None = None,
    memory_format: torch.memory_format = torch.preserve_format,
) -> nn.Module:
    """`nn.Module.to`, which swaps the insides of fake parameters and fails at it."""
    made: dict[int, Tensor] = {}
    for part in module.modules():
        for kind in (part._parameters, part._buffers):
            for name, old in kind.items():
                if old is None or (device is not None and old.device == device):
                    continue
                if id(old) not in made:
                    keep = memory_format if old.dim() == 4 else torch.preserve_format
                    new = old.detach().to(device or old.device, memory_format=keep)
                    is_parameter = isinstance(old, nn.Parameter)
                    made[id(old)] = nn.Parameter(new) if is_parameter else new
                kind[name] = made[id(old)]  # type: ignore[assignment]
    return module
