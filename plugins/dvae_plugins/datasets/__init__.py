"""Data sets: two that are checked byte for byte, five through torchvision, and a user's own."""

from __future__ import annotations

from dvae_core import Dataset, hookimpl
from dvae_plugins.datasets.idx import MNIST, BinarizedMNIST, FashionMNIST
from dvae_plugins.datasets.own import NPZ, ImageFolder
from dvae_plugins.datasets.through_torchvision import CIFAR10, EMNIST, KMNIST, QMNIST, USPS


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [
        MNIST,
        BinarizedMNIST,
        FashionMNIST,
        KMNIST,
        EMNIST,
        QMNIST,
        USPS,
        CIFAR10,
        NPZ,
        ImageFolder,
    ]
