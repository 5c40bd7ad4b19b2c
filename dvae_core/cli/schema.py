"""`dvae schema`: the JSON schema of recipes, for editors; and of what verbs print, for programs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from dvae_core.errors import RecipeError, did_you_mean


def _verbs(incomplete: str) -> list[str]:
    from dvae_core.cli.shapes import SHAPES

    return [verb for verb in SHAPES if verb.startswith(incomplete)]


EXAMPLES = ("dvae schema > dvae.schema.json", "dvae schema evaluate")


def schema(
    verb: Annotated[
        str | None,
        typer.Argument(
            autocompletion=_verbs, help="A verb with --json: the schema of what it prints, instead."
        ),
    ] = None,
) -> None:
    """Print the JSON schema of recipes, with every installed component."""
    if verb is not None:
        from dvae_core.cli.shapes import SHAPES

        if verb not in SHAPES:
            hint = did_you_mean(verb, SHAPES) or f"; known: {', '.join(SHAPES)}"
            raise RecipeError(f'there is no verb "{verb}" with --json{hint}')
        print(json.dumps(SHAPES[verb].model_json_schema(), indent=2))
        return
    from dvae_core.plugin.registry import load_registry
    from dvae_core.recipe.schema import recipe_schema

    print(json.dumps(recipe_schema(load_registry()), indent=2))
