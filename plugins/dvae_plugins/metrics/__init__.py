"""Metrics: numbers from a snapshot."""

from __future__ import annotations

from dvae_core import Metric, hookimpl
from dvae_plugins.metrics.borders import Borders
from dvae_plugins.metrics.latent import KNN, ActiveUnits, LinearProbe, Silhouette


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [KNN, Borders, LinearProbe, Silhouette, ActiveUnits]
