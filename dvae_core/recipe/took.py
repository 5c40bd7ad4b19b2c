"""How long the recipes that packages register took on this machine, the last time each was run."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from dvae_core.errors import DvaeError
from dvae_core.files import cache_folder, small_text, write_atomically
from dvae_core.plugin.offers import Offer
from dvae_core.recipe.named import full_name, offered


def keep(file: Path, seconds: float) -> None:
    """Note how long a recipe took, if that is a file that a package registers."""
    known = [recipe for recipe in offered() if Path(recipe.value).resolve() == file.resolve()]
    if not known:
        return
    times = known_times() | {key(known[0]): round(seconds, 1)}
    with contextlib.suppress(OSError, DvaeError):  # it is only for show
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(), json.dumps(times, indent=1).encode())


def known_times() -> dict[str, float]:
    """Seconds by recipe and version."""
    try:
        found = json.loads(small_text(_file()))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: float(v) for k, v in found.items() if type(v) in (int, float) and 0 <= v < 1e9}


def key(recipe: Offer) -> str:
    """What a recipe's time is kept under: another version may take another time."""
    return f"{full_name(recipe)} {recipe.version}"


def _file() -> Path:
    return cache_folder() / "timings" / "recipes.json"
