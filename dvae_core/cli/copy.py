"""`dvae copy`: a recipe to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli import streams
from dvae_core.errors import RecipeError

EXAMPLES = ("dvae copy mnist_abs", "dvae copy quick my_first.toml")


def copy(
    name: Annotated[str, typer.Argument(help="A name that `dvae recipes` lists.")],
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; NAME.toml if left out.")
    ] = None,
) -> None:
    """Write a recipe or a sweep to a file to edit, comments included. Overwrites nothing."""
    from dvae_core.recipe.named import hint, registered
    from dvae_core.recipe.shelf import copy_of

    found = registered(name)
    if found is None:
        raise RecipeError(f"{name}: there is no such file{hint(name)}")
    out = file or Path(f"{found.name}.toml")
    try:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(copy_of(found))
    except FileExistsError:
        raise RecipeError(f"{out}: is there already; name another file") from None
    except OSError as error:
        raise RecipeError(f"{out}: cannot be written: {error.strerror}") from None
    streams.show(out)
