"""The loss: its terms, their weights, and a ledger of both."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dvae_core.balance import no_bound
from dvae_core.errors import RecipeError
from dvae_core.model import GuidedVAE, Outputs
from dvae_core.recipe import Recipe
from dvae_core.weights import Timeline


class Objective(nn.Module):
    """The weighted sum of all terms, each a mean over the images of the batch.

    A KL or an extra term may have parameters of its own; they are this module's then.

    Raises:
        RecipeError: the KL does not fit the classes or the latent space.
    """

    def __init__(self, recipe: Recipe, model: GuidedVAE, timeline: Timeline) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.names = tuple(self.weights)
        self.timeline = timeline
        self.reconstruction = recipe.reconstruction.component
        self.no_bound = no_bound(recipe.reconstruction.component, recipe.kl.component)
        """Why there is no bound on the likelihood, or None."""
        try:
            self.kl = recipe.kl.component.build(model.latent_dim, model.classes)
        except ValueError as error:
            raise RecipeError(f"{recipe.origin(('kl', 'name'))}: [kl] {error}") from error
        self.extra = []
        self.named_pairs: tuple[tuple[int, int], ...] = ()
        for index, term in enumerate(recipe.terms):
            try:
                self.extra.append(term.component.build(model))
                self.named_pairs += term.component.named_pairs(model.classes)
            except ValueError as error:
                origin = recipe.origin(("terms", index, "name"))
                raise RecipeError(f"{origin}: [terms.{index}] {error}") from error
        # Modules in a plain list are invisible to parameters() and state_dict().
        self._modules_of_terms = nn.ModuleList([t for t in self.extra if isinstance(t, nn.Module)])

    def weights_at(self, step: int) -> tuple[float, ...]:
        """The weight of each term at a step, in the order of `names`."""
        return tuple(self.timeline.value(weight, step) for weight in self.weights.values())

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


class Ledger:
    """Running means of the loss and its terms over an epoch.

    Rows gather on the device and are read in blocks, so that a step waits for nothing.

    Args:
        names: the terms, in order.
        device: where the rows are.
        block: how many rows to gather before reading them.
        total: what to make of gathered rows [R, columns] before they count.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        device: torch.device,
        block: int = 50,
        total: Callable[[Tensor], Tensor] = lambda rows: rows,
    ) -> None:
        self.columns = ("loss", *names, "correct", "labelled")
        self.block = block
        self._total = total
        self._rows = torch.zeros(block, len(self.columns), device=device)
        self._images: list[int] = []
        self.totals = [0.0] * len(self.columns)
        self.images = 0
        self.last: dict[str, float] = dict.fromkeys(self.columns, 0.0)
        """The last row that was read, by column."""

    def add(self, row: Tensor, images: int) -> bool:
        """Keep a row; True when a block is full and due for `read`."""
        self._rows[len(self._images)] = row
        self._images.append(images)
        return len(self._images) == self.block

    def read(self) -> tuple[int, dict[str, float]] | None:
        """Add the gathered rows to the totals.

        Returns:
            None, or the first row that is not finite: how many rows after it have been
            gathered, and its values by column.
        """
        rows = self._total(self._rows[: len(self._images)].double()).cpu().tolist()
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
        return None

    def means(self) -> dict[str, float]:
        """The means over the images read so far, as `train/<name>`, and the head's accuracy."""
        *sums, correct, labelled = self.totals
        means = {
            f"train/{column}": total / max(self.images, 1)
            for column, total in zip(self.columns, sums, strict=False)
        }
        if "guidance" in self.columns:
            means["train/guidance_accuracy"] = correct / labelled if labelled else 0.0
        return means

    def reset(self) -> None:
        """Start a new epoch."""
        self.totals = [0.0] * len(self.columns)
        self.images = 0
        self._images.clear()

    def state_dict(self) -> dict[str, object]:
        """What an interrupted epoch needs to go on."""
        return {"totals": list(self.totals), "images": self.images}

    def load_state_dict(self, state: dict) -> None:
        self.totals, self.images = list(state["totals"]), state["images"]
