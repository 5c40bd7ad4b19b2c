"""The checks, by kind. Each is named for what must hold and raises Failure with a reason."""

from __future__ import annotations

from dvae_core.testing.checks import launchers, losses, networks, observers, posteriors, recipes
from dvae_core.testing.checks.register import checks_of, instance_of

__all__ = [
    "checks_of",
    "instance_of",
    "launchers",
    "losses",
    "networks",
    "observers",
    "posteriors",
    "recipes",
]
