"""Metrics: numbers from a snapshot."""

from __future__ import annotations

from dvae_core import Metric, hookimpl
from dvae_plugins.metrics.borders import Borders
from dvae_plugins.metrics.latent import (
    IWAE,
    KNN,
    ActiveUnits,
    LinearProbe,
    Silhouette,
    Trustworthiness,
)
from dvae_plugins.metrics.morphs import Morphs


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [KNN, Borders, Morphs, LinearProbe, Silhouette, Trustworthiness, ActiveUnits, IWAE]
