"""`dvae validate`: is a recipe right?"""

from __future__ import annotations

import sys

from dvae_core.cli.recipe_file import RecipeFile
from dvae_core.cli.run import Overrides

EXAMPLES = (
    "dvae validate recipes/mnist_abs.toml",
    "dvae validate recipes/mnist_abs.toml --set train.epochs=3",
)


def validate(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Check a recipe and say everything that is wrong with it. Loads no data."""
    from dvae_core.recipe.goal import Goal
    from dvae_core.recipe.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    goal = Goal.of(loaded.train.keep_best)
    if goal is not None and (warning := goal.warning(loaded.validated)):
        print(f"warning: train.keep_best: {warning}", file=sys.stderr)
    print(f"{recipe}: no mistakes found", file=sys.stderr)
