"""An epoch's steps, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dvae_core.training.captured import Uncapturable, captured
from dvae_core.training.state import Training


def steps_of(training: Training) -> Steps:
    """A training's steps, in the way of its device."""
    handed = training.device.type == "cpu" or not training.batches.resident
    return Steps(training) if handed else PlannedSteps(training)


class Steps:
    """Steps that the host hands a batch each."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def take(self, warn: Callable[[str], None] = lambda text: None) -> Iterator[bool]:
        """Take what is left of the epoch's steps, one at a time.

        Yields:
            After each, whether the ledger is due for reading.

        Args:
            warn: told where steps take longer than they need to.
        """
        training = self.training
        for batch in training.batches.epoch(training.epoch, skip=training.epoch_step):
            yield training.take_step(*batch)


class PlannedSteps(Steps):
    """Steps that find on the device all that changes from one to the next.

    An epoch's order, noise and weights go there once, at its start; a counter on the device picks a
    step's part of them. So a step is the same work each time, and a GPU can keep all of it, from
    the images to the ledger's row, as one graph.
    """

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        batches, device = training.batches, training.device
        self.batch_size = batches.batch_size
        self.images = len(batches.images)
        self.whole = self.images // self.batch_size
        """Steps of an epoch that have a whole batch."""
        steps = training.timeline.steps_per_epoch
        # Their places stay the same, for a graph goes by those.
        self.order = torch.zeros(self.images, dtype=torch.int64, device=device)
        self.noise = torch.zeros(self.images, training.model.latent_dim, device=device)
        self.weights = torch.zeros(steps, len(training.objective.names), device=device)
        self.hidden = torch.zeros(steps, 1, dtype=torch.bool, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        """The step of the epoch that comes next."""
        self._replay: Callable[[], None] | None = None
        self._seen: list[Tensor] | None = None
        """The buffers that the graph reads and writes, once one was tried."""

    def take(self, warn: Callable[[str], None] = lambda text: None) -> Iterator[bool]:
        training = self.training
        self.plan()
        # What an optimizer keeps of each parameter comes with its first step of all.
        if training.epoch_step < self.whole and not training.optimizer.state:
            yield self._done(self.step_by_host())
        replay = self._graph(warn)
        while training.epoch_step < training.timeline.steps_per_epoch:
            if replay is not None and training.epoch_step < self.whole:
                replay()
                yield self._done()
            else:
                yield self._done(self.step_by_host())

    def plan(self) -> None:
        """Send the rest of the epoch to the device."""
        training, first = self.training, self.training.epoch_step
        start = first * self.batch_size
        sizes = [self._size(step) for step in range(first, len(self.weights))]
        if not sizes:
            return
        before = training.epoch * len(self.weights)
        steps = [before + step for step in range(first, len(self.weights))]
        hidden = [[training.labels_hidden(step)] for step in steps]
        weights = [training.objective.weights_at(step) for step in steps]
        self._send(training.batches.order(training.epoch), self.order)
        self._send(training.noise.ahead(sizes), self.noise[start:])
        self._send(torch.tensor(weights), self.weights[first:])
        self._send(torch.tensor(hidden), self.hidden[first:])
        self.at.fill_(first)

    def step(self) -> None:
        """The step that the counter is at, of a whole batch: takes nothing from the host."""
        training, rows = self.training, self.whole * self.batch_size
        chosen = self._picked(self.order[:rows].view(self.whole, -1))
        noise = self._picked(self.noise[:rows].view(self.whole, self.batch_size, -1))
        batch = training.batches.batch(chosen).hidden(self._picked(self.hidden))
        row = training.learn(batch, noise, self._picked(self.weights))
        training.ledger.rows.index_copy_(0, self.at, row[None])
        self.at += 1

    def step_by_host(self) -> Tensor:
        """The same, for a batch of any size, where the host knows which one it is; the row."""
        training, step = self.training, self.training.epoch_step
        part = slice(step * self.batch_size, step * self.batch_size + self._size(step))
        batch = training.batches.batch(self.order[part]).hidden(self.hidden[step])
        self.at += 1
        return training.learn(batch, self.noise[part], self.weights[step])

    def _picked(self, table: Tensor) -> Tensor:
        return table.index_select(0, self.at)[0]

    def _size(self, step: int) -> int:
        return min(self.batch_size, self.images - step * self.batch_size)

    def _send(self, values: Tensor, there: Tensor) -> None:
        # The host waits for a copy to a GPU unless it is of pinned memory.
        values = values.pin_memory() if there.is_cuda else values
        there.copy_(values, non_blocking=True)

    def _done(self, row: Tensor | None = None) -> bool:
        """A step is taken; its row is in the ledger already if none is given."""
        training, size = self.training, self._size(self.training.epoch_step)
        training.noise.skip(size)
        training.epoch_step += 1
        return training.ledger.added(size) if row is None else training.ledger.add(row, size)

    def _graph(self, warn: Callable[[str], None]) -> Callable[[], None] | None:
        """Takes a whole batch's step as one graph; None where steps are taken by the host."""
        training = self.training
        if not training.captures or training.epoch_step >= self.whole or _hooked(training):
            return None
        buffers = [*training.model.buffers(), *training.objective.buffers()]
        if self._seen is None or [*map(id, self._seen)] != [*map(id, buffers)]:
            self._seen, self._replay = buffers, None
            try:
                self._replay = captured(self.step, training, self.at, (training.ledger.rows,))
            except Uncapturable as error:
                warn(f"a step cannot be one graph on the GPU, and takes longer: {error}")
        return self._replay


def _hooked(training: Training) -> bool:
    """Whether somebody wants to be called in the middle of a step, which a graph does not do."""
    modules = [*training.model.modules(), *training.objective.modules()]
    of_modules = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    of_tensors = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return any(getattr(m, name, None) for m in modules for name in of_modules) or any(
        getattr(p, name, None) for p in training.parameters for name in of_tensors
    )
