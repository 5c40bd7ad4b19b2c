"""Images on the device, in order, by epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dvae_core.randomness import generator


class Batch(NamedTuple):
    """Some training images, and what is said of them."""

    images: Tensor
    """[B, C, H, W], in [0, 1]."""
    labels: Tensor
    """int64 [B]; -1 is hidden."""
    targets: Tensor | None = None
    """float32 [B, K], where the head is to learn such; rows with a NaN are hidden."""

    def hidden(self, where: Tensor) -> Batch:
        """The same with no label to be seen, where a boolean on the device [1] is true."""
        targets = None if self.targets is None else self.targets.masked_fill(where, torch.nan)
        return self._replace(labels=self.labels.masked_fill(where, -1), targets=targets)


class Batches:
    """The training images on the device, those of uint8 scaled to [0, 1] a batch at a time.

    Where they do not fit there, they stay where they are, and each batch is fetched while the one
    before it is learnt from. The order is a function of (seed, epoch) and of nothing else.

    Args:
        images: uint8 or float32 [N, C, H, W].
        labels: int64 [N], -1 where guidance may not see the label.
        targets: float32 [N, K], NaN where guidance may not see them; None if there are none.
        part: which images of a batch of some size are wanted; all if left out.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        targets: np.ndarray | None = None,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        part: Callable[[int], slice] = lambda size: slice(size),
    ) -> None:
        self.device = device
        self.resident = fits(images, device)
        """Whether the images are on the device."""
        self.images = as_tensor(images).to(device) if self.resident else as_tensor(images)
        self.labels = _copied(labels).to(device)
        self.targets = None if targets is None else _copied(targets).to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.part = part

    def __len__(self) -> int:
        """Batches in an epoch; the last one may be small."""
        return -(-len(self.images) // self.batch_size)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The epoch's batches from number `skip` on.

        With a `part`, the images are that part of the batch; the labels are always all.
        """
        order = self.order(epoch).to(self.images.device)
        starts = range(skip * self.batch_size, len(order), self.batch_size)
        parts = [order[start : start + self.batch_size] for start in starts]
        if self.resident or not parts:
            yield from map(self.batch, parts)
            return
        with ThreadPoolExecutor(1) as fetcher:
            coming = fetcher.submit(self.batch, parts[0])
            for part in parts[1:]:
                batch, coming = coming.result(), fetcher.submit(self.batch, part)
                yield batch
            yield coming.result()

    def order(self, epoch: int) -> Tensor:
        """The epoch's order of the images: int64 [N], on the processor."""
        return torch.randperm(len(self.images), generator=generator(self.seed, "order", epoch))

    def batch(self, chosen: Tensor) -> Batch:
        """The batch of the images with these indices [B], as `epoch` gives it."""
        images = self.images[chosen[self.part(len(chosen))]]
        if not self.resident:
            # The host waits for a copy to a GPU unless it is of pinned memory.
            images = images.pin_memory() if self.device.type == "cuda" else images
            images = images.to(self.device, non_blocking=True)
            chosen = chosen.to(self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        targets = None if self.targets is None else self.targets[chosen]
        return Batch(scaled(images), self.labels[chosen], targets)


def _copied(labels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(labels, requirements=["C", "W"]))


ROOM = 0.5
"""The share of a GPU's free memory that the images may take; the rest is for the networks."""


def fits(images: np.ndarray, device: torch.device) -> bool:
    """Whether images may lie on the device as a whole."""
    return device.type != "cuda" or images.nbytes <= ROOM * torch.cuda.mem_get_info(device)[0]


def as_tensor(images: np.ndarray) -> Tensor:
    """A tensor that shares the memory of an array, or the file that the array lies in."""
    if min(images.strides) < 0:  # torch knows no such views
        images = images.copy()
    with warnings.catch_warnings():
        # It may be a file that is larger than memory; what is read from it here is copied first.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(images)


def some_of(images: np.ndarray, part: slice | np.ndarray, device: torch.device) -> Tensor:
    """Some images on the device, as float32 in [0, 1], which may be changed there."""
    return scaled(to_device(np.array(images[part]), device))


def to_device(images: np.ndarray, device: torch.device) -> Tensor:
    """Images [N, C, H, W] as a tensor with channels last, which convolutions prefer."""
    return as_tensor(images).to(device).contiguous(memory_format=torch.channels_last)


def scaled(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1], which those that are no uint8 are already."""
    return images if images.is_floating_point() else images.float().div_(255)
