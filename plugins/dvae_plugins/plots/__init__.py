"""Plots: figures from a snapshot."""

from __future__ import annotations

from dvae_core import Plot, hookimpl
from dvae_plugins.plots.borders import DirectPaths, Regions
from dvae_plugins.plots.latent import Latent, Manifold, Reconstructions, Weights


@hookimpl
def register_plots() -> list[type[Plot]]:
    return [Latent, Regions, DirectPaths, Manifold, Reconstructions, Weights]
