"""The plan: a sweep's variants, their runs' names, and their recipes."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dvae_core.errors import RecipeError
from dvae_core.plugin.registry import Registry
from dvae_core.recipe.goal import Goal
from dvae_core.recipe.recipe import Recipe, build_recipe
from dvae_core.recipe.same import MAY_CHANGE
from dvae_core.recipe.source import NAME_KEYS, Dotted, RecipeSource, change, read_source
from dvae_core.sweep.sweep_file import Axis, Range, SweepFile

LONGEST_NAME = 120


@dataclass(frozen=True)
class Change:
    """A value that a variant sets; or a table that it lays over the recipe, where `key` is ()."""

    key: Dotted
    value: Any
    at: tuple[str | int, ...]
    """Where it stands in the sweep file."""


@dataclass(frozen=True)
class Variant:
    """One recipe of a sweep; it is trained once with each seed."""

    name: str
    changes: tuple[Change, ...]


class Plan:
    """What a sweep file and `--set` come to."""

    def __init__(self, sweep: SweepFile, overrides: Sequence[str], registry: Registry) -> None:
        self.sweep = sweep
        self.overrides = tuple(overrides)
        self.registry = registry
        self._sources: dict[bool, RecipeSource] = {}
        self._check_overrides()

    def variants(self) -> Iterator[Variant]:
        """Those of the grid and the named ones; a search makes its own, trial by trial."""
        columns: list[list[tuple[str, Change]]] = [
            [
                (label(axis, i), Change(axis.key, v, (*axis.at, i)))
                for i, v in enumerate(axis.values)
            ]
            for axis in self.sweep.axes
        ]
        if self.sweep.variants:
            named = enumerate(self.sweep.variants)
            columns.insert(0, [(v.name, Change((), v.fragment, ("variants", i))) for i, v in named])
        seen: dict[str, int] = {}
        for row in itertools.product(*columns):
            name = "_".join(text for text, _ in row) or self.sweep.recipe.stem
            stem = name[:LONGEST_NAME]
            seen[stem] = seen.get(stem, 0) + 1
            if len(name) > LONGEST_NAME or seen[stem] > 1:
                name = f"{stem}-{seen[stem]}"
            yield Variant(name, tuple(change for _, change in row))

    def recipe(self, variant: Variant, *, locate: bool = False) -> Recipe:
        """A variant's recipe, validated, with the sweep file's lines in what is wrong with it.

        Raises:
            RecipeError: see there; without `locate` the lines may be those of the base recipe.
        """
        source = copy.deepcopy(self._base(locate))
        for item in variant.changes:
            origin = self.sweep.origin(item.at) if locate else ""
            laid = change(source, item.key, copy.deepcopy(item.value), origin)
            if locate and not item.key:
                laid.origins = {key: self.sweep.origin((*item.at, *key)) for key in laid.origins}
            source.merge(laid)
        return build_recipe(source, variant.name, self.registry)

    def check(self, variants: Sequence[Variant]) -> list[Recipe]:
        """All variants' recipes.

        Raises:
            RecipeError: everything that is wrong with any of them, each line once.
        """
        recipes = []
        wrong: dict[str, list[str]] = {}
        goal, at = Goal.of(self.sweep.goal), self.sweep.origin(("goal",))
        for variant in variants:
            try:
                recipes.append(self.recipe(variant))
            except RecipeError:
                for problem in self._problems(variant):
                    wrong.setdefault(problem, []).append(variant.name)
                continue
            if goal and (unfair := goal.problem(recipes[-1].validated)):
                wrong.setdefault(f"{at}: goal: {unfair}", []).append(variant.name)
        if wrong:
            raise RecipeError([_of(line, names, len(variants)) for line, names in wrong.items()])
        return recipes

    def warnings(self, recipes: Sequence[Recipe]) -> list[str]:
        """What is wrong with recipes that `check` has let pass, each line once."""
        goal, at = Goal.of(self.sweep.goal), self.sweep.origin(("goal",))
        found = [goal and goal.warning(recipe.validated) for recipe in recipes]
        return [f"{at}: goal: {text}" for text in dict.fromkeys(found) if text]

    def corners(self) -> list[Variant]:
        """Variants that try every choice and both ends of every range of a search, one by one."""
        assert self.sweep.search is not None
        dimensions = self.sweep.search.dimensions
        ends = {
            key: (d.low, d.high) if isinstance(d, Range) else d for key, d in dimensions.items()
        }
        first = {key: values[0] for key, values in ends.items()}
        points = [first] + [
            {**first, key: value} for key, values in ends.items() for value in values[1:]
        ]
        return [self.trial(n, point) for n, point in enumerate(points)]

    def trial(self, number: int, values: dict[Dotted, Any]) -> Variant:
        """The variant of a search's trial."""
        keys = sorted(values, key=lambda key: key[-1] not in NAME_KEYS)
        places = self.sweep.varied
        changes = tuple(Change(key, values[key], places[key]) for key in keys)
        return Variant(trial_name(number), changes)

    def _base(self, locate: bool) -> RecipeSource:
        if locate not in self._sources:
            self._sources[locate] = read_source(self.sweep.recipe, self.overrides, locate=locate)
        return self._sources[locate]

    def _problems(self, variant: Variant) -> list[str]:
        try:
            self.recipe(variant, locate=True)
        except RecipeError as error:
            return error.problems
        return []

    def _check_overrides(self) -> None:
        problems = []
        for override in self.overrides:
            key = tuple(part.strip() for part in override.partition("=")[0].split("."))
            for varied, at in self.sweep.varied.items():
                if varied[: len(key)] == key:
                    text = f"the sweep varies {'.'.join(varied)} itself ({self.sweep.origin(at)})"
                    problems.append(f"--set {override}: {text}")
        if problems:
            raise RecipeError(problems)


def run_name(variant: str, seed: int) -> str:
    """The name of a run, and of its folder."""
    return f"{variant}-seed-{seed}"


def trial_name(number: int) -> str:
    """The name of a search's variant."""
    return f"trial-{number:04d}"


def label(axis: Axis, index: int) -> str:
    """What a value is called in the names of runs.

    >>> label(Axis(("kl", "name"), ("abs", "square"), ()), 1)
    'kl-square'
    >>> label(Axis(("train", "batch_size"), (64, 128), ()), 0)
    'train.batch_size-64'
    >>> label(Axis(("kl",), ({"name": "abs", "weight": 0.5},), ()), 0)
    'kl-abs'
    """
    key = axis.key[:-1] if axis.key[-1] in NAME_KEYS and len(axis.key) > 1 else axis.key
    value = axis.values[index]
    if isinstance(value, dict):
        # Tables that name the same component twice differ in a key that the name does not show.
        names = [_named(v) for v in axis.values]
        value = names[index] if names.count(names[index]) == 1 else None
    if value is None or isinstance(value, list):
        value = index + 1
    return re.sub(r"[^\w.+-]+", "-", f"{'.'.join(key)}-{value}")


def _named(value: Any) -> Any:
    table = value if isinstance(value, dict) else {}
    return next((table[key] for key in NAME_KEYS if key in table), None)


def digest(recipe: Recipe) -> str:
    """Of all that makes a variant the experiment that it is: not its length, title, evaluation."""
    table = recipe.to_table()
    for *above, last in (("seed",), *MAY_CHANGE):
        inner: Any = table
        for part in above:
            inner = inner[part]
        inner.pop(last, None)
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


def _of(line: str, names: list[str], all_of_them: int) -> str:
    if len(names) == all_of_them:
        return line
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{line} (variant {names[0]}{more})"
