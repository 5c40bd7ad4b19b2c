"""The recipe that a verb is given: a file, or the name of one that a package registers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli.looking import fetched


def _found(context: typer.Context, named: Path | None) -> Path | None:
    """The file; where one takes a registered name, that is said."""
    from dvae_core.recipe.named import is_name, recipe_file, registered

    if named is None or context.resilient_parsing:
        return named
    from dvae_core.runs.hub import is_address

    if is_address(named):
        found = fetched(context, named)
        return found / "recipe.toml" if isinstance(found, Path) else named
    if not is_name(str(named)):
        return named
    file = recipe_file(named)
    if file.is_file() and (other := registered(str(named))) and file != Path(other.value):
        text = f"{named}: the file {file}, and not the recipe of {other.distribution}"
        print(f"{text}, which is {other.distribution}:{other.name}", file=sys.stderr)
    return file


def _names(sweeps: bool, incomplete: str) -> list[tuple[str, str]]:
    from dvae_core.recipe.shelf import shelf

    rows = [row for row in shelf() if (row.kind == "sweep") == sweeps]
    return [(row.name, row.title) for row in rows if row.name.startswith(incomplete)]


def _recipes(incomplete: str) -> list[tuple[str, str]]:
    return _names(False, incomplete)


def _sweeps(incomplete: str) -> list[tuple[str, str]]:
    return _names(True, incomplete)


HELP = "A recipe file, a name that `dvae recipes` lists, or a run on the hub as hf://user/name."
RECIPE = typer.Argument(metavar="RECIPE", help=HELP, callback=_found, autocompletion=_recipes)
RecipeFile = Annotated[Path, RECIPE]
MaybeRecipeFile = Annotated[Path | None, RECIPE]
SweepFile = Annotated[
    Path,
    typer.Argument(
        metavar="SWEEP",
        help="A sweep file, or a name that `dvae recipes` lists.",
        callback=_found,
        autocompletion=_sweeps,
    ),
]
