"""Launchers: where the runs of a sweep go on."""

from __future__ import annotations

from dvae_core import Launcher, hookimpl
from dvae_plugins.launchers.local import Local
from dvae_plugins.launchers.on_ray import Ray
from dvae_plugins.launchers.slurm import Slurm


@hookimpl
def register_launchers() -> list[type[Launcher]]:
    return [Local, Ray, Slurm]
