"""dvae: label-guided VAE latent spaces, made of plugins.

What a plugin author needs, and what a notebook needs, stands in __init__.pyi. Names are resolved on
first use, so that importing this package loads neither torch nor matplotlib.
"""

from typing import Any

import lazy_loader

from dvae_core import moved

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dvae-core")
    if name in moved.NAMES:
        return moved.name(name)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _public(name)
