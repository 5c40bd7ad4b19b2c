"""Where a recipe names a component of each kind."""

from __future__ import annotations

from typing import Any

from dvae_core.plugin.kinds import KINDS

PLACES: dict[str, tuple[str, ...]] = {
    **{kind: (kind,) for kind in KINDS},
    "head": ("guidance",),
    "term": ("terms",),
    "schedule": ("guidance", "weight"),
    "metric": ("evaluate", "metrics"),
    "plot": ("evaluate", "plots"),
    "callback": ("callbacks",),
}
"""A table, or a table and a key. A launcher's is a table of a sweep file, and a schedule may stand
wherever a weight does."""
LISTED = ("term", "metric", "plot", "callback")
"""Kinds that stand in a list, each item of which a recipe could do without."""


def put(recipe: dict[str, Any], kind: str, component: Any) -> None:
    """Name a component (its table, or its name where one may stand bare) in a recipe's table.

    In a list it comes last; elsewhere it takes the place of another one, whose weight stays.

    >>> recipe = {"kl": {"name": "abs", "weight": 0.5}}
    >>> put(recipe, "kl", {"name": "square"})
    >>> put(recipe, "metric", "knn")
    >>> recipe
    {'kl': {'weight': 0.5, 'name': 'square'}, 'evaluate': {'metrics': ['knn']}}
    """
    *above, last = PLACES[kind]
    for part in above:
        recipe = recipe.setdefault(part, {})
    if kind in LISTED:
        recipe.setdefault(last, []).append(component)
    else:
        before = recipe.get(last)
        weight = before.get("weight") if isinstance(before, dict) else None
        recipe[last] = ({} if weight is None else {"weight": weight}) | component


def remove(recipe: dict[str, Any], kind: str, name: str) -> None:
    """Take every component of a name out of a list of a recipe's table.

    >>> recipe = {"terms": [{"name": "border"}, {"name": "mine:border"}, {"name": "other"}]}
    >>> remove(recipe, "term", "border")
    >>> recipe
    {'terms': [{'name': 'other'}]}
    """
    *above, last = PLACES[kind]
    for part in above:
        recipe = recipe.get(part, {})
    recipe[last] = [item for item in recipe.get(last, ()) if _name(item) != name]


def _name(item: Any) -> str:
    named = item.get("name", "") if isinstance(item, dict) else item
    return str(named).rpartition(":")[2]
