"""Latent spaces whose areas, borders and paths one computes by hand."""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace

import numpy as np
from scipy.stats import qmc

from dvae_core.latent.borders.judge import Judge
from dvae_core.latent.borders.paths import paths
from dvae_core.latent.borders.regions import regions
from dvae_core.latent.snapshot import Snapshot


def snapshot_of(train_means, train_labels, test_means, test_labels, classes=("a", "b")):
    """A snapshot whose images lie where we say."""
    snapshot = Snapshot.__new__(Snapshot)
    snapshot.__dict__ |= {
        "train_means": np.asarray(train_means, np.float32),
        "test_means": np.asarray(test_means, np.float32),
        "train_labels": np.asarray(train_labels),
        "test_labels": np.asarray(test_labels),
        "classes": tuple(classes),
        "seed": 0,
        "_networks": SimpleNamespace(model=SimpleNamespace(conditional=False)),
    }
    return snapshot


class Space:
    """A latent space that is full of images wherever `label` gives a class."""

    def __init__(self, label, low, high, classes, n=2**15):
        def points(n, seed):
            # Evenly spread: random points have holes, which are void.
            drawn = qmc.scale(qmc.Sobol(len(low), rng=seed).random(n), low, high)
            labels = label(drawn)
            return drawn[labels >= 0], labels[labels >= 0]

        self.train, self.train_labels = points(n, 0)
        self.test, self.test_labels = points(n // 4, 1)
        self.classes = classes

    @cached_property
    def judge(self):
        return Judge(self.train, self.train_labels, self.test, self.classes)

    @cached_property
    def regions(self):
        return regions(self.judge, self.train, self.test, self.test_labels)

    def paths(self, **options):
        return paths(self.judge, self.test, self.test_labels, np.random.default_rng(1), **options)

    def turned(self, degrees):
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return self._with(train=self.train @ turn, test=self.test @ turn)

    def renamed(self, numbers):
        return self._with(
            train_labels=numbers[self.train_labels], test_labels=numbers[self.test_labels]
        )

    def _with(self, **changed):
        other = object.__new__(Space)
        names = ("train", "train_labels", "test", "test_labels", "classes")
        other.__dict__ = {name: getattr(self, name) for name in names} | changed
        return other
