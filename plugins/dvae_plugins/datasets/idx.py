"""MNIST and Fashion-MNIST: IDX files whose SHA-256 is checked before use."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator

from dvae_core import DataError, Dataset, LabelledImages
from dvae_plugins.datasets.download import download

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
LARGEST = 47_040_016
"""Bytes of the largest of these files once unpacked."""


class _IDXDataset(Dataset):
    hashes: ClassVar[tuple[str, str, str, str]]
    """SHA-256 of each of FILES, unpacked."""
    class_names: ClassVar[tuple[str, ...]]

    def size(self) -> int:
        return 60_000

    def image_shape(self) -> tuple[int, int, int]:
        return (1, 28, 28)

    def _read(self, folder: Path, advice: str) -> LabelledImages:
        arrays = [
            read_idx(folder, name, sha256, advice)
            for name, sha256 in zip(FILES, self.hashes, strict=True)
        ]
        train_images, train_labels, test_images, test_labels = arrays
        return LabelledImages(
            train_images[:, None],
            train_labels.astype("int64"),
            test_images[:, None],
            test_labels.astype("int64"),
            self.class_names,
        )


class MNIST(_IDXDataset):
    """Handwritten digits, 28x28 grey, 60,000 + 10,000; ships with this package."""

    name = "mnist"
    class_names = tuple("0123456789")
    hashes = (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )

    def load(self, cache: Path) -> LabelledImages:
        return self._read(Path(__file__).parent / "mnist", "reinstall dvae-core")


class BinarizedMNIST(MNIST):
    """MNIST in black and white: each pixel is on with its brightness as probability.

    Drawn anew at each step of training, once for the test images. It is what the likelihoods of
    the literature are given on (dynamic binarization: Salakhutdinov and Murray 2008; Burda et al.,
    "Importance Weighted Autoencoders", arXiv:1509.00519).
    """

    name = "binarized_mnist"

    @field_validator("validation_fraction")
    @classmethod
    def _drawn_images_alone_are_measured(cls, value: float | None) -> float | None:
        if value is not None:
            raise ValueError(
                "its training images are drawn anew at each step, so that none can be held out"
            )
        return value

    def load(self, cache: Path) -> LabelledImages:
        import numpy as np

        images = super().load(cache)
        drawn = np.random.default_rng(0).random(images.test_images.shape)
        black_and_white = np.uint8(255) * (drawn < images.test_images / 255)
        return dataclasses.replace(images, test_images=black_and_white)

    def augment(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor | tuple[Tensor, Tensor]:
        changed = super().augment(images, labels, generator)
        if isinstance(changed, tuple):
            seen, target = changed
            return seen.bernoulli(generator=generator), target.bernoulli(generator=generator)
        return changed.bernoulli(generator=generator)


class FashionMNIST(_IDXDataset):
    """Photographs of clothes, 28x28 grey, 60,000 + 10,000; found on this machine or downloaded."""

    name = "fashion_mnist"
    class_names = (
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
    hashes = (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    )
    debian_folder: ClassVar[Path] = Path("/usr/share/datasets/fashion-mnist")

    def load(self, cache: Path) -> LabelledImages:
        own = cache / "fashion_mnist"
        for folder in (own, self.debian_folder):
            if any(
                (folder / f"{name}{ending}").exists() for name in FILES for ending in ("", ".gz")
            ):
                return self._read(folder, f"remove {folder} to get the data afresh")
        try:
            download("FashionMNIST", own, take="FashionMNIST/raw")
        except Exception as error:
            raise DataError(
                f"Fashion-MNIST is not on this machine and cannot be downloaded "
                f"({type(error).__name__}: {error}). One of these helps: connect to the network "
                f"and run again; install Debian's package dataset-fashion-mnist; or put the four "
                f"files {', '.join(FILES)} (gzipped or not) into {own}"
            ) from error
        return self._read(own, f"remove {own} to get the data afresh")


def read_idx(folder: Path, name: str, sha256: str, advice: str) -> np.ndarray:
    """A uint8 array from an IDX file, gzipped or not, once its hash is right.

    Raises:
        DataError: the file is missing, damaged or altered.
    """
    import numpy as np

    packed = folder / f"{name}.gz"
    file = packed if packed.exists() else folder / name
    try:
        with gzip.open(file) if file is packed else file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise DataError(f"{file}: there is no such file; {advice}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: damaged or unreadable: {error}; {advice}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataError(f"{file}: altered or truncated: SHA-256 {found}, not {sha256}; {advice}")
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)
