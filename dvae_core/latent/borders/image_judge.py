"""The image judge: a small network that says what an image looks like."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dvae_core.errors import DvaeError
from dvae_core.files import cache_folder, write_atomically
from dvae_core.model.batches import scaled, to_device
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.randomness import set_aside

VERSION = 1
"""Changes with the network or its training, so that no older judge is taken from the cache."""
EPOCHS = 5
STEPS = 400
"""A small data set is seen for more epochs than five, for so many steps."""
BATCH = 128
CHUNK = 250
"""Images that are judged at once: what a convolution makes of them stays in the cache."""
HEAD = 2
"""Layers after the last hidden one."""


class ImageJudge:
    """A classifier of images, trained on real training images alone, never on decoded ones."""

    def __init__(self, network: nn.Module, accuracy: float, digest: str) -> None:
        # The format in which torch's convolutions are quickest: twice as quick here.
        self._network = network.eval().to(memory_format=torch.channels_last)
        self.accuracy = accuracy
        """On the test images; nan where none has a label."""
        self.digest = digest
        """SHA-256 of the images and labels that it learnt from."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities [P, K] of images [P, C, H, W], uint8 or float in [0, 1]."""
        return _outputs(self._network, images).softmax(dim=1).cpu().numpy()

    def features(self, images: np.ndarray) -> np.ndarray:
        """What the network sees in images, as `probabilities` takes them: its last hidden layer.

        Returns:
            [P, F], F = 128; none is negative.
        """
        assert isinstance(self._network, nn.Sequential)
        hidden = self._network[:-HEAD]
        return _outputs(hidden, images).cpu().numpy()


def image_judge_of(
    data: LabelledImages,
    device: torch.device,
    say: Callable[[str], None] = lambda text: None,
) -> ImageJudge:
    """The judge of a data set: out of the cache, or trained now, once and for all runs.

    It draws no random number that a run would miss.
    """
    images, labels = data.train_images, data.train_labels
    if (labels < 0).any():
        images, labels = images[labels >= 0], labels[labels >= 0]
    name = _digest(f"{VERSION} {len(data.classes)} {images.shape}", images, labels)
    file = cache_folder() / "image-judges" / f"{name[:16]}.pt"
    with set_aside(0, "image judge"):
        network = _network(data.image_shape, len(data.classes)).to(device)
        accuracies = _read(file, network, device)
    if accuracies is None:
        with set_aside(0, "image judge"):
            network = _network(data.image_shape, len(data.classes)).to(device)
            _train(network, images, labels, device, say)
        accuracies = {}
    tests = _digest("", data.test_images, data.test_labels)
    if tests not in accuracies:
        accuracies[tests] = _accuracy(network.eval(), data.test_images, data.test_labels)
        buffer = io.BytesIO()
        torch.save({"network": network.state_dict(), "accuracies": accuracies}, buffer)
        with contextlib.suppress(OSError, DvaeError):  # a cache is a convenience
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, buffer.getvalue())
    return ImageJudge(network, accuracies[tests], name)


def _digest(what: str, images: np.ndarray, labels: np.ndarray) -> str:
    digest = hashlib.sha256(what.encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def _read(file: Path, network: nn.Module, device: torch.device) -> dict[str, float] | None:
    """Load a network that was kept, and say how it did on which test images.

    None where it must be made again: what is there is damaged, or of something else.
    """
    with contextlib.suppress(Exception):
        kept = torch.load(file, map_location=device, weights_only=True)
        network.load_state_dict(kept["network"])
        return dict(kept.get("accuracies", {}))  # earlier versions did not say which images
    return None


def _accuracy(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    known = labels >= 0
    if not known.any():
        return math.nan
    chosen = _outputs(network, images[known]).argmax(dim=1).cpu().numpy()
    return float((chosen == labels[known]).mean())


def _network(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Blocks of convolution and pooling, until at most 7 x 7 pixels are left."""
    channels, height, width = image_shape
    layers: list[nn.Module] = []
    wide = 16
    while max(height, width) > 7 and min(height, width) > 1:
        layers += [nn.Conv2d(channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels, wide = wide, min(2 * wide, 128)
        height, width = height // 2, width // 2
    layers += [nn.Flatten(), nn.Linear(channels * height * width, 128), nn.ReLU()]
    layers += [nn.Dropout(0.3), nn.Linear(128, classes)]  # HEAD
    return nn.Sequential(*layers)


def _train(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    device: torch.device,
    say: Callable[[str], None],
) -> None:
    steps_per_epoch = -(-len(images) // BATCH)
    epochs = max(EPOCHS, -(-STEPS // steps_per_epoch))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    pace = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    network.train()
    for epoch in range(epochs):
        say(f"training an image judge, once for this data set: epoch {epoch + 1} of {epochs}")
        order = np.random.permutation(len(images))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            logits = network(scaled(torch.from_numpy(images[batch]).to(device)))
            loss = F.cross_entropy(logits, torch.from_numpy(labels[batch]).to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step()


def _outputs(network: nn.Module, images: np.ndarray) -> Tensor:
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), CHUNK):
            parts.append(network(scaled(to_device(images[start : start + CHUNK], device)).float()))
    return torch.cat(parts)
