"""The guided VAE: encoder, decoder and guidance head in one module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.plugin.given import Outputs
from dvae_core.plugin.kinds import Component
from dvae_core.plugin.labelled_images import ImageShape
from dvae_core.recipe.recipe import Recipe


class GuidedVAE(nn.Module):
    """A VAE whose latent sample is also classified.

    Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114), with a guidance
    head on z. Means and log-variances are float32 whatever the precision of the networks.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        head: nn.Module | None,
        *,
        features: int,
        latent_dim: int,
        image_shape: ImageShape,
        classes: tuple[str, ...],
        pairs: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.to_mean = nn.Linear(features, latent_dim)
        self.to_log_var = nn.Linear(features, latent_dim)
        self.decoder = decoder
        self.head = head
        self.latent_dim = latent_dim
        self.image_shape = image_shape
        self.classes = classes
        self.pairs = pairs
        self._prior: tuple[Any, ...] = ()
        for linear in (self.to_mean, self.to_log_var):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def take_prior(self, kl: Any) -> None:
        """Learn which KL the model is trained with, for `class_means`."""
        self._prior = (kl,)  # in a tuple: its parameters are not the model's

    @property
    def class_means(self) -> Tensor | None:
        """[K, D]: where the prior has its classes; None where it has no such places."""
        return next((getattr(kl, "means", None) for kl in self._prior), None)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """mean and log_var, [B, D] each, of images [B, C, H, W]."""
        features = self.encoder(images)
        return self.to_mean(features).float(), self.to_log_var(features).float()

    def decode(self, z: Tensor) -> Tensor:
        """Logits [B, C, H, W] of latent points [B, D]."""
        logits: Tensor = self.decoder(z)
        return logits.float()

    def classify(self, z: Tensor) -> Tensor | None:
        """The head's class logits [B, K] of latent points [B, D]; None without guidance."""
        return None if self.head is None else self.head(z).float()

    def forward(self, images: Tensor, noise: Tensor) -> Outputs:
        """Encode, sample with standard normal noise [B, D], decode and classify."""
        mean, log_var = self.encode(images)
        z = mean + noise * torch.exp(0.5 * log_var)
        return Outputs(images, mean, log_var, z, self.decode(z), self.classify(z))


def build_model(recipe: Recipe, image_shape: ImageShape, classes: tuple[str, ...]) -> GuidedVAE:
    """The recipe's model, checked against the shapes that its parts promise.

    Raises:
        RecipeError: a part cannot take these images.
        DvaeError: a part does not keep its kind's contract.
    """
    dim = recipe.latent.dim
    try:
        encoder = recipe.encoder.build(image_shape)
        decoder = recipe.decoder.build(dim, image_shape)
        head = recipe.guidance.component.build(dim, classes) if recipe.guidance else None
    except ValueError as error:
        raise RecipeError(f"the model does not fit the data: {error}") from error
    with torch.no_grad():
        features = encoder(torch.zeros(2, *image_shape))
        _expect(recipe.encoder, features, (2, None))
        _expect(recipe.decoder, decoder(torch.zeros(2, dim)), (2, *image_shape))
        if head is not None and recipe.guidance is not None:
            _expect(recipe.guidance.component, head(torch.zeros(2, dim)), (2, len(classes)))
    return GuidedVAE(
        encoder,
        decoder,
        head,
        features=features.shape[1],
        latent_dim=dim,
        image_shape=image_shape,
        classes=classes,
        pairs=recipe.named_pairs(classes),
    )


def _expect(part: Component, output: Tensor, shape: tuple[int | None, ...]) -> None:
    fits = output.ndim == len(shape) and all(
        s in (None, n) for s, n in zip(shape, output.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        raise DvaeError(
            f'{part.kind} "{part.name}" gave a tensor of shape {list(output.shape)} for a batch '
            f"of two, where [{wanted}] is due"
        )
