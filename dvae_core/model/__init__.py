"""The networks, the loss, and the data that go into them."""

from dvae_core.moved import attributes

__getattr__ = attributes(__name__, f"{__name__}.guided_vae")
