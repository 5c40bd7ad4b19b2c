"""A model's networks, as they look from outside: NumPy in, NumPy out, in pieces that fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dvae_core.model.batches import scaled, to_device
from dvae_core.model.device import autocast
from dvae_core.model.guided_vae import GuidedVAE
from dvae_core.recipe.recipe import Recipe

CHUNK = 1000
"""Images or points that are on the device at once."""
IN_CACHE = 250
"""How many of them a processor takes through a network at once, so that what a convolution makes of
them stays in its cache."""


class Networks:
    """Encoder, decoder and head of a model on its device, in the precision of its recipe."""

    def __init__(self, model: GuidedVAE, recipe: Recipe, device: torch.device) -> None:
        self.model = model
        self.device = device
        self._image = recipe.reconstruction.component.image
        self._precision = recipe.train.precision
        self._at_once = IN_CACHE if device.type == "cpu" else CHUNK

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mean and log_var [P, D] of images [P, C, H, W], uint8 or float in [0, 1]."""

        def both(chunk: Tensor) -> Tensor:
            return torch.stack(self.model.encode(chunk), dim=1)

        posterior = self._through(both, images)
        return posterior[:, 0], posterior[:, 1]

    def decode(self, points: np.ndarray) -> np.ndarray:
        """Images float32 [P, C, H, W] in [0, 1] of latent points [P, D]."""
        return self._through(lambda z: self._image(self.model.decode(z)), points)

    def classify(self, points: np.ndarray) -> np.ndarray | None:
        """The head's class probabilities [P, K] at latent points [P, D]; None without guidance."""
        head = self.model.head
        if head is None:
            return None
        return self._through(lambda z: head(z).float().softmax(dim=1), points)

    def logits(self, z: Tensor) -> Tensor:
        """Of latent points [P, D] on the device, [P, C, H, W]."""
        return self._in_pieces(self.model.decode, z)

    def _through(self, network: Callable[[Tensor], Tensor], inputs: np.ndarray) -> np.ndarray:
        results = []
        with torch.inference_mode():
            for start in range(0, len(inputs), CHUNK):
                tensor = self._on_device(inputs[start : start + CHUNK])
                results.append(self._in_pieces(network, tensor).float().cpu().numpy())
        return np.concatenate(results)

    def _on_device(self, inputs: np.ndarray) -> Tensor:
        if inputs.dtype == np.uint8:
            return scaled(to_device(inputs, self.device))
        if inputs.ndim == 4:
            return to_device(inputs.astype(np.float32), self.device)
        return torch.from_numpy(np.require(inputs, np.float32, ["C", "W"])).to(self.device)

    def _in_pieces(self, network: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        with autocast(self.device, self._precision):
            return torch.cat([network(piece) for piece in inputs.split(self._at_once)])
