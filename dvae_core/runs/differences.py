"""What recipes differ in, as someone would say it: no key that merely follows from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dvae_core.recipe.recipe import Recipe
from dvae_core.recipe.same import MAY_CHANGE
from dvae_core.recipe.source import NAME_KEYS, Dotted, Place, inside, leaves

Settings = dict[Dotted, Any]
"""By place; items of a list of tables stand under their name."""

METRICS: Dotted = ("evaluate", "metrics")
NO_SETTING = (("seed",), *(key for key in MAY_CHANGE if key != ("train", "epochs")))
"""What makes no other experiment: the seed, and what neither trains nor names the metrics."""


def settings(table: dict[str, Any]) -> Settings:
    """What a resolved recipe sets that can change a run's metrics, the seed aside.

    The keys of its metric components are among them: knn_accuracy with another k is another metric.
    """
    found = ((tuple(map(str, place)), value) for place, value in leaves(table, _opened))
    return {
        place: value
        for place, value in found
        if not any(place[: len(other)] == other for other in NO_SETTING)
        or (place[:2] == METRICS and len(place) > 2)
    }


def drop_unshared(recipes: Sequence[Settings]) -> None:
    """Forget the keys of metrics that the recipes agree on, or that only some of them have."""
    for place in {place for recipe in recipes for place in recipe if place[:2] == METRICS}:
        if not _differ([recipe[place] for recipe in recipes if place in recipe]):
            for recipe in recipes:
                recipe.pop(place, None)


def differences(recipes: Sequence[Settings]) -> list[Dotted]:
    """The places where the recipes differ, in the order of a recipe.

    A key that a recipe lacks is a difference where it could have it: in the same table, of a
    component of the same name. Else the component's name says it already.
    """
    tables = [{place[:n] for place in recipe for n in range(len(place))} for recipe in recipes]
    found = []
    for place in dict.fromkeys(place for recipe in recipes for place in recipe):
        above = place[:-1]
        names = [_name(recipe, above) for recipe in recipes if place in recipe]
        values = []
        for recipe, has in zip(recipes, tables, strict=True):
            if place[-1] in NAME_KEYS:
                could = above[:-1] in has
            else:
                could = above in has and _name(recipe, above) in names
            if could:
                values.append(recipe.get(place))
        if _differ(values):
            found.append(place)
    order = {table: index for index, table in enumerate(Recipe.model_fields)}
    return sorted(found, key=lambda place: order.get(place[0], len(order)))


def _opened(value: Any) -> list[tuple[Place, Any]] | None:
    if isinstance(value, dict):
        return inside(value)
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        return None
    names: list[str] = []
    found: list[tuple[Place, Any]] = []
    for item in value:
        name = str(item.get("name"))
        label = f"{name}#{names.count(name) + 1}" if name in names else name
        names.append(name)
        found.append(((label,), {k: v for k, v in item.items() if k != "name"}))
    return [*found, ((), names)]


def _name(recipe: Settings, table: Dotted) -> Any:
    return next((recipe[(*table, key)] for key in NAME_KEYS if (*table, key) in recipe), None)


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)
