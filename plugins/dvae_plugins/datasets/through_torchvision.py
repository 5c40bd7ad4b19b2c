"""Data sets that torchvision downloads and reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dvae_core import DataError, Dataset, LabelledImages, RecipePath
from dvae_plugins.datasets.download import download

if TYPE_CHECKING:
    import numpy as np


class _TorchvisionDataset(Dataset):
    root: RecipePath | None = None
    """A folder that torchvision has downloaded to before; the cache, if left out."""

    class_name: ClassVar[str]
    """The class in torchvision.datasets."""
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    train_arguments: ClassVar[dict[str, Any]] = {"train": True}
    test_arguments: ClassVar[dict[str, Any]] = {"train": False}

    def load(self, cache: Path) -> LabelledImages:
        from torchvision import datasets

        root = self.root or cache / "torchvision" / self._folder()
        parts = [a | self._arguments() for a in (self.train_arguments, self.test_arguments)]
        if self.root is None and not root.exists():
            self._download(root, parts)
        try:
            train, test = (getattr(datasets, self.class_name)(root, **part) for part in parts)
        except Exception as error:  # a damaged file fails torchvision's assertions, and more
            advice = "set another root" if self.root else "remove the folder to download it afresh"
            reason = str(error) or "damaged files"
            raise DataError(f"{root}: no readable {self.name} there: {reason}; {advice}") from error
        return LabelledImages(
            self._images(train),
            self._labels(train),
            self._images(test),
            self._labels(test),
            self._classes(train),
        )

    def image_shape(self) -> tuple[int, int, int]:
        return self.shape

    def _download(self, root: Path, parts: list[dict[str, Any]]) -> None:
        try:
            download(self.class_name, root, parts)
        except Exception as error:
            raise DataError(
                f"{self.name} is not on this machine and cannot be downloaded "
                f"({type(error).__name__}: {error}). Connect to the network and run again, or set "
                f"root to a folder that torchvision.datasets.{self.class_name} has filled"
            ) from error

    def _folder(self) -> str:
        return self.name

    def _arguments(self) -> dict[str, Any]:
        return {}

    def _images(self, part: Any) -> np.ndarray:
        """uint8 [N, C, H, W]."""
        import numpy as np

        return np.asarray(part.data)[:, None]

    def _labels(self, part: Any) -> np.ndarray:
        import numpy as np

        return np.asarray(part.targets, dtype=np.int64)

    def _classes(self, part: Any) -> tuple[str, ...]:
        return tuple(part.classes)


class KMNIST(_TorchvisionDataset):
    """Kuzushiji-MNIST: ten cursive Japanese characters, 28x28 grey (arXiv:1812.01718)."""

    name = "kmnist"
    class_name = "KMNIST"

    def size(self) -> int:
        return 60_000


class EMNIST(_TorchvisionDataset):
    """Handwritten letters and digits, 28x28 grey (arXiv:1702.05373)."""

    name = "emnist"
    class_name = "EMNIST"

    split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"] = "balanced"
    """Which of its six parts."""

    def _folder(self) -> str:
        return f"{self.name}-{self.split}"

    def _arguments(self) -> dict[str, Any]:
        return {"split": self.split}

    def _images(self, part: Any) -> np.ndarray:
        # The files hold each image mirrored at its diagonal.
        return super()._images(part).swapaxes(2, 3)

    def _labels(self, part: Any) -> np.ndarray:
        return super()._labels(part) - self._first_label()

    def _classes(self, part: Any) -> tuple[str, ...]:
        return tuple(part.classes[self._first_label() :])

    def _first_label(self) -> int:
        return 1 if self.split == "letters" else 0


class QMNIST(_TorchvisionDataset):
    """MNIST made again from its source, with 60,000 test images (arXiv:1905.10498)."""

    name = "qmnist"
    class_name = "QMNIST"
    train_arguments: ClassVar[dict[str, Any]] = {"what": "train"}
    test_arguments: ClassVar[dict[str, Any]] = {"what": "test"}

    def size(self) -> int:
        return 60_000

    def _labels(self, part: Any) -> np.ndarray:
        return super()._labels(part)[:, 0]

    def _classes(self, part: Any) -> tuple[str, ...]:
        return tuple("0123456789")


class USPS(_TorchvisionDataset):
    """Digits from envelopes, 16x16 grey, 7,291 + 2,007."""

    name = "usps"
    class_name = "USPS"
    shape = (1, 16, 16)

    def size(self) -> int:
        return 7_291

    def _classes(self, part: Any) -> tuple[str, ...]:
        return tuple("0123456789")


class CIFAR10(_TorchvisionDataset):
    """Photographs of ten kinds of things, 32x32 in colour, 50,000 + 10,000."""

    name = "cifar10"
    class_name = "CIFAR10"
    shape = (3, 32, 32)

    def size(self) -> int:
        return 50_000

    def _images(self, part: Any) -> np.ndarray:
        import numpy as np

        return np.asarray(part.data).transpose(0, 3, 1, 2)
