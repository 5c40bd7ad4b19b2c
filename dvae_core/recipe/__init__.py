"""From TOML to a validated recipe. Nothing here loads torch."""

from dvae_core.moved import attributes

__getattr__ = attributes(__name__, f"{__name__}.recipe")
