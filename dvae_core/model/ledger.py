"""Running means of the loss and its terms over an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


class Ledger:
    """Running means of the loss and its terms over an epoch.

    Rows gather on the device and are read in blocks, so that a step waits for nothing.

    Args:
        names: the terms, in order.
        device: where the rows are.
        block: how many rows to gather before reading them.
        steps: how many rows an epoch has.
        accuracy: whether the head tells classes apart, so that it can be right.
        total: what to make of gathered rows [R, columns], on the processor, before they count.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        device: torch.device,
        block: int = 50,
        steps: int | None = None,
        accuracy: bool = True,
        total: Callable[[Tensor], Tensor] = lambda rows: rows,
    ) -> None:
        self.columns = ("loss", *names, "correct", "labelled")
        self.block = block
        self._accuracy = accuracy and "guidance" in names
        self._total = total
        self.rows = torch.zeros(steps or block, len(self.columns), device=device)
        """A row for each step of the epoch."""
        self._images: list[int] = []
        self._next = 0
        self.totals = [0.0] * len(self.columns)
        self.images = 0
        self.last: dict[str, float] = dict.fromkeys(self.columns, 0.0)
        """The last row that was read, by column."""

    def add(self, row: Tensor, images: int) -> bool:
        """Keep a row; True when a block is full and due for `read`."""
        self.rows[self._next] = row
        return self.added(images)

    def added(self, images: int) -> bool:
        """As `add`, where the next row has been written already."""
        self._next += 1
        self._images.append(images)
        return len(self._images) == self.block

    def start_at(self, step: int) -> None:
        """The next row is that of a step of the epoch."""
        self._next = step

    def read(self, *flags: Tensor) -> tuple[int, dict[str, float]] | None:
        """Add the gathered rows to the totals, and read flags with them: one wait for all.

        Args:
            flags: booleans on the device, true where all is well.

        Returns:
            None, or the first row that is not finite: how many rows after it have been
            gathered, and its values by column. Where only a flag is not true, the last row.
        """
        new = self.rows[self._next - len(self._images) : self._next]
        numbers = torch.cat([new.flatten(), *(flag.reshape(1).to(new.dtype) for flag in flags)])
        numbers = numbers.cpu()  # not every device has the float64 that comes next
        new, told = numbers[: new.numel()].view_as(new), numbers[new.numel() :]
        rows = self._total(new.double()).tolist()
        for index, row in enumerate(rows):
            if not all(math.isfinite(value) for value in row):
                return len(rows) - 1 - index, dict(zip(self.columns, row, strict=True))
        for row, images in zip(rows, self._images, strict=True):
            counts = self.columns[-2:]
            for i, (column, value) in enumerate(zip(self.columns, row, strict=True)):
                self.totals[i] += value if column in counts else value * images
            self.images += images
            self.last = dict(zip(self.columns, row, strict=True))
        self._images.clear()
        return None if told.all() else (0, self.last)

    def means(self) -> dict[str, float]:
        """The means over the images read so far, as `train/<name>`, and the head's accuracy."""
        *sums, correct, labelled = self.totals
        means = {
            f"train/{column}": total / max(self.images, 1)
            for column, total in zip(self.columns, sums, strict=False)
        }
        if self._accuracy:
            means["train/guidance_accuracy"] = correct / labelled if labelled else 0.0
        return means

    def reset(self) -> None:
        """Start a new epoch."""
        self.totals = [0.0] * len(self.columns)
        self.images = 0
        self._images.clear()
        self._next = 0

    def state_dict(self) -> dict[str, object]:
        """What an interrupted epoch needs to go on."""
        return {"totals": list(self.totals), "images": self.images}

    def load_state_dict(self, state: dict) -> None:
        totals, images = [float(total) for total in state["totals"]], int(state["images"])
        if len(totals) != len(self.columns) or images < 0:
            raise ValueError("the means of the epoch at hand are of other terms")
        self.totals, self.images = totals, images
