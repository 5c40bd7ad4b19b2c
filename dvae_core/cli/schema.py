"""`dvae schema`: the JSON schema of recipes, for editors."""

from __future__ import annotations

import json

EXAMPLES = ("dvae schema > dvae.schema.json",)


def schema() -> None:
    """Print the JSON schema of recipes, with every installed component."""
    from dvae_core.plugin.registry import load_registry
    from dvae_core.recipe.schema import recipe_schema

    print(json.dumps(recipe_schema(load_registry()), indent=2))
