"""Data sets: two that are checked byte for byte, others through packages, and a user's own."""

from __future__ import annotations

from dvae_core import Dataset, hookimpl
from dvae_plugins.datasets.idx import MNIST, BinarizedMNIST, FashionMNIST
from dvae_plugins.datasets.own import NPZ, ImageFolder
from dvae_plugins.datasets.through_huggingface import HuggingFace
from dvae_plugins.datasets.through_medmnist import MedMNIST
from dvae_plugins.datasets.through_sklearn import ScikitLearn
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
        ScikitLearn,
        MedMNIST,
        HuggingFace,
        NPZ,
        ImageFolder,
    ]
