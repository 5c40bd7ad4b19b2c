"""The guided VAE: encoder, posterior, decoder and guidance head in one module."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.model.posteriors import IndependentNormal
from dvae_core.plugin.given import Outputs, Sample
from dvae_core.plugin.kinds import Component
from dvae_core.plugin.labelled_images import ImageShape
from dvae_core.recipe.recipe import Recipe


class GuidedVAE(nn.Module):
    """A VAE whose latent sample is also classified.

    Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv:1312.6114), with a guidance
    head on z. What the posterior gives is float32 whatever the precision of the networks.
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
        posterior: nn.Module | None = None,
        reconstruction: Any = None,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.posterior = posterior or IndependentNormal(features, latent_dim)
        self.decoder = decoder
        self.head = head
        self.reconstruction = reconstruction
        self.latent_dim = latent_dim
        self.image_shape = image_shape
        self.classes = classes
        self.pairs = pairs
        self.conditional = conditional
        """Whether the decoder takes labels."""
        self._kl: tuple[Any, ...] = ()
        self._prior_is_told = False
        self._has_prior = True
        self.register_load_state_dict_pre_hook(read_old_names)

    def take_prior(self, kl: Any, *, given_outputs: bool = False, divergence: bool = True) -> None:
        """Learn which KL the model is trained with, for its prior; only a divergence has one."""
        self._kl = (kl,)  # in a tuple: its parameters are not the model's
        self._prior_is_told = given_outputs
        self._has_prior = divergence

    @property
    def kl(self) -> Any:
        """What the recipe's KL built."""
        return next(iter(self._kl), None)

    @property
    def class_means(self) -> Tensor | None:
        """[K, D]: where the prior has its classes; None where it has no such places."""
        return getattr(self.kl, "means", None)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) [B] of latent points [B, D] under the prior of an image without a label.

        A KL of mean and log_var, which must be a divergence, says it: KL(N(z, v) || p) =
        -H(N(z, v)) - E log p, and the mean of log p over N(z, v) is log p(z) when the variance v is
        next to nothing. A KL that is given the outputs must have a `log_prior` of its own.

        Raises:
            ValueError: it has none, or is no divergence.
        """
        if not self._has_prior:
            raise ValueError("the KL is no divergence, and so from no prior")
        if self._prior_is_told:
            if not hasattr(self.kl, "log_prior"):
                raise ValueError("the KL has no log_prior, which would say its prior's density")
            own: Tensor = self.kl.log_prior(z)
            return own
        log_v = -20.0
        hidden = torch.full((len(z),), -1, device=z.device)
        entropy = 0.5 * z.shape[1] * (math.log(2 * math.pi) + 1 + log_v)
        log_density: Tensor = -self.kl(z, torch.full_like(z, log_v), hidden) - entropy
        return log_density

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """mean and log_var, [B, D] each, of images [B, C, H, W]."""
        sample = self.sample(images, images.new_zeros(images.shape[0], self.latent_dim))
        return sample.mean, sample.log_var

    def sample(self, images: Tensor, noise: Tensor) -> Sample:
        """Samples of the posteriors of images [B, C, H, W]; noise [B, D] is standard normal."""
        sample: Sample = self.posterior(self.encoder(images), noise)
        return sample

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [B, M, H, W] of latent points [B, D].

        A conditional decoder is shown the labels [B]; -1, and none at all, is a hidden one.
        """
        if not self.conditional:
            logits: Tensor = self.decoder(z)
        else:
            if labels is None:
                labels = torch.full((z.shape[0],), -1, device=z.device)
            logits = self.decoder(z, labels)
        return logits.float()

    def classify(self, z: Tensor) -> Tensor | None:
        """The head's class logits [B, K] of latent points [B, D]; None without guidance."""
        return None if self.head is None else self.head(z).float()

    def forward(
        self,
        images: Tensor,
        noise: Tensor,
        labels: Tensor | None = None,
        decoded: Tensor | None = None,
    ) -> Outputs:
        """Encode, sample with standard normal noise [B, D], decode and classify.

        `decoded` is what is to be decoded, where that is not what goes in.
        """
        sample = self.sample(images, noise)
        z = sample.z
        logits, classified = self.decode(z, labels), self.classify(z)
        wanted = images if decoded is None else decoded
        return Outputs(wanted, sample.mean, sample.log_var, z, logits, classified, sample)


def read_old_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before posteriors were a kind, the linear maps to mean and log_var were the model's own."""
    old = (f"{prefix}to_mean.", f"{prefix}to_log_var.")
    for name in [name for name in state if name.startswith(old)]:
        state[f"{prefix}posterior.{name.removeprefix(prefix)}"] = state.pop(name)


def build_model(recipe: Recipe, image_shape: ImageShape, classes: tuple[str, ...]) -> GuidedVAE:
    """The recipe's model, checked against the shapes that its parts promise.

    Raises:
        RecipeError: a part cannot take these images.
        DvaeError: a part does not keep its kind's contract.
    """
    dim = recipe.latent.dim
    likeness, conditional = recipe.reconstruction.component, recipe.decoder.given_labels
    decoded_shape = (likeness.channels(image_shape), *image_shape[1:])
    with _fitting():
        encoder = recipe.encoder.build(image_shape)
        names: Any = (classes,) if conditional else ()
        decoder = recipe.decoder.build(dim, decoded_shape, *names)
        head = recipe.guidance.component.build(dim, classes) if recipe.guidance else None
        reconstruction = likeness.build(image_shape)
    with torch.no_grad():
        features = encoder(torch.zeros(2, *image_shape))
        _expect(recipe.encoder, features, (2, None))
        labels = (torch.tensor([0, -1]),) if conditional else ()
        _expect(recipe.decoder, decoder(torch.zeros(2, dim), *labels), (2, *decoded_shape))
        if head is not None and recipe.guidance is not None:
            _expect(recipe.guidance.component, head(torch.zeros(2, dim)), (2, len(classes)))
    posterior = None
    if recipe.posterior:
        with _fitting():
            posterior = recipe.posterior.build(features.shape[1], dim)
        _expect_sample(recipe.posterior, posterior, features, dim)
    return GuidedVAE(
        encoder,
        decoder,
        head,
        features=features.shape[1],
        latent_dim=dim,
        image_shape=image_shape,
        classes=classes,
        pairs=recipe.named_pairs(classes),
        posterior=posterior,
        reconstruction=reconstruction,
        conditional=conditional,
    )


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise RecipeError(f"the model does not fit the data: {error}") from error


def _expect_sample(part: Component, posterior: nn.Module, features: Tensor, dim: int) -> None:
    with torch.no_grad():
        sample = posterior(features, torch.zeros(2, dim))
    if not isinstance(sample, Sample):
        raise DvaeError(
            f'{part.kind} "{part.name}" gave {type(sample).__name__}, not a dvae_core.Sample'
        )
    for tensor in (sample.z, sample.mean, sample.log_var):
        _expect(part, tensor, (2, dim))


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
