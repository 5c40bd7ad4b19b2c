"""Old names that still work: each is found under its new one, with a warning."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

NAMES = {"walk": "morph", "draw_walk": "draw_morph"}
"""Of `dvae_core` itself."""
PACKAGES = {
    "dvae_core.plugin": "components=kinds describe=keys events hookspecs labelled_images registry "
    "scaffold",
    "dvae_core.recipe": "balance optimizers recipe_source=source schema slots weights=timeline",
    "dvae_core.runs": "checkpoints comparison comparison_tables=comparison_table details=kept "
    "provenance recipe_differences=differences run_folder=folder watch sweep.folder=sweep_folder "
    "sweep.journal=journal",
    "dvae_core.model": "batches data export fast_linear objective",
    "dvae_core.latent": "borders colours evaluation loaded_run png snapshot",
    "dvae_core.training": "train=run tuning",
    "dvae_core.pages": "explore",
    "dvae_core": "signals=stopping",
}
"""Modules, by the package where they are now."""
MODULES = {
    f"dvae_core.{old}": f"{package}.{new or old}"
    for package, moves in PACKAGES.items()
    for old, _, new in (move.partition("=") for move in moves.split())
}


def name(old: str) -> Any:
    """What has this name of old in `dvae_core`."""
    new = NAMES[old]
    warnings.warn(f"dvae_core.{old} is dvae_core.{new} now", DeprecationWarning, stacklevel=3)
    return getattr(import_module("dvae_core"), new)


def attributes(package: str, module: str) -> Callable[[str], Any]:
    """A `__getattr__` for a package with the name of a module of old, which is inside it now."""

    def __getattr__(name: str) -> Any:  # noqa: N807
        # The import system asks for modules too, and must find those that there are by itself.
        own = name.startswith("_") or find_spec(f"{package}.{name}") is not None
        if not own and hasattr(found := import_module(module), name):
            text = f"{package}.{name} is {module}.{name} now"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__


class _Finder:
    """Finds the new module for an old name. Asked first, or a folder would be read twice."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if _new(fullname) else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """An empty one, in whose place the new one comes."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = _new(old)
        warnings.warn(f"{old} is {new} now", DeprecationWarning, stacklevel=2)
        sys.modules[old] = import_module(new)


def _new(old: str) -> str:
    """The new name of a module, or of one in a folder that moved; empty for all others."""
    package, _, inside = old.rpartition(".")
    if old in MODULES or package not in MODULES:
        return MODULES.get(old, "")
    return f"{MODULES[package]}.{inside}"


sys.meta_path.insert(0, _Finder())
