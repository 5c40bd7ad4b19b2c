"""The recipes that packages register: a list to choose from, and copies to edit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dvae_core.errors import RecipeError
from dvae_core.plugin.offers import Offer
from dvae_core.recipe import took
from dvae_core.recipe.named import full_name, offered, recipe_file
from dvae_core.recipe.source import read_source, read_text


@dataclass(frozen=True)
class Shelved:
    """A recipe or a sweep that can be run by its name."""

    name: str
    kind: Literal["recipe", "sweep"]
    title: str
    needs: tuple[str, ...]
    """Its data set and its callbacks, by name."""
    distribution: str
    version: str
    seconds: float | None
    """How long it took here, the last time; None where it was not run as it is."""
    error: str | None
    """Why it cannot be read; None where it can."""


def shelf() -> list[Shelved]:
    """Every registered recipe, by kind and name."""
    times = took.known_times()
    rows = [_shelved(recipe, times.get(took.key(recipe))) for recipe in offered()]
    return sorted(rows, key=lambda row: (row.kind, row.name))


def _shelved(recipe: Offer, seconds: float | None) -> Shelved:
    file = Path(recipe.value)
    table: dict[str, Any] = {}
    base: dict[str, Any] = {}
    error = None
    try:
        table = base = read_source(file).table
        if "recipe" in table:
            base = read_source(recipe_file(str(table["recipe"]), file.parent)).table
    except RecipeError as problem:
        error = str(problem)
    named = [base.get("dataset"), *(base.get("callbacks") or ())]
    needs = [item.get("name") if isinstance(item, dict) else item for item in named]
    return Shelved(
        full_name(recipe),
        "sweep" if "recipe" in table else "recipe",
        str(table.get("title", "")),
        tuple(str(need) for need in needs if need),
        recipe.distribution,
        recipe.version,
        seconds,
        error,
    )


def copy_of(recipe: Offer) -> str:
    """The text of a recipe, comments included, that means the same in any folder."""
    file = Path(recipe.value)

    def anywhere(match: re.Match[str]) -> str:
        target = recipe_file(match[2], file.parent).resolve()
        known = [r for r in offered() if Path(r.value).resolve() == target]
        return f'{match[1]}"{full_name(known[0]) if known else target.as_posix()}"'

    def beside(match: re.Match[str]) -> str:
        target = file.parent / match[2]
        return f'{match[1]}"{target.resolve().as_posix()}"' if target.exists() else match[0]

    text = re.sub(r'^((?:extends|recipe) *= *)"(.*?)"', anywhere, read_text(file), flags=re.M)
    return re.sub(r'^((?:path|root) *= *)"(.+?)"', beside, text, flags=re.M)
