"""Every source of noise has its own generator, seeded from the recipe's one seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

DRAWING = ("cuda", "mps")
"""Kinds of devices, beside the processor, that have a global generator."""


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, independent of those for other purposes.

    >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 1)
    True
    >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 2)
    False
    """
    words = [zlib.crc32(p.encode()) if isinstance(p, str) else p for p in purpose]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A torch generator for one purpose, on the processor: there all machines draw alike."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


def seed_everything(seed: int, *purpose: str | int) -> None:
    """Seed the global generators, for plugins that draw from them."""
    number = derived_seed(seed, *purpose)
    _seed_torch(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def global_state(device: torch.device | None = None) -> dict[str, Any]:
    """The state of the global generators, in a form that torch.load reads without unpickling.

    Args:
        device: whose generator counts, beside those of the processor.
    """
    kind, keys, *rest = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    # Tensors, for a list of hundreds of numbers takes torch.load longer than all else.
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys, np.int64)), *rest],
        "python": [version, torch.tensor(internal), gauss],
    }
    if device is not None and device.type in DRAWING:
        state[device.type] = [_state_of(device)]
    return state


def set_global_state(state: dict[str, Any], device: torch.device | None = None) -> None:
    """Put the global generators back to where `global_state` found them.

    The device's stays as it is where the state comes from another kind of device.
    """
    torch.set_rng_state(state["torch"])
    # Runs used to keep the numbers as lists.
    kind, keys, position, *rest = state["numpy"]
    if not 0 <= position <= len(keys):  # NumPy would read there
        raise ValueError(f"no random generator is at {position}")
    np.random.set_state((kind, np.asarray(keys).astype(np.uint32), position, *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(np.asarray(internal).tolist()), gauss))
    if device is not None and (states := state.get(device.type)):
        # Runs used to keep the states of all GPUs of their machine; the run's own counts.
        index = device.index or 0
        _set_state_of(device, states[index if index < len(states) else 0])


@contextmanager
def forked(device: torch.device, seed: int, *purpose: str | int) -> Iterator[None]:
    """As `set_aside`, but of torch's generators alone, and quick enough for every step."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        _seed_torch(derived_seed(seed, *purpose))
        yield


@contextmanager
def set_aside(seed: int, *purpose: str | int) -> Iterator[None]:
    """Let code draw from freshly seeded global generators, and leave no trace in them."""
    before, on_devices = global_state(), {d: _state_of(d) for d in _devices_in_use()}
    seed_everything(seed, *purpose)
    try:
        yield
    finally:
        set_global_state(before)
        for device, state in on_devices.items():
            _set_state_of(device, state)


def _seed_torch(number: int) -> None:
    # Where there is no accelerator, torch would note, with a traceback, to seed each kind later.
    if torch.accelerator.is_available():
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def _devices_in_use() -> list[torch.device]:
    """Those beside the processor that may have been drawn from; looking starts none of them."""
    count = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    found = [torch.device("cuda", number) for number in range(count)]
    return found + [torch.device("mps")] * torch.backends.mps.is_available()


def _state_of(device: torch.device) -> torch.Tensor:
    return torch.mps.get_rng_state() if device.type == "mps" else torch.cuda.get_rng_state(device)


def _set_state_of(device: torch.device, state: torch.Tensor) -> None:
    if device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)
