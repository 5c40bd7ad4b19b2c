"""The shape of what each verb prints with --json: `dvae schema VERB` shows it as a JSON schema."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Listed(Shape):
    """A component, a recipe or a command of a plugin; or a plugin that is broken."""

    kind: str | None
    name: str | None
    summary: str | None
    plugin: str
    distribution: str
    version: str
    status: Literal["ok", "slow", "clash", "broken"]
    error: str | None


class Shelved(Shape):
    """A recipe or a sweep that can be run by name."""

    name: str
    kind: Literal["recipe", "sweep"]
    title: str
    needs: list[str]
    distribution: str
    version: str
    seconds: float | None
    error: str | None


class Key(Shape):
    """A key of a recipe table: its type and its default in words."""

    name: str
    type: str
    default: str
    help: str


class Figure(Shape):
    """A number that a metric gives."""

    name: str
    better: Literal["higher", "lower"] | None
    help: str


class Described(Shape):
    """A component, or a table of the core, which has no name."""

    kind: str
    name: str | None
    plugin: str | None
    distribution: str | None
    version: str | None
    help: str
    keys: list[Key]
    recipe: str | None
    figures: list[Figure]


class Term(Shape):
    """A term of the loss, and its weight at the start and the end of the run, where known."""

    term: str
    component: str
    reduction: str
    unit: str
    weight: tuple[float, float] | None


class Loss(Shape):
    """What the terms of the loss weigh."""

    terms: list[Term]
    beta: tuple[float, float] | None
    beta_norm: tuple[float, float] | None
    no_bound: str | None
    bound_on: str | None


class Shown(Shape):
    """A recipe in full; `origins` says where each value comes from, by its place."""

    recipe: dict[str, Any]
    origins: dict[str, str]
    loss: Loss


class Validated(Shape):
    """A recipe's mistakes, none if it is right."""

    recipe: str
    problems: list[str]
    warnings: list[str]


class Measured(Shape):
    """A number of a row of a comparison."""

    mean: float
    margin: float | None
    values: list[float]
    mark: str | None


class Row(Shape):
    """Runs that differ in their seed alone."""

    recipe: str
    runs: list[str]
    seeds: list[int | None]
    status: str
    epoch: int | None
    settings: dict[str, Any]
    metrics: dict[str, Measured]


class Compared(Shape):
    """Runs beside each other."""

    differences: list[str]
    rows: list[Row]
    left_out: list[str]


class Forecast(Shape):
    """What a sweep would do: the epochs of each run, and seconds by one measured epoch."""

    runs: dict[str, int]
    epoch_seconds: float
    at_once: int | None
    seconds: float


class Swept(Shape):
    """What became of a sweep; or of --dry-run, which has the forecast alone."""

    sweep: str | None
    failed: dict[str, str]
    comparison: Compared | None
    forecast: Forecast | None


class Evaluated(Shape):
    """A run's metrics, each under its own name."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, float]

    run: str
    epoch: int
    step: int
    split: Literal["test", "val"] = "test"


class Planned(Shape):
    """Where a recipe's prior has its classes, and the share of direct paths that this promises."""

    direct_path: dict[str, float]
    means: dict[str, list[float]]
    picture: str


class Image(Shape):
    """An image in a run; also `mean_1`, `log_var_1` and so on for each dimension."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, float]

    image: str
    label: str | None = None
    reconstruction: float
    latent_judge: str | None = None
    void: bool | None = None
    image_judge: str | None = None
    image_judge_probability: float | None = None
    head: str | None = None
    head_probability: float | None = None


class Encoded(Shape):
    """What a run makes of images."""

    run: str
    epoch: int
    classes: list[str]
    images: list[Image]


class Step(Shape):
    """A step of a morph: the class that each judge says, and None in void."""

    latent_judge: str | None
    image_judge: str
    image_judge_probability: float


class Morphed(Shape):
    """What lies on a path from one class to another."""

    a: str
    b: str
    route: Literal["straight", "border"]
    direct: bool
    strangers: list[str]
    crosses_void: bool
    realism: float
    steps: list[Step]
    picture: str
    animation: str | None


class Prepared(Shape):
    """What a recipe would train, and on what."""

    train_images: int
    validation_images: int
    image_shape: tuple[int, int, int]
    parameters: int
    device: str
    terms: list[str]
    epochs: int
    steps_per_epoch: int


class Ran(Shape):
    """What became of a run, with the figures of its last epoch; or of --dry-run, which is prepared
    alone."""

    run: str | None
    status: str | None
    epoch: int | None
    metrics: dict[str, float | None]
    prepared: Prepared | None


class Checked(Shape):
    """What a check has found."""

    check: str
    status: Literal["passed", "failed", "note", "not checked"]
    reason: str | None


class CheckedComponent(Shape):
    """The checks of a component."""

    kind: str
    name: str
    checks: list[Checked]


class CheckedPlugin(Shape):
    """Whether a plugin keeps the contract. A recipe's problem is None if it can be read."""

    plugin: str
    components: list[CheckedComponent]
    recipes: dict[str, str | None]


class Scaffolded(Shape):
    """A new package, and the commands that come next."""

    folder: str
    next: list[str]


class Facts(RootModel[dict[str, dict[str, str]]]):
    """Facts by title."""


class ListedPlugins(RootModel[list[Listed]]):
    """Every component, what else plugins add, and broken plugins."""


class Shelf(RootModel[list[Shelved]]):
    """What can be run by name."""


SHAPES: dict[str, type[BaseModel]] = {
    "check-plugin": CheckedPlugin,
    "compare": Compared,
    "describe": Described,
    "doctor": Facts,
    "encode": Encoded,
    "evaluate": Evaluated,
    "list-plugins": ListedPlugins,
    "morph": Morphed,
    "new-plugin": Scaffolded,
    "plan": Planned,
    "recipes": Shelf,
    "run": Ran,
    "show": Shown,
    "sweep": Swept,
    "validate": Validated,
}
