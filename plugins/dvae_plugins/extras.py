"""Packages that come with an extra, for those who use them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dvae_core import DvaeError


def package(name: str, extra: str, user: str, kind: type[DvaeError] = DvaeError) -> Any:
    """A module of a package that the extra installs.

    Raises:
        DvaeError: the package is not there; `kind` says which error, and the message what to do.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise kind(
            f'{user} needs one more package ({error}): pip install "dvae-core[{extra}]"'
        ) from error
