"""Whether two recipes are of the same experiment."""

from __future__ import annotations

from dvae_core.errors import RecipeError
from dvae_core.recipe.recipe import Recipe
from dvae_core.recipe.source import Place, inside, leaves

MAY_CHANGE: tuple[Place, ...] = (
    ("title",),
    ("train", "epochs"),
    ("train", "min_steps"),
    ("train", "device"),
    ("train", "checkpoint_every"),
    ("train", "keep_best"),
    ("evaluate",),
    ("callbacks",),
)
"""What a run may change on its way and still be the same experiment."""


def check_same_experiment(before: Recipe, after: Recipe) -> None:
    """Raise RecipeError, one line for each value, where a resumed run would be another one."""
    old, new = (dict(leaves(recipe.to_table(), inside)) for recipe in (before, after))
    problems = []
    for key in sorted({*old, *new}, key=str):
        if old.get(key) != new.get(key) and not any(key[: len(k)] == k for k in MAY_CHANGE):
            name, was, now = ".".join(map(str, key)), old.get(key), new.get(key)
            problems.append(f"{after.origin(key)}: {name} is {now!r} and was {was!r}")
    if problems:
        raise RecipeError([*problems, "a run that goes on keeps its recipe; start a new one"])
