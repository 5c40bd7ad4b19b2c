"""What reconstruction and KL say of images: their means, and bounds on the likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dvae_core.latent.networks import CHUNK, HIDDEN, Networks
from dvae_core.model.batches import some_of
from dvae_core.model.objective import Objective
from dvae_core.model.posteriors import IndependentNormal
from dvae_core.plugin.given import Outputs, Sample
from dvae_core.randomness import generator
from dvae_core.recipe.recipe import Recipe


class Losses:
    """The losses of the images that a snapshot looks at.

    Args:
        images: uint8 or float32 [M, C, H, W].
        labels: int64 [M]; -1 is unlabelled.
        posterior: gives mean and log_var [M, D] of the images.
    """

    def __init__(
        self,
        recipe: Recipe,
        networks: Networks,
        objective: Objective,
        images: np.ndarray,
        labels: np.ndarray,
        posterior: Callable[[], tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self._recipe = recipe
        self._networks = networks
        self._objective = objective
        self._images = images
        self._labels = labels
        self._posterior = posterior

    def means(self) -> dict[str, float]:
        """As `Snapshot.test_losses`."""
        device, count, dim = self._networks.device, len(self._images), self._recipe.latent.dim
        noises = torch.randn((count, dim), generator=generator(self._recipe.seed, "test noise"))
        all_labels = torch.from_numpy(self._labels.copy()).to(device)
        sums = torch.zeros(2, dtype=torch.float64)
        with torch.inference_mode():
            for start in range(0, count, CHUNK):
                part = slice(start, start + CHUNK)
                images, labels = some_of(self._images, part, device), all_labels[part]
                sample = self._sampler(part, images)(noises[part].to(device))
                logits = self._networks.logits(sample.z, labels)
                losses = self._objective.reconstruction.loss(logits, images)
                classified = self._networks.class_logits(sample.z)
                outputs = Outputs(
                    images, sample.mean, sample.log_var, sample.z, logits, classified, sample
                )
                kl = self._objective.kl_of(outputs, labels)
                sums += torch.stack([losses.sum(), kl.sum()]).cpu().double()
        reconstruction, kl_mean = (sums / count).tolist()
        return {"reconstruction": reconstruction, "kl": kl_mean}

    def log_likelihood(self, chosen: np.ndarray, samples: int) -> np.ndarray:
        """As `Snapshot.log_likelihood`."""
        pixels = math.prod(self._images.shape[1:])
        constant = self._recipe.reconstruction.component.log_constant(pixels)
        if self._objective.no_bound or constant is None:
            raise ValueError(f"there is no bound on the likelihood: {self._objective.no_bound}")
        device, dim = self._networks.device, self._recipe.latent.dim
        noises = generator(self._recipe.seed, "importance samples")
        bounds = []
        with torch.inference_mode():
            for start in range(0, len(chosen), CHUNK):
                part = chosen[start : start + CHUNK]
                images = some_of(self._images, part, device)
                hidden = torch.full((len(part),), HIDDEN, device=device)
                sampler = self._sampler(part, images)
                log_weights = []
                for _ in range(samples):
                    sample = sampler(torch.randn((len(part), dim), generator=noises).to(device))
                    if sample.log_density is None:
                        raise ValueError("the posterior does not say its density, log_q")
                    logits = self._networks.logits(sample.z, hidden)
                    log_p = constant - self._objective.reconstruction.loss(logits, images)
                    log_prior = self._networks.model.log_prior(sample.z)
                    log_weights.append(log_p + log_prior - sample.log_density)
                bound = torch.logsumexp(torch.stack(log_weights), dim=0) - math.log(samples)
                bounds.append(bound.cpu().double().numpy())
        return np.concatenate(bounds)

    def _sampler(self, part: slice | np.ndarray, images: Tensor) -> Callable[[Tensor], Sample]:
        """Makes samples of the posteriors of some of the images, which are given, out of noise."""
        device = self._networks.device
        if type(self._networks.model.posterior) is not IndependentNormal:
            features = self._networks.features(images)
            return lambda noise: self._networks.sample(features, noise)
        means, log_vars = (a[part] for a in self._posterior())  # no need to encode them again
        mean, log_var, std = (
            torch.tensor(a, device=device) for a in (means, log_vars, np.exp(0.5 * log_vars))
        )
        return lambda noise: Sample(mean + noise * std, mean, log_var, noise=noise)
