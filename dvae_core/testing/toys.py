"""Small parts that make a whole run, so that any one component can be tried in it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dvae_core.model.data import load_data
from dvae_core.plugin.kinds import KL, Component, Dataset, Decoder, Encoder, Head, Reconstruction
from dvae_core.plugin.labelled_images import ImageShape, LabelledImages
from dvae_core.plugin.registry import Provider, Registry
from dvae_core.recipe.recipe import Recipe, build_recipe
from dvae_core.recipe.source import RecipeSource
from dvae_core.training.state import Training

SHAPE: ImageShape = (1, 12, 12)


class ToyDataset(Dataset):
    """Noise with a bright bar whose place tells the class; some labels are missing."""

    name = "toy"

    def load(self, cache: Path) -> LabelledImages:
        rng = np.random.default_rng(0)

        def part(n: int) -> tuple[np.ndarray, np.ndarray]:
            labels = np.arange(n) % 3
            images = rng.integers(0, 80, (n, *SHAPE))
            for c in range(3):
                images[labels == c, :, 4 * c : 4 * c + 3] += 150
            labels[:5] = -1
            return images.astype(np.uint8), labels.astype(np.int64)

        return LabelledImages(*part(150), *part(60), classes=("low", "middle", "high"))


class ToyEncoder(Encoder):
    """One linear layer."""

    name = "toy"

    def build(self, image_shape: ImageShape) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), 16), nn.Tanh())


class ToyDecoder(Decoder):
    """One linear layer."""

    name = "toy"

    def build(self, latent_dim: int, image_shape: ImageShape) -> nn.Module:
        return nn.Sequential(
            nn.Linear(latent_dim, int(np.prod(image_shape))), nn.Unflatten(1, image_shape)
        )


class ToyReconstruction(Reconstruction):
    """Squared error."""

    name = "toy"

    def image(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).square().flatten(1).sum(dim=1)

    def log_constant(self, pixels: int) -> float:
        return -0.5 * pixels * math.log(math.pi)


class ToyKL(KL):
    """The divergence to the standard normal distribution."""

    name = "toy"
    divergence = True

    def build(
        self, latent_dim: int, classes: tuple[str, ...]
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        return _Normal(torch.eye(len(classes), latent_dim))


class _Normal:
    """The divergence to N(0, 1), with places for the classes, which a term may ask for."""

    def __init__(self, means: Tensor) -> None:
        self.means = means

    def __call__(self, mean: Tensor, log_var: Tensor, labels: Tensor) -> Tensor:
        return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)


class ToyHead(Head):
    """One linear layer."""

    name = "toy"

    def build(self, latent_dim: int, classes: tuple[str, ...]) -> nn.Module:
        return nn.Linear(latent_dim, len(classes))


TOYS: tuple[type[Component], ...] = (
    ToyDataset,
    ToyEncoder,
    ToyDecoder,
    ToyReconstruction,
    ToyKL,
    ToyHead,
)


def toy_registry(*components: type[Component]) -> Registry:
    """A registry of the toys and the given components."""
    registry = Registry()
    for cls in (*TOYS, *components):
        registry.providers.append(Provider(cls.kind, cls.name, cls, "toys", "none", "0"))
    return registry


def toy_recipe(registry: Registry, **tables: Any) -> Recipe:
    """A recipe of toys that trains in a fraction of a second; `tables` are laid over it."""
    toy = {"name": "toy"}
    table: dict[str, Any] = {
        **{key: dict(toy) for key in ("dataset", "encoder", "decoder", "reconstruction", "kl")},
        "guidance": {"name": "toy", "weight": 5.0},
        "train": {"epochs": 2, "batch_size": 50, "device": "cpu"},
        "optimizer": {"name": "Adam", "lr": 0.01},
        "evaluate": {"metrics": [], "plots": []},
    }
    return build_recipe(RecipeSource(table | tables), "toy", registry)


@functools.cache
def toy_training() -> Training:
    """A toy run after two epochs."""
    recipe = toy_recipe(toy_registry())
    training = Training(recipe, load_data(recipe.dataset))
    for _ in range(recipe.train.epochs):
        for batch in training.batches.epoch(training.epoch):
            training.take_step(*batch)
        training.ledger.read()
        training.finish_epoch()
    training.model.pairs = ((0, 1),)  # a term may ask for some
    training.train(False)
    return training
