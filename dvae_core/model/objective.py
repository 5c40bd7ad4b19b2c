"""The loss: the weighted sum of its terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dvae_core.errors import RecipeError
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.plugin.given import Outputs
from dvae_core.plugin.guard import asked_for
from dvae_core.plugin.kinds import KL
from dvae_core.recipe.recipe import Recipe
from dvae_core.recipe.timeline import Timeline


class Objective(nn.Module):
    """The weighted sum of all terms, each a mean over the images of the batch.

    A KL or an extra term may have parameters of its own; they are this module's then.

    Args:
        recipe: whose objective it is.
        model: what is trained.
        timeline: when weights change.
        images: the training images, uint8 or float32 [N, C, H, W], and
        labels: what is known of their labels [N], -1 where it is nothing; both None where a
            checkpoint is loaded.

    Raises:
        RecipeError: the KL does not fit the classes or the latent space.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: GuidedVAE,
        timeline: Timeline,
        images: np.ndarray | None = None,
        labels: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.names = tuple(self.weights)
        self.timeline = timeline
        self.no_bound = recipe.no_bound
        """Why there is no bound on the likelihood, or None."""
        facts = {"images": images, "labels": labels}
        try:
            self.kl = build_kl(
                recipe.kl.component,
                model.latent_dim,
                model.classes,
                pairs=model.pairs,
                **facts,
            )
        except ValueError as error:
            raise RecipeError(f"{recipe.origin(('kl', 'name'))}: [kl] {error}") from error
        # What the model holds is trained as its own.
        self._reconstruction = (model.reconstruction,)
        head = recipe.guidance.component if recipe.guidance else None
        self._head_loss = None if head is None or head.is_cross_entropy else head.loss
        self._given_outputs = recipe.kl.component.given_outputs
        divergence = recipe.kl.component.divergence
        model.take_prior(self.kl, given_outputs=self._given_outputs, divergence=divergence)
        self.extra = []
        for index, term in enumerate(recipe.terms):
            try:
                build = term.component.build
                self.extra.append(build(model, **asked_for(build, facts)))
                term.component.named_pairs(model.classes)  # wrong ones are refused now
            except ValueError as error:
                origin = recipe.origin(("terms", index, "name"))
                raise RecipeError(f"{origin}: [terms.{index}] {error}") from error
        self.terms = _ByName(
            (term.component.name.replace(".", "/"), built)  # a dot would be a level of its own
            for term, built in zip(recipe.terms, self.extra, strict=True)
            if isinstance(built, nn.Module)
        )
        self.register_load_state_dict_pre_hook(_read_old_names)

    def measured(self, row: Mapping[str, Any]) -> None:
        """Tell the terms that listen of an evaluated epoch's row of metrics.jsonl."""
        for term in self.extra:
            if hasattr(term, "measured"):
                term.measured(row)

    def weights_at(self, step: int) -> tuple[float, ...]:
        """The weight of each term at a step, in the order of `names`."""
        return tuple(self.timeline.values(self.weights, step).values())

    @property
    def reconstruction(self) -> Any:
        """What the recipe's reconstruction built; the model's."""
        return self._reconstruction[0]

    def kl_of(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """The KL term [B] of what the model computes for images with labels [B]."""
        moments = outputs.mean, outputs.log_var, labels
        if self._given_outputs:
            term: Tensor = self.kl(*moments, outputs)
            return term
        term = self.kl(*moments)
        # A prior with independent dimensions is as far from q as from the product of q's marginals,
        # and these are from q.
        return term if outputs.correlation is None else term + outputs.correlation

    def forward(
        self,
        outputs: Outputs,
        labels: Tensor,
        weights: Tensor,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The loss, and the ledger's row for the batch (see `Ledger.columns`).

        Labels are int64 [B]; images with the label -1 take no part in the guidance. Where the head
        has targets [B, K], those with a NaN take none. `weights` has one for each of `names`; a
        tensor, so that a compiled step need not know its numbers.
        """
        means, counts = self.of_images(outputs, labels, targets)
        terms = [*means, *self.of_batch(outputs, labels)]
        loss = (weights * torch.stack(terms)).sum()
        row = torch.stack([loss, *terms, *counts]).detach()
        return loss, row

    def of_images(
        self, outputs: Outputs, labels: Tensor, targets: Tensor | None = None
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """The terms that are means over images, and how many the head got right, of how many."""
        n_labelled = (labels >= 0).sum()
        correct = torch.zeros_like(n_labelled)
        terms = [
            self.reconstruction.loss(outputs.logits, outputs.images).mean(),
            self.kl_of(outputs, labels).mean(),
        ]
        if outputs.class_logits is not None:
            terms.append(self._guidance(outputs.class_logits, labels, targets))
            correct = (outputs.class_logits.argmax(dim=1) == labels).sum()
        return terms, (correct.float(), n_labelled.float())

    def _guidance(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """The mean of the head's loss over the images that it may know of; 0 if there is none."""
        known = is_known(labels, targets)
        if self._head_loss is None and targets is None:  # the same in one, with bits of its own
            total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        else:
            # Where nothing is known the loss is of no matter, but may be infinite or have no
            # gradient: it is that of a target that is known, and none of it goes back.
            wanted = labels.clamp(min=0) if targets is None else _filled(targets, known)
            logits = logits.where(known[:, None], logits.detach())
            loss = self._head_loss or F.cross_entropy
            total = torch.where(known, loss(logits, wanted), 0).sum()
        return total / known.sum().clamp(min=1)

    def of_batch(self, outputs: Outputs, labels: Tensor) -> list[Tensor]:
        """The extra terms, which may be anything of a batch as a whole."""
        return [term(outputs, labels) for term in self.extra]


def is_known(labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Whether [B] the head may know of an image what it is to learn."""
    return labels >= 0 if targets is None else ~targets.isnan().any(dim=1)


def _filled(targets: Tensor, known: Tensor) -> Tensor:
    """Targets [B, K] with one that is known in place of those that are not."""
    one = targets.index_select(0, known.int().argmax(dim=0, keepdim=True))
    return targets.where(known[:, None], one).nan_to_num()


class _ByName(nn.Module):
    """Modules by name; any name will do, such as those of a module's own methods."""

    def __init__(self, modules: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self._modules.update(modules)


def _read_old_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """In older checkpoints the terms that are modules have numbers."""
    for number, term in enumerate(module.get_submodule("terms")._modules):
        old = f"{prefix}_modules_of_terms.{number}."
        for name in [name for name in state if name.startswith(old)]:
            state[f"{prefix}terms.{term}.{name.removeprefix(old)}"] = state.pop(name)


def build_kl(kl: KL, latent_dim: int, classes: tuple[str, ...], **facts: Any) -> Any:
    """A KL's function; its `build` is given those of the facts that it has a parameter for.

    Raises:
        ValueError: it does not fit the classes, the latent space or the pairs.
    """
    return kl.build(latent_dim, classes, **asked_for(kl.build, facts))
