"""A model's networks, as they look from outside: NumPy in, NumPy out, in pieces that fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvae_core.model.batches import scaled, to_device
from dvae_core.model.device import autocast
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.model.numerics import numerics
from dvae_core.plugin.given import Sample
from dvae_core.recipe.recipe import Recipe

CHUNK = 1000
"""Images or points that are on the device at once."""
HIDDEN = -1
"""The label that says none."""
IN_CACHE = 250
"""How many of them a processor takes through a network at once, so that what a convolution makes of
them stays in its cache."""


def as_arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of a state, as NumPy copies; what a part keeps beside them is left out."""
    tensors = {k: v.detach().cpu() for k, v in state.items() if isinstance(v, Tensor)}
    return {
        name: (v.float() if v.is_floating_point() else v).numpy().copy()
        for name, v in tensors.items()
    }


class Networks:
    """Encoder, decoder and head of a model on its device, in the precision of its recipe."""

    def __init__(self, model: GuidedVAE, recipe: Recipe, device: torch.device) -> None:
        self.model = model
        self.device = device
        self._precision = recipe.train.precision
        self._at_once = IN_CACHE if device.type == "cpu" else CHUNK

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mean and log_var [P, D] of images [P, C, H, W], uint8 or float in [0, 1]."""

        def both(chunk: Tensor) -> Tensor:
            return torch.stack(self.model.encode(chunk), dim=1)

        posterior = self._through(both, images)
        return posterior[:, 0], posterior[:, 1]

    def decode(self, points: np.ndarray, labels: np.ndarray | int = HIDDEN) -> np.ndarray:
        """Images float32 [P, C, H, W] in [0, 1] of latent points [P, D].

        Labels, one or [P], are for a decoder that takes them.
        """
        image = self.model.reconstruction.image
        shown = np.broadcast_to(np.asarray(labels, np.int64), len(points))

        def decoded(z: Tensor, label: Tensor) -> Tensor:
            return image(self.model.decode(z, label))

        return self._through(decoded, points, shown)

    def classify(self, points: np.ndarray) -> np.ndarray | None:
        """The head's class probabilities [P, K] at latent points [P, D]; None without guidance."""
        head = self.model.head
        if head is None:
            return None
        return self._through(lambda z: head(z).float().softmax(dim=1), points)

    def draw(self, images: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """A sample [P, D] of each image's posterior; the noise [P, D] is standard normal."""
        return self._through(lambda some, noise: self.model.sample(some, noise).z, images, noise)

    def reconstruction(self, images: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The recipe's loss [P] between images and what is decoded, with no label, at points."""
        model, hidden = self.model, np.full(len(points), HIDDEN)

        def loss(images: Tensor, z: Tensor, labels: Tensor) -> Tensor:
            return model.reconstruction.loss(model.decode(z, labels), images)

        return self._through(loss, images, points, hidden)

    def features(self, images: Tensor) -> Tensor:
        """Of images [P, C, H, W] on the device, [P, F]."""
        return self._in_pieces(self.model.encoder, images)

    def sample(self, features: Tensor, noise: Tensor) -> Sample:
        """Samples of the posteriors that features [P, F] on the device give."""
        with autocast(self.device, self._precision):
            sample: Sample = self.model.posterior(features, noise)
        return sample

    def class_logits(self, z: Tensor) -> Tensor | None:
        """Of latent points [P, D] on the device, [P, K]; None without guidance."""
        with numerics(self._precision), autocast(self.device, self._precision):
            return self.model.classify(z)

    def logits(self, z: Tensor, labels: Tensor) -> Tensor:
        """Of latent points [P, D] and labels [P] on the device, [P, M, H, W]."""
        return self._in_pieces(self.model.decode, z, labels)

    def _through(self, network: Callable[..., Tensor], *inputs: np.ndarray) -> np.ndarray:
        results = []
        with torch.inference_mode():
            for start in range(0, len(inputs[0]), CHUNK):
                tensors = [self._on_device(some[start : start + CHUNK]) for some in inputs]
                results.append(self._in_pieces(network, *tensors).float().cpu().numpy())
        return np.concatenate(results)

    def _on_device(self, inputs: np.ndarray) -> Tensor:
        if inputs.dtype == np.uint8:
            return scaled(to_device(inputs, self.device))
        if inputs.ndim == 4:
            return to_device(inputs.astype(np.float32), self.device)
        dtype = np.int64 if inputs.ndim == 1 else np.float32
        return torch.from_numpy(np.require(inputs, dtype, ["C", "W"])).to(self.device)

    def _in_pieces(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        pieces = zip(*(some.split(self._at_once) for some in inputs), strict=True)
        with numerics(self._precision), autocast(self.device, self._precision):
            return torch.cat([network(*piece) for piece in pieces])
