"""The tables of a recipe whose keys the core owns."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)

from dvae_core.plugin.kinds import Metric, Plot, RecipePath, Schedule
from dvae_core.recipe import goal, optimizers
from dvae_core.recipe.slots import (
    FROM_LIST,
    as_error,
    explain,
    number_or_schedule,
    slot,
    value_problem,
)


class Table(BaseModel):
    """A table whose keys the core owns."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    read_before: ClassVar[tuple[str, ...]] = ()
    """Keys that are taken out before a table is validated."""

    @model_validator(mode="wrap")
    @classmethod
    def _hints(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise explain(error, [*cls.model_fields, *cls.read_before]) from None


class Latent(Table):
    """The latent space."""

    dim: int = Field(default=2, ge=1, le=4096)
    """Dimensions."""


class Optimizer(Table):
    """Any torch.optim class by name, with its own keywords."""

    model_config = ConfigDict(extra="allow")

    name: str = "Adam"
    """The class, such as "Adam" or "RMSprop"."""
    lr: Annotated[Any, *number_or_schedule()] = None
    """The learning rate: a number, or a schedule as for weights. torch's own if left out."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the class is called with; a schedule is read before each step, and 1.0 till then."""
        lr = 1.0 if isinstance(self.lr, Schedule) else self.lr
        return {**({} if lr is None else {"lr": lr}), **(self.model_extra or {})}

    @property
    def schedule(self) -> Schedule | None:
        """That of the learning rate, if it has one."""
        return self.lr if isinstance(self.lr, Schedule) else None

    @model_validator(mode="after")
    def _known(self) -> Optimizer:
        found = optimizers.problems(self.name, self.keywords)
        if found:
            pairs = [((key,), value_problem(text, "key")) for key, text in found]
            raise as_error("optimizer", pairs)
        return self


class Train(Table):
    """How to train."""

    epochs: int = Field(default=10, ge=1)
    """How many times every training image is seen."""
    min_steps: int | None = Field(default=None, ge=1)
    """Steps at least. Where `epochs` come to fewer, as with small data, there are more epochs, and
    as many times more of them between evaluations; the run's recipe.toml has both. An `epochs` that
    is laid over it counts alone."""
    batch_size: int = Field(default=64, ge=1)
    """Images in a batch, and so in a step; the last one of an epoch takes what is left."""
    accumulate: int | None = Field(default=None, ge=1)
    """Batches whose gradients make one step: as one so many times larger, in less memory."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """auto takes cuda or mps where there is one."""
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "float32"
    """bfloat16 computes the network in autocast; losses stay float32. auto takes the faster one of
    these two. tf32 lets NVIDIA GPUs round what they multiply to ten bits; elsewhere it is float32.
    """
    deterministic: bool = False
    """Take algorithms that give the same bits each time alone; a GPU may have slower ones, or none.
    """
    compile: Literal["auto", "on", "off"] = "off"
    """on compiles the loss and its gradient. auto measures whether that pays."""
    start_from: RecipePath | None = None
    """The folder of an earlier run whose weights this one starts with, as far as they fit."""
    labels_until: float = Field(default=1.0, gt=0, le=1)
    """The share of the run that labels are shown for; from there on no term sees any."""
    clip_grad_norm: float | None = Field(default=None, gt=0)
    """Scale gradients down to this norm where theirs is larger."""
    checkpoint_every: str | None = Field(default=None, pattern=r"^[1-9]\d{0,8} (steps|minutes)$")
    """Checkpoints within an epoch, such as "200 steps" or "5 minutes"; each epoch ends in one."""
    keep_best: str | None = Field(default=None, pattern=goal.PATTERN)
    """Keep best.pt of the epoch with, for example, the "highest val/knn_accuracy"."""

    @property
    def step_size(self) -> int:
        """Images in a step."""
        return self.batch_size * (self.accumulate or 1)

    def labelled_steps(self, total: int) -> int:
        """The first so many of all steps see labels."""
        return math.ceil(self.labels_until * total)


class Evaluate(Table):
    """What to measure and draw, and how often."""

    every: int = Field(default=1, ge=1)
    """Epochs between evaluations; the last epoch always has one."""
    train_limit: int = Field(default=20_000, ge=1)
    """Training images that judges learn from, as many of each class; all if there are fewer."""
    metrics: Annotated[tuple[Annotated[Metric, *slot("metric")], ...], FROM_LIST] = ()
    """Metrics by name, or as tables with their keys."""
    plots: Annotated[tuple[Annotated[Plot, *slot("plot")], ...], FROM_LIST] = ()
    """Plots by name, or as tables with their keys."""
    line: Annotated[tuple[str, ...], FROM_LIST, Field(min_length=1, max_length=4)] | None = None
    """The measured figures that the line of an epoch has, such as ["knn_accuracy", "val/kl"]."""


TABLES: dict[str, type[Table]] = {
    "latent": Latent,
    "optimizer": Optimizer,
    "train": Train,
    "evaluate": Evaluate,
}
"""The core's own tables, by the name that a recipe gives them."""
