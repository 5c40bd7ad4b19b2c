"""The gradients of a step: what its images become, their loss, and a step's batches together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from dvae_core.errors import DvaeError
from dvae_core.model.batches import Batch
from dvae_core.model.device import autocast
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.model.objective import Objective
from dvae_core.plugin.kinds import Dataset
from dvae_core.randomness import derived_seed, forked
from dvae_core.recipe.recipe import Recipe
from dvae_core.training.ranks.ranks import Ranks
from dvae_core.training.ranks.shared_loss import part_of, shared
from dvae_core.training.speed.compiling import Loss, compiled


class Gradients:
    """Adds to the parameters the gradients of steps.

    Args:
        step: says how many steps are finished, from which random numbers follow.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: GuidedVAE,
        objective: Objective,
        device: torch.device,
        ranks: Ranks,
        step: Callable[[], int],
    ) -> None:
        self.recipe = recipe
        self.model = model
        self.objective = objective
        self.device = device
        self.ranks = ranks
        self._step = step
        self.loss: Loss = self._loss
        if ranks.count > 1:
            self.loss = shared(model, objective, ranks, self.autocast, self._random_of_rank)

    def add(self, batch: Batch, noise: Tensor, weights: Tensor) -> Tensor:
        """Those of the mean loss of a step's images, batch by batch; its row for the ledger."""
        images, *decoded = self.augmented(batch.images, batch.labels)
        given = {"images": images, "labels": batch.labels, "noise": noise}
        if decoded:
            given["decoded"] = decoded[0]
        if batch.targets is not None:
            given["targets"] = batch.targets
        size, batch_size = len(batch.labels), self.recipe.train.batch_size
        if size <= batch_size:
            loss, row = self._loss_of(size)(weights=weights, **given)
            loss.backward()
            return row
        rows = []
        for parts in zip(*(tensor.split(batch_size) for tensor in given.values()), strict=True):
            part = dict(zip(given, parts, strict=True))
            share = len(part["labels"]) / size
            loss, row = self._loss_of(len(part["labels"]))(weights=weights, **part)
            (share * loss).backward()
            # The last two columns count images; the others are means over them.
            rows.append(torch.cat([share * row[:-2], row[-2:]]))
        return torch.stack(rows).sum(0)

    @property
    def augments(self) -> bool:
        """Whether images are changed before they go in."""
        dataset = self.recipe.dataset
        return dataset.augmentation is not None or type(dataset).augment is not Dataset.augment

    def augmented(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """The images that go in, and those to be decoded where these are others.

        Raises:
            DvaeError: the data set's augmentation gives images of another shape.
        """
        dataset = self.recipe.dataset
        if not self.augments:
            return (images,)
        seed = derived_seed(self.recipe.seed, "augmentation", self._step(), self.ranks.rank)
        random = torch.Generator(self.device).manual_seed(seed)
        given = dataset.augment(images, labels[part_of(len(labels), self.ranks)], random)
        made = given if isinstance(given, tuple) else (given,)
        if any(tensor.shape != images.shape for tensor in made):
            shapes = ", ".join(str(list(tensor.shape)) for tensor in made)
            raise DvaeError(
                f'dataset "{dataset.name}": augment makes {shapes} of {list(images.shape)}'
            )
        return tuple(t.contiguous(memory_format=torch.channels_last) for t in made)

    def autocast(self) -> contextlib.AbstractContextManager:
        """The precision of the networks."""
        return autocast(self.device, self.recipe.train.precision)

    def _loss(
        self,
        images: Tensor,
        labels: Tensor,
        noise: Tensor,
        weights: Tensor,
        decoded: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The loss of a batch and its row for the ledger, from the networks on.

        Args:
            decoded: the images that are to be decoded, where those that go in are others.
            targets: those of the head, where they are not the labels.
        """
        with self.autocast():
            outputs = self.model(images, noise, labels, decoded)
        loss, row = self.objective(outputs, labels, weights, targets)
        return loss, row

    def _loss_of(self, size: int) -> Loss:
        """The last batch of an epoch may be smaller, and is not worth compiling for."""
        return self._fast_loss if size == self.recipe.train.batch_size else self.loss

    @cached_property
    def _fast_loss(self) -> Loss:
        """`loss`, compiled if the recipe says so."""
        return compiled(self.loss) if self.recipe.train.compile == "on" else self.loss

    def _random_of_rank(self) -> contextlib.AbstractContextManager:
        """Global random numbers of this rank's own, for a step."""
        return forked(self.device, self.recipe.seed, "rank", self.ranks.rank, self._step())
