"""The loss: the weighted sum of its terms."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dvae_core.errors import RecipeError
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.plugin.given import Outputs
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
        images: the training images, uint8 [N, C, H, W], and
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
        self.reconstruction = recipe.reconstruction.component
        self.no_bound = recipe.no_bound
        """Why there is no bound on the likelihood, or None."""
        try:
            self.kl = build_kl(
                recipe.kl.component,
                model.latent_dim,
                model.classes,
                pairs=model.pairs,
                images=images,
                labels=labels,
            )
        except ValueError as error:
            raise RecipeError(f"{recipe.origin(('kl', 'name'))}: [kl] {error}") from error
        model.take_prior(self.kl)
        self.extra = []
        for index, term in enumerate(recipe.terms):
            try:
                self.extra.append(term.component.build(model))
                term.component.named_pairs(model.classes)  # wrong ones are refused now
            except ValueError as error:
                origin = recipe.origin(("terms", index, "name"))
                raise RecipeError(f"{origin}: [terms.{index}] {error}") from error
        # Modules in a plain list are invisible to parameters() and state_dict().
        self._modules_of_terms = nn.ModuleList([t for t in self.extra if isinstance(t, nn.Module)])

    def measured(self, row: Mapping[str, Any]) -> None:
        """Tell the terms that listen of an evaluated epoch's row of metrics.jsonl."""
        for term in self.extra:
            if hasattr(term, "measured"):
                term.measured(row)

    def weights_at(self, step: int) -> tuple[float, ...]:
        """The weight of each term at a step, in the order of `names`."""
        return tuple(self.timeline.values(self.weights, step).values())

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) [B] of latent points [B, D] under the prior of an image without a label.

        The KL, which must be a divergence, says it: KL(N(z, v) || p) = -H(N(z, v)) - E log p, and
        the mean of log p over N(z, v) is log p(z) when the variance v is next to nothing.
        """
        log_v = -20.0
        hidden = torch.full((len(z),), -1, device=z.device)
        entropy = 0.5 * z.shape[1] * (math.log(2 * math.pi) + 1 + log_v)
        log_density: Tensor = -self.kl(z, torch.full_like(z, log_v), hidden) - entropy
        return log_density

    def forward(self, outputs: Outputs, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the ledger's row for the batch (see `Ledger.columns`).

        Labels are int64 [B]; images with the label -1 take no part in the guidance. `weights` has
        one for each of `names`; a tensor, so that a compiled step need not know its numbers.
        """
        means, counts = self.of_images(outputs, labels)
        terms = [*means, *self.of_batch(outputs, labels)]
        loss = (weights * torch.stack(terms)).sum()
        row = torch.stack([loss, *terms, *counts]).detach()
        return loss, row

    def of_images(
        self, outputs: Outputs, labels: Tensor
    ) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """The terms that are means over images, and how many the head got right, of how many."""
        labelled = labels >= 0
        n_labelled = labelled.sum()
        correct = torch.zeros_like(n_labelled)
        terms = [
            self.reconstruction.loss(outputs.logits, outputs.images).mean(),
            self.kl(outputs.mean, outputs.log_var, labels).mean(),
        ]
        if outputs.class_logits is not None:
            wrongness = F.cross_entropy(
                outputs.class_logits, labels, ignore_index=-1, reduction="sum"
            )
            terms.append(wrongness / n_labelled.clamp(min=1))
            correct = (outputs.class_logits.argmax(dim=1) == labels).sum()
        return terms, (correct.float(), n_labelled.float())

    def of_batch(self, outputs: Outputs, labels: Tensor) -> list[Tensor]:
        """The extra terms, which may be anything of a batch as a whole."""
        return [term(outputs, labels) for term in self.extra]


def build_kl(kl: KL, latent_dim: int, classes: tuple[str, ...], **facts: Any) -> Any:
    """A KL's function; its `build` is given those of the facts that it has a parameter for.

    Raises:
        ValueError: it does not fit the classes, the latent space or the pairs.
    """
    asked = inspect.signature(kl.build).parameters
    return kl.build(latent_dim, classes, **{k: v for k, v in facts.items() if k in asked})
