"""Trains a run: its parts, the loop, and what it may run on."""

from dvae_core.moved import attributes

__getattr__ = attributes(__name__, f"{__name__}.state")
