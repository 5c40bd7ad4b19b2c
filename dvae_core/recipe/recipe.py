"""TOML to a validated Recipe: all errors at once, each with its line and a hint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from dvae_core.errors import RecipeError
from dvae_core.plugin.kinds import (
    KL,
    Callback,
    Component,
    Dataset,
    Decoder,
    Encoder,
    Head,
    Posterior,
    Reconstruction,
    Term,
)
from dvae_core.plugin.labelled_images import held_out, pairs_of
from dvae_core.plugin.registry import Registry, load_registry
from dvae_core.recipe import goal
from dvae_core.recipe.defaults import with_defaults
from dvae_core.recipe.named import recipe_file
from dvae_core.recipe.slots import (
    FROM_LIST,
    Weighted,
    key_problem,
    slot,
    value_problem,
    weighted_slot,
)
from dvae_core.recipe.source import Place, RecipeSource, read_source
from dvae_core.recipe.tables import TABLES as TABLES
from dvae_core.recipe.tables import Evaluate, Latent, Optimizer, Table, Train
from dvae_core.recipe.timeline import Timeline, Weight

ClassName = Annotated[str | int, Field(union_mode="left_to_right")]


def _of_two(classes: Any) -> Any:
    if not isinstance(classes, list) or len(classes) != 2 or classes[0] == classes[1]:
        raise value_problem(f'a pair is two classes, such as ["0", "8"], not {classes!r}')
    return tuple(classes)


Pair = Annotated[tuple[ClassName, ClassName], BeforeValidator(_of_two)]
BUILT_IN_TERMS = ("reconstruction", "kl", "guidance")


class Recipe(Table):
    """Everything that makes a run. Load one with `load_recipe`."""

    read_before = ("extends",)

    title: str = ""
    """One line for people."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """The one source of every random number."""
    pairs: Annotated[tuple[Pair, ...], FROM_LIST] = ()
    """Classes that shall share a border, by name or number, such as [["0", "8"], ["3", "5"]]."""
    dataset: Annotated[Dataset, *slot("dataset")]
    encoder: Annotated[Encoder, *slot("encoder")]
    posterior: Annotated[Posterior, *slot("posterior")] | None = None
    """Where it is left out, normal with independent dimensions."""
    decoder: Annotated[Decoder, *slot("decoder")]
    """Where it is left out, the decoder with the encoder's name."""
    latent: Latent = Latent()
    reconstruction: Annotated[Weighted[Reconstruction], *weighted_slot("reconstruction")]
    kl: Annotated[Weighted[KL], *weighted_slot("kl")]
    guidance: Annotated[Weighted[Head], *weighted_slot("head")] | None = None
    """Leave the table out for a plain VAE."""
    terms: Annotated[tuple[Annotated[Weighted[Term], *weighted_slot("term")], ...], FROM_LIST] = ()
    """Extra summands of the loss, each with a weight."""
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    callbacks: Annotated[tuple[Annotated[Callback, *slot("callback")], ...], FROM_LIST] = ()
    """What listens to the run, such as a logger."""

    _name: str = PrivateAttr("recipe")
    _source: RecipeSource = PrivateAttr(default_factory=RecipeSource)

    @model_validator(mode="after")
    def _distinct_terms(self) -> Recipe:
        names = list(BUILT_IN_TERMS)
        for index, term in enumerate(self.terms):
            if term.component.name in names:
                text = f'another term is called "{term.component.name}" already'
                raise key_problem("terms", ("terms", index, "name"), text)
            names.append(term.component.name)
        return self

    @model_validator(mode="after")
    def _kl_knows_the_posterior(self) -> Recipe:
        posterior, kl = self.posterior, self.kl.component
        if posterior is None or kl.given_outputs:
            return self
        name = f'and posterior "{posterior.name}" is'
        text = None
        if posterior.family == "other":
            text = f'kl "{kl.name}" knows normal posteriors alone, {name} another; it takes a KL '
            text += "that is given the outputs"
        elif posterior.family == "normal" and not kl.independent:
            text = f'kl "{kl.name}" knows posteriors with independent dimensions alone, {name} none'
        if text:
            raise key_problem("posterior", ("posterior", "name"), text)
        return self

    @model_validator(mode="after")
    def _bounded(self) -> Recipe:
        reason = self.no_bound
        for index, metric in enumerate(self.evaluate.metrics):
            if reason and metric.needs_bound:
                text = f'"{metric.name}" needs a bound on the likelihood, and {reason}'
                raise key_problem("evaluate", ("evaluate", "metrics", index), text)
        return self

    @model_validator(mode="after")
    def _fair(self) -> Recipe:
        best = goal.Goal.of(self.train.keep_best)
        text = best and best.problem(self.validated)
        if text:
            raise key_problem("train", ("train", "keep_best"), f"keep_best: {text}")
        return self

    @property
    def validated(self) -> bool | None:
        """Whether there are validation images; None where only the data can tell."""
        fraction = self.dataset.validation_fraction
        return True if fraction is not None else self.dataset.has_validation()

    @property
    def train_images(self) -> int | None:
        """How many images an epoch trains on, where that is known without loading them."""
        size, fraction = self.dataset.size(), self.dataset.validation_fraction
        if size is None:
            return None
        size = min(size, self.dataset.train_limit or size)
        if fraction is None or (own := self.dataset.has_validation()):
            return size
        return None if own is None else size - held_out(size, fraction)

    @property
    def name(self) -> str:
        """The stem of the recipe's file."""
        return self._name

    @property
    def weights(self) -> dict[str, Weight]:
        """The weight of each term of the loss, by the term's name."""
        weighted: dict[str, Weighted[Any] | None] = {
            "reconstruction": self.reconstruction,
            "kl": self.kl,
            "guidance": self.guidance,
            **{term.component.name: term for term in self.terms},
        }
        return {name: w.weight for name, w in weighted.items() if w is not None}

    def named_pairs(self, classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        """The numbers a < b of the classes in `pairs`, each pair once.

        Raises:
            RecipeError: there is no such class, or a pair is of one class alone.
        """
        try:
            return pairs_of(self.pairs, classes)
        except ValueError as error:
            raise RecipeError(f"{self.origin(('pairs',))}: pairs: {error}") from error

    @property
    def no_bound(self) -> str | None:
        """Why reconstruction and KL give no bound on the likelihood; None where they give one."""
        if not self.kl.component.divergence:
            return f'kl "{self.kl.component.name}" is no divergence'
        if self.reconstruction.component.log_constant(1) is None:
            return f'reconstruction "{self.reconstruction.component.name}" is no log-likelihood'
        if self.posterior is not None and self.posterior.family == "point":
            return f'posterior "{self.posterior.name}" is a point, without a density'
        return None

    @property
    def bound_on(self) -> str | None:
        """What reconstruction and KL, each at weight 1, bound from below when negated."""
        if self.no_bound:
            return None
        if self.kl.component.given_label or self.decoder.given_labels:
            return "log p(image | label), and log p(image) where the label is hidden"
        return "log p(image)"

    @property
    def components(self) -> list[Component]:
        """Every component that the recipe names, schedules included."""
        return list(_components_in(self))

    def to_table(self) -> dict[str, Any]:
        """The complete recipe as a TOML table: every default filled in."""
        return _without_none(self.model_dump(mode="json"))

    def origin(self, key: Place) -> str:
        """Where a value of `to_table()` was set: path:line, --set, or "default"."""
        origins = self._source.locate()
        if key in origins:
            return origins[key]
        # A component's bare name, as in metrics = ["knn"], stands where its table would.
        bare = key[:-1] in origins and key[-1] in ("name", "schedule")
        return origins[key[:-1]] if bare and self._source.is_text(key[:-1]) else "default"

    def fitted(self, train_images: int) -> Recipe:
        """The recipe with the epochs that `train.min_steps` asks for over so many images, once and
        for all."""
        steps = -(-train_images // self.train.step_size)
        least = -(-(self.train.min_steps or 0) // steps)
        if least <= self.train.epochs:
            return self
        every = round(self.evaluate.every * least / self.train.epochs)
        changed = {
            "train": self.train.model_copy(update={"epochs": least, "min_steps": None}),
            "evaluate": self.evaluate.model_copy(update={"every": every}),
        }
        return self.model_copy(update=changed)

    def check_schedules(self, train_images: int) -> None:
        """Refuse schedules that have not settled when a run over so many images ends.

        Raises:
            RecipeError: one line for each.
        """
        problems = []
        named = [f"[{key}] weight" for key in self.weights]
        scheduled = list(zip(named, self._weight_keys(), self.weights.values(), strict=True))
        if self.optimizer.schedule is not None:
            scheduled.append(("[optimizer] lr", ("optimizer", "lr"), self.optimizer.schedule))
        for label, at, weight in scheduled:
            problem = self.timeline(train_images).unsettled(weight)
            if problem:
                problems.append(f"{self._source.origin(at)}: {label}: {problem}")
        if problems:
            raise RecipeError(problems)

    def timeline(self, train_images: int) -> Timeline:
        """How long a run over so many images is."""
        return Timeline(-(-train_images // self.train.step_size), self.train.epochs)

    def _weight_keys(self) -> Iterator[Place]:
        yield from ((name, "weight") for name in self.weights if name in BUILT_IN_TERMS)
        yield from (("terms", index, "weight") for index in range(len(self.terms)))


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), registry: Registry | None = None
) -> Recipe:
    """Read, merge and validate a recipe.

    Args:
        path: a TOML file, or the name of a recipe that a package registers, such as "quick".
        overrides: `table.key=value` each, as for `--set`.
        registry: the components to choose from; all installed ones by default.

    Raises:
        RecipeError: everything that is wrong, one line each.
    """
    path = recipe_file(path)
    source = read_source(path, overrides)
    if "recipe" in source.table and not {"dataset", "encoder"} & source.table.keys():
        line = source.origin(("recipe",))
        raise RecipeError(f"{line}: this is a sweep of a recipe; run it with dvae sweep {path}")
    return build_recipe(source, path.stem, registry)


def build_recipe(
    source: RecipeSource, name: str = "recipe", registry: Registry | None = None
) -> Recipe:
    """Validate a recipe that has been read; like `load_recipe` otherwise."""
    table = with_defaults(source.table)
    context = {
        "registry": registry or load_registry(),
        "folders": tuple(file.parent for file in source.files),
    }
    try:
        text = json.dumps(table, default=str)
        recipe = Recipe.model_validate_json(text, strict=True, context=context)
    except ValidationError as error:
        raise RecipeError(error_lines(error, source)) from None
    recipe._name, recipe._source = name, source
    if (images := recipe.train_images) is not None:
        recipe.fitted(images).check_schedules(images)
    return recipe


def error_lines(error: ValidationError, source: RecipeSource) -> list[str]:
    """A line for each mistake, where it stands in the file before it."""
    details = error.errors(include_url=False)
    if "decoder" not in source.table and any(d["loc"][:1] == ("encoder",) for d in details):
        # The decoder follows the encoder, and so do its errors.
        details = [d for d in details if d["loc"][:1] != ("decoder",)]
    lines = []
    for detail in details:
        at, text = detail["loc"], detail["msg"]
        # The key is the last name; what stands behind it are places in a list.
        split = max((i for i, part in enumerate(at) if isinstance(part, str)), default=0)
        table, key = (".".join(map(str, part)) for part in (at[:split], at[split:]))
        if detail["type"] == "value":
            text = f"{key}: {text}"
        elif detail["type"] == "missing":
            text = f'missing key "{key}"' if table else f"missing table [{key}]"
        place = f"[{table}] " if table else ""
        lines.append((source.origin(at), f"{place}{text}"))
    return [f"{origin}: {text}" for origin, text in sorted(lines, key=_by_line)]


def _by_line(line: tuple[str, str]) -> tuple[str, int]:
    file, _, number = line[0].rpartition(":")
    return (file, int(number)) if number.isdecimal() else (line[0], 0)


def _components_in(value: Any) -> Iterator[Component]:
    if isinstance(value, Component):
        yield value
    elif isinstance(value, Weighted):
        yield value.component
        yield from _components_in(value.weight)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _components_in(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _components_in(item)


def _without_none(value: Any) -> Any:
    """TOML has no null: a key that is not there says the same."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value
