"""The loss of a batch that several ranks share, such that its gradient is that of one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dvae_core.model.batches import Batch
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.model.objective import Objective, is_known
from dvae_core.plugin.given import Outputs, Sample
from dvae_core.training.ranks.ranks import Ranks


def part_of(size: int, ranks: Ranks) -> slice:
    """The images of a batch that a rank takes: as many as the others, or one more.

    Where there is none left for it, it takes the first one too, which counts for nothing then: not
    every network can do with no image at all.
    """
    own = _own(size, ranks)
    return own if own.start < own.stop else slice(1)


def _own(size: int, ranks: Ranks) -> slice:
    each, more = divmod(size, ranks.count)
    start = each * ranks.rank + min(ranks.rank, more)
    return slice(start, start + each + (ranks.rank < more))


class SharedLoss(nn.Module):
    """A rank's share of the loss: the mean of the shares over all ranks has the loss's gradient.

    DistributedDataParallel averages gradients over W ranks. So each term counts W times its
    part of the whole: b/B where it is a mean over B images of which the rank has b, and the same
    with labelled images for the guidance. An extra term may be anything of the whole batch: every
    rank computes all of it, from outputs that are gathered when the term looks at them, and it
    counts 1/W.

    Args:
        own_random: lets this rank's networks draw from random generators of their own, so that
            the global ones, which the extra terms draw from, stay the same on all ranks.
    """

    def __init__(
        self,
        model: GuidedVAE,
        objective: Objective,
        ranks: Ranks,
        autocast: Callable[[], AbstractContextManager],
        own_random: Callable[[], AbstractContextManager],
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.ranks = ranks
        self.autocast = autocast
        self.own_random = own_random
        # DistributedDataParallel warns where it was told to look for parameters that a step does
        # without and found none; so there is always this one.
        self.without = nn.Parameter(torch.zeros((), device=next(model.parameters()).device))

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        noise: Tensor,
        weights: Tensor,
        decoded: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """This rank's share, and its row for the ledger: the sum of the rows is the batch's.

        Args:
            images: this rank's part of the batch, as `part_of` says.
            labels: of the whole batch, and so are the noise and the targets.
            decoded: what is to be decoded, where that is not what goes in.
            targets: those of the head, where they are not the labels.
        """
        part, own = part_of(len(labels), self.ranks), _own(len(labels), self.ranks)
        n_own = own.stop - own.start
        own_batch = Batch(images, labels[part], None if targets is None else targets[part])
        if not n_own:
            own_batch = own_batch.hidden(torch.ones_like(labels[:1], dtype=torch.bool))
        own_labels, own_targets = own_batch.labels, own_batch.targets
        with self.own_random():
            with self.autocast():
                outputs = self.model(images, noise[part], own_labels, decoded)
            means, counts = self.objective.of_images(outputs, own_labels, own_targets)
        whole: Any = WholeBatch(outputs, own, len(labels), self.ranks.count)
        extra = self.objective.of_batch(whole, labels)

        of_images = torch.full_like(counts[1], n_own / len(labels))
        n_known = is_known(own_labels, own_targets).sum().float()
        of_labelled = n_known / is_known(labels, targets).sum().clamp(min=1)
        shares = [of_images, of_images, of_labelled][: len(means)]
        shares += [torch.full_like(of_images, 1 / self.ranks.count)] * len(extra)
        terms = torch.stack([*means, *extra]) * torch.stack(shares)
        loss = (weights * terms).sum()
        row = torch.cat([loss[None], terms, torch.stack(counts)]).detach()
        return loss * self.ranks.count, row


def shared(
    model: GuidedVAE,
    objective: Objective,
    ranks: Ranks,
    autocast: Callable[[], AbstractContextManager],
    own_random: Callable[[], AbstractContextManager],
) -> nn.Module:
    """The shared loss as a module that averages the gradients over the ranks."""
    loss = SharedLoss(model, objective, ranks, autocast, own_random)
    # A component may have parameters that some step, or every one, does without.
    return DistributedDataParallel(loss, find_unused_parameters=True)


class WholeBatch:
    """The outputs for a whole batch, each gathered from all ranks when it is first asked for."""

    def __init__(self, outputs: Outputs, own: slice, size: int, ranks: int) -> None:
        self._outputs = outputs
        self._where = own, size, ranks

    def __getattr__(self, name: str) -> Any:
        value = self._gathered(getattr(self._outputs, name))
        setattr(self, name, value)
        return value

    def _gathered(self, value: Any) -> Any:
        if isinstance(value, Sample):
            parts = {name: self._gathered(part) for name, part in vars(value).items()}
            return dataclasses.replace(value, **parts)
        return _Gather.apply(value, *self._where) if isinstance(value, Tensor) else value


class _Gather(torch.autograd.Function):
    """Parts [b, ...] of all ranks as one tensor [B, ...].

    Its gradient supposes that all ranks make the same of it, and that their gradients are
    averaged in the end: so that of a rank's part is as many times its own.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, own: slice, size: int, ranks: int) -> Tensor:
        ctx.own, ctx.ranks, ctx.shape = own, ranks, part.shape
        whole = part.new_zeros(size, *part.shape[1:])
        whole[own] = part[: own.stop - own.start]
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_part = gradient.new_zeros(ctx.shape)
        of_part[: ctx.own.stop - ctx.own.start] = gradient[ctx.own] * ctx.ranks
        return of_part, None, None, None
