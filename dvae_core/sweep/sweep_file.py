"""The sweep file: which recipe, what varies, over which seeds, and where it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from dvae_core.errors import RecipeError
from dvae_core.plugin.kinds import Launcher, RecipePath
from dvae_core.plugin.registry import Registry
from dvae_core.recipe.goal import PATTERN
from dvae_core.recipe.named import is_name, recipe_file
from dvae_core.recipe.recipe import error_lines
from dvae_core.recipe.slots import FROM_LIST, as_error, explain, slot, value_problem
from dvae_core.recipe.source import (
    NAME_KEYS,
    Dotted,
    Place,
    RecipeSource,
    inside,
    leaves,
    read_source,
)
from dvae_core.recipe.tables import Table


@dataclass(frozen=True)
class Axis:
    """One key of a grid."""

    key: Dotted
    values: tuple[Any, ...]
    at: Place
    """Where the values stand in the sweep file."""


class NamedVariant(Table):
    """A named variant: the rest of its table is laid over the recipe."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.+-]{0,79}$")
    """Its runs are called <name>-seed-<n>."""

    @property
    def fragment(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Range(Table):
    """What a search draws a number from; whole numbers if both ends are."""

    low: int | float
    """The smallest value."""
    high: int | float
    """The largest value."""
    log: bool = False
    """Draw the logarithm evenly."""

    @model_validator(mode="after")
    def _has_values(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, and {self.low} is not below {self.high}")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range must be above 0")
        return self


class Search(Table):
    """Look for the best values, by Optuna."""

    sampler: Literal["tpe", "random"] = "tpe"
    """tpe learns from the trials that have ended, random does not."""
    trials: int = Field(ge=1)
    """How many sets of values are tried, each with all seeds."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sampler."""
    pruner: Literal["none", "median"] = "none"
    """median stops a trial that is worse after an epoch than the median of those before it."""
    space: dict[str, Any] = Field(min_length=1)
    """For each recipe key a list of choices, or { low = 0.1, high = 10.0, log = true }."""

    _dimensions: dict[Dotted, Range | tuple[Any, ...]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _read_space(self) -> Search:
        problems = []
        for at, value in _leaves(self.space):
            place: Place = ("space", *at)
            if isinstance(value, dict):
                try:
                    text = json.dumps(value, default=str)
                    self._dimensions[_dotted(at)] = Range.model_validate_json(text, strict=True)
                except ValidationError as error:
                    problems += [
                        ((*place, *d["loc"]), value_problem(d["msg"], d["type"]))  # type: ignore[arg-type]
                        for d in explain(error, list(Range.model_fields)).errors()
                    ]
            elif isinstance(value, list) and value:
                self._dimensions[_dotted(at)] = tuple(value)
            else:
                text = "must be a list of choices, or a table with low and high"
                problems.append((place, value_problem(text)))
        if problems:
            raise as_error("search", problems)
        return self

    @property
    def dimensions(self) -> dict[Dotted, Range | tuple[Any, ...]]:
        """What each recipe key is drawn from."""
        return self._dimensions


MOST_SEEDS = 100_000


def _seeds(value: Any) -> tuple[int, ...]:
    if type(value) is int and value > MOST_SEEDS:
        raise value_problem(f"must be {MOST_SEEDS:,} at most")
    seeds = range(value) if type(value) is int else value
    good = isinstance(seeds, list | range) and all(type(n) is int and n >= 0 for n in seeds)
    if not good or not seeds or len(set(seeds)) < len(seeds):
        raise value_problem("must be how many there are, or a list of different seeds")
    return tuple(seeds)


class SweepFile(Table):
    """A sweep as its file describes it. Load one with `load_sweep`."""

    title: str = ""
    """One line for people."""
    recipe: RecipePath
    """What all runs have in common, looked for beside the sweep's file."""
    seeds: Annotated[tuple[int, ...], PlainValidator(_seeds)] = (0,)
    """A list, or how many, counted from 0. Every variant is trained with each."""
    goal: str | None = Field(default=None, pattern=PATTERN)
    """What makes a run the best so far, such as "highest val/knn_accuracy"."""
    grid: dict[str, Any] = {}
    """For each recipe key a list of values; every combination is a variant."""
    variants: Annotated[tuple[NamedVariant, ...], FROM_LIST] = ()
    """Each laid over the recipe; with a grid, each with every combination."""
    search: Search | None = None
    """In place of a grid and variants."""
    launcher: Annotated[Launcher, *slot("launcher")]
    """Where the runs go on."""

    _source: RecipeSource = PrivateAttr(default_factory=RecipeSource)

    @model_validator(mode="after")
    def _makes_sense(self) -> SweepFile:
        problems: list[tuple[Place, Any]] = []

        def wrong(at: Place, text: str) -> None:
            problems.append((at, value_problem(text, "key")))

        if not self.recipe.is_file():
            wrong(("recipe",), f"recipe: there is no such file: {self.recipe}")
        for axis in self.axes:
            if not axis.values:
                wrong(axis.at, f"{'.'.join(axis.key)}: must be a list with a value at least")
        names = [variant.name for variant in self.variants]
        for index, name in enumerate(names):
            if name in names[:index]:
                wrong(("variants", index, "name"), f'another variant is called "{name}" already')
        if self.search is not None:
            for key in ("grid", "variants"):
                if getattr(self, key):
                    wrong((key,), "a search takes the place of grid and variants; leave one out")
            if self.goal is None:
                wrong(("search",), 'a search needs a goal = "highest val/..." above its table')
        for varied, at in self.varied.items():
            if varied[0] in ("seed", "extends"):
                wrong(at, f"{varied[0]} cannot vary here; use seeds, or another recipe")
        if problems:
            raise as_error("sweep", problems)
        return self

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The grid's keys; those that name a component first, as they clear its other keys."""
        found = []
        for at, value in _leaves(self.grid):
            values = tuple(value) if isinstance(value, list) else ()
            found.append(Axis(_dotted(at), values, ("grid", *at)))
        return tuple(sorted(found, key=lambda axis: axis.key[-1] not in NAME_KEYS))

    @property
    def varied(self) -> dict[Dotted, Place]:
        """The recipe keys that a grid or a search varies, and where they stand."""
        if self.search is None:
            return {axis.key: axis.at for axis in self.axes}
        space = _leaves(self.search.space)
        return {_dotted(at): ("search", "space", *at) for at, _ in space}

    @property
    def name(self) -> str:
        """The stem of the sweep's file."""
        return self._source.files[0].stem if self._source.files else "sweep"

    @property
    def text(self) -> str:
        """The file as written."""
        return self._source.files[0].read_text(encoding="utf-8") if self._source.files else ""

    def origin(self, at: Place) -> str:
        """path:line of a value in the sweep file."""
        return self._source.origin(at)


def load_sweep(path: Path, registry: Registry, launcher: str | None = None) -> SweepFile:
    """Read and validate a sweep file.

    Args:
        path: a TOML file, or the name of a sweep that a package registers.
        registry: where launchers are looked up.
        launcher: its name, in place of the file's.

    Raises:
        RecipeError: everything that is wrong, one line each.
    """
    source = read_source(recipe_file(path))
    table = dict(source.table)
    if "recipe" not in table and {"dataset", "encoder"} & table.keys():
        raise RecipeError(f"{path}: this is a recipe and no sweep; train it with dvae run {path}")
    named = table.get("recipe")
    if isinstance(named, str) and is_name(named):
        table["recipe"] = str(recipe_file(named, source.files[0].parent).absolute())
    named = table.get("launcher", {"name": "local"})
    if launcher is not None and (not isinstance(named, dict) or named.get("name") != launcher):
        named = {"name": launcher}
    table["launcher"] = named
    context = {"registry": registry, "folders": tuple(file.parent for file in source.files)}
    try:
        text = json.dumps(table, default=str)
        sweep = SweepFile.model_validate_json(text, strict=True, context=context)
    except ValidationError as error:
        raise RecipeError(error_lines(error, source)) from None
    sweep._source = source
    return sweep


def _leaves(table: dict[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Every value that is no table, or a table that makes a range, and the keys to it."""

    def opened(value: Any) -> list[tuple[Place, Any]] | None:
        closed = not isinstance(value, dict) or {"low", "high"} & value.keys()
        return None if closed else inside(value)

    for key, value in table.items():
        yield from leaves(value, opened, (key,))


def _dotted(at: Place) -> Dotted:
    """The key in parts, however much of it was quoted."""
    return tuple(part for key in at for part in str(key).split("."))
