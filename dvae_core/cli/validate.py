"""`dvae validate`: is a recipe right?"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from dvae_core.cli.recipe_file import RecipeFile
from dvae_core.cli.run import Overrides
from dvae_core.errors import RecipeError

EXAMPLES = (
    "dvae validate recipes/mnist_abs.toml",
    "dvae validate recipes/mnist_abs.toml --set train.epochs=3",
)


def validate(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a recipe and say everything that is wrong with it. Loads no data."""
    from dvae_core.recipe.goal import Goal
    from dvae_core.recipe.recipe import load_recipe

    problems, warnings = [], []
    try:
        loaded = load_recipe(recipe, overrides or ())
        goal = Goal.of(loaded.train.keep_best)
        if goal is not None and (warning := goal.warning(loaded.validated)):
            warnings.append(f"train.keep_best: {warning}")
    except RecipeError as error:
        if not as_json:
            raise
        problems = error.problems
    if as_json:
        print(json.dumps({"recipe": str(recipe), "problems": problems, "warnings": warnings}))
        raise typer.Exit(2 if problems else 0)
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)
    print(f"{recipe}: no mistakes found", file=sys.stderr)
