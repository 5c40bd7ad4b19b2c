"""Recipes by name: those that packages register, found wherever one works."""

from __future__ import annotations

import re
from pathlib import Path

from dvae_core.errors import RecipeError, did_you_mean
from dvae_core.plugin.offers import Offer
from dvae_core.plugin.registry import DISTRIBUTION, UnknownComponent, load_registry

BARE = re.compile(r"([A-Za-z0-9][\w.-]{0,99}:)?[A-Za-z0-9][\w.-]{0,99}")


def is_name(text: str) -> bool:
    """Whether a text may name a recipe, such as "quick" or "dvae-core:quick", and is no path."""
    return bool(BARE.fullmatch(text)) and not text.endswith(".toml")


def recipe_file(named: str | Path, folder: Path = Path()) -> Path:
    """The file of a recipe or a sweep.

    Args:
        named: a path; or a name, which is that of a file in `folder`, with or without its `.toml`,
            before it is that of a package's recipe.
        folder: where a path starts.

    Raises:
        RecipeError: several packages have a recipe of that name.
    """
    path = folder / named
    if not is_name(str(named)):
        return path
    files = (path, folder / f"{named}.toml")
    own = next((file for file in files if file.is_file()), None)
    found = None if own else registered(str(named))
    return own or (Path(found.value) if found else path)


def registered(name: str) -> Offer | None:
    """The recipe that a package registers under a name; None where there is none.

    Raises:
        RecipeError: several packages have one.
    """
    among = [recipe for recipe in offered() if recipe.name == name.rpartition(":")[2]]
    if not among:
        return None
    try:
        file = load_registry().recipe(name)
    except UnknownComponent as error:
        raise RecipeError(str(error)) from None
    return next(recipe for recipe in among if recipe.value == file)


def offered() -> list[Offer]:
    """Every recipe that a package registers."""
    return load_registry().offered("recipe")


def hint(name: str) -> str:
    """What to add where there is no such file: nothing, unless a name was meant."""
    if name.endswith(".toml"):
        known = {f"{recipe.name}.toml": recipe.name for recipe in offered()}
        return f'; there is a recipe named "{known[name]}"' if name in known else ""
    if not is_name(name):
        return ""
    names = [recipe.name for recipe in offered()]
    return f", and no recipe of that name (`dvae recipes` lists them){did_you_mean(name, names)}"


def full_name(recipe: Offer) -> str:
    """What finds it: the name alone for our own, or with its distribution."""
    ours = recipe.distribution == DISTRIBUTION
    return recipe.name if ours else f"{recipe.distribution}:{recipe.name}"
