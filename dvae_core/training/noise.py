"""The noise of the latent samples: the same numbers on every kind of device."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from dvae_core.randomness import generator


class Noise:
    """Standard normal noise, drawn on the processor, batch by batch.

    A device that takes its noise an epoch ahead says which of it has been used, so that a
    checkpoint has the same state whatever the device.

    Args:
        dim: D, of the latent space.
    """

    def __init__(self, seed: int, dim: int) -> None:
        self._seed, self._dim = seed, dim
        self._generator = generator(seed, "latent noise")
        self._skipped: list[int] = []

    def draw(self, size: int) -> Tensor:
        """Noise [size, D] for the next batch."""
        return torch.randn(size, self._dim, generator=self._generator)

    def ahead(self, sizes: Iterable[int]) -> Tensor:
        """What `draw` would give for batches of these sizes, one below the other."""
        other = torch.Generator()
        other.set_state(self.get_state())
        return torch.cat([torch.randn(size, self._dim, generator=other) for size in sizes])

    def skip(self, size: int) -> None:
        """The next batch has its noise already."""
        self._skipped.append(size)

    def get_state(self) -> Tensor:
        """What a checkpoint keeps."""
        for size in self._skipped:
            self.draw(size)
        self._skipped.clear()
        return self._generator.get_state()

    def set_state(self, state: Tensor, step: int) -> bool:
        """Go on from a checkpoint's state.

        Returns:
            Whether it is one of this generator. Runs on a GPU used to draw there; then the noise
            from `step` on is drawn anew.
        """
        self._skipped.clear()
        if state.numel() == self._generator.get_state().numel():
            self._generator.set_state(state.cpu())
            return True
        self._generator = generator(self._seed, "latent noise", step)
        return False
