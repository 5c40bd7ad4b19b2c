"""Every source of noise has its own generator, seeded from the recipe's one seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, independent of those for other purposes.

    >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 1)
    True
    >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 2)
    False
    """
    words = [zlib.crc32(p.encode()) if isinstance(p, str) else p for p in purpose]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, *purpose: str | int, device: str | torch.device = "cpu") -> Any:
    """A torch generator for one purpose."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *purpose))


def seed_everything(seed: int, *purpose: str | int) -> None:
    """Seed the global generators, for plugins that draw from them."""
    number = derived_seed(seed, *purpose)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def global_state() -> dict[str, Any]:
    """The state of the global generators, in a form that torch.load reads without unpickling."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, [int(k) for k in keys], position, has_gauss, gauss],
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_global_state(state: dict[str, Any]) -> None:
    """Put the global generators back to where `global_state` found them."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, *rest = state["numpy"]
    if not 0 <= position <= len(keys):  # NumPy would read there
        raise ValueError(f"no random generator is at {position}")
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def forked(device: torch.device, seed: int, *purpose: str | int) -> Iterator[None]:
    """As `set_aside`, but of torch's generators alone, and quick enough for every step."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(seed, *purpose))
        yield


@contextmanager
def set_aside(seed: int, *purpose: str | int) -> Iterator[None]:
    """Let code draw from freshly seeded global generators, and leave no trace in them."""
    before = global_state()
    seed_everything(seed, *purpose)
    try:
        yield
    finally:
        set_global_state(before)
