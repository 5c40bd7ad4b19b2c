"""The kinds of component: one short base class each.

A component is a frozen pydantic model. Its fields are its recipe keys and the string below each is
that key's help, its docstring is its own help, its one method does its job. A subclass sets `name`,
the name that recipes use:

    class Halving(Schedule):
        "Halves the weight every `every` units of time."

        name = "halving"
        start: float = 1.0
        every: float = 1000.0

        def value(self, t):
            return self.start * 0.5 ** (t / self.every)

Shapes: B images in a batch, C channels, H x W pixels, D latent dimensions, F features,
K classes. Heavy imports (torch, matplotlib) belong inside the methods, so that listing and
validating stay quick.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
)

from dvae_core.plugin.augmentation import Augmentation
from dvae_core.plugin.component import Component as Component
from dvae_core.plugin.given import Jobs, Row, Run, Snapshot, Sweep
from dvae_core.plugin.labelled_images import ImageShape, LabelledImages
from dvae_core.plugin.model_kinds import KL as KL
from dvae_core.plugin.model_kinds import Decoder as Decoder
from dvae_core.plugin.model_kinds import Encoder as Encoder
from dvae_core.plugin.model_kinds import Head as Head
from dvae_core.plugin.model_kinds import Posterior as Posterior
from dvae_core.plugin.model_kinds import Reconstruction as Reconstruction
from dvae_core.plugin.model_kinds import Term as Term

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor


def _find_path(path: Path, info: ValidationInfo) -> Path:
    folders = (info.context or {}).get("folders", ())
    try:
        candidates = [folder / path.expanduser() for folder in (*folders, Path.cwd())]
        return next((p for p in candidates if p.exists()), candidates[0]).resolve()
    except (OSError, RuntimeError) as error:  # a name too long, ~someone who is not there
        raise ValueError(f"no usable path: {getattr(error, 'strerror', None) or error}") from None


RecipePath = Annotated[Path, AfterValidator(_find_path)]
"""A path in a recipe: looked for beside the recipe's file, then in the working directory."""


class Schedule(Component):
    """A weight as a function of training time."""

    kind = "schedule"
    name_key = "schedule"

    unit: Literal["step", "epoch", "run"] = "step"
    """What time is counted in: steps, epochs (with fractions), or the run from 0 to 1."""
    allow_unfinished: bool = False
    """Accept a run that ends before the schedule has settled."""

    @abstractmethod
    def value(self, t: float) -> float:
        """The weight at time t >= 0. Pure: the same t gives the same weight."""

    def settles_at(self) -> float | None:
        """The time from which the weight stays (nearly) the same, in `unit`.

        A run that ends earlier is refused unless `allow_unfinished`. None makes no promise,
        and is never refused.
        """
        return None


class Dataset(Component):
    """Labelled images for training and testing."""

    kind = "dataset"

    train_limit: int | None = Field(default=None, ge=1)
    """Take only so many training images, the first ones of each class alike."""
    test_limit: int | None = Field(default=None, ge=1)
    """Take only so many test images, the first ones of each class alike."""
    validation_fraction: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Hold out this share of the training images, of each class alike, for `val/...` figures.

    Nothing is held out of data that has a validation part of its own.
    """
    labelled_fraction: float = Field(default=1.0, ge=0.0, le=1.0)
    """The share of the training labels that guidance may see; evaluation sees them all."""
    spread_labels: bool = False
    """Give training images without a label the likeliest one by similar images."""
    augmentation: Augmentation | None = None
    """What training images go through: { shift = 2, rotate = 10.0, noise = 0.1 }."""

    @abstractmethod
    def load(self, cache: Path) -> LabelledImages:
        """The images and labels. `cache` is a folder for files worth keeping.

        Raises:
            DataError: the data cannot be had or is damaged; the message says what to do.
        """

    def augment(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor | tuple[Tensor, Tensor]:
        """What training makes of a batch, on its device: `augmentation`, if nothing else is said.

        It is called at each step and must draw from `generator` alone, which is that step's, so
        that a run goes on exactly as it would have.

        Args:
            images: [B, C, H, W] in [0, 1].
            labels: [B], -1 where they are hidden.
            generator: on the images' device.

        Returns:
            Images of the same shape, or two: those that go in, and those to be decoded.
        """
        return images if self.augmentation is None else self.augmentation(images, generator)

    def size(self) -> int | None:
        """How many training images `load` gives, where that is known without loading."""
        return None

    def image_shape(self) -> ImageShape | None:
        """(C, H, W), where that is known without loading."""
        return None

    def has_validation(self) -> bool | None:
        """Whether `load` gives a validation part; None where that is not known without loading."""
        return False


class Metric(Component):
    """Measures a snapshot.

    `directions` says which of its numbers are better when "higher" or "lower", by name or by a
    pattern such as "share/*", for `dvae compare` to mark the best; it marks no others. `explains`
    says in the same way what each number means, with its unit, for pages and `dvae describe`.
    """

    kind = "metric"
    directions: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {}
    explains: ClassVar[Mapping[str, str]] = {}
    needs_bound: ClassVar[bool] = False
    """Whether it needs a bound on the likelihood. A recipe without one is refused."""

    @classmethod
    def against_plain(
        cls, measured: Mapping[str, float], plain: Mapping[str, float]
    ) -> dict[str, float]:
        """Further numbers by name, for a run that is compared with its plain one.

        Args:
            measured: the last row of a run's metrics, those of the test images by name alone. It is
                asked once more for the validation images', by name alone; these become `val/...`.
            plain: the same of the run with the same seed and recipe, without guidance and terms.
        """
        return {}

    @abstractmethod
    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        """Finite numbers by name; kept as `test/<name>`, or `val/<name>` of validation images."""

    def details(self, snapshot: Snapshot) -> dict[str, Any]:
        """Arrays and plain values to keep beside the numbers.

        They are written to the run folder's `evaluation/`: arrays to an npz file, and all that is
        short enough to read to a JSON file.
        """
        return {}


class Plot(Component):
    """Draws a snapshot."""

    kind = "plot"

    @abstractmethod
    def draw(self, snapshot: Snapshot) -> Figure:
        """A matplotlib figure, made without pyplot so that no global state is left behind."""


class Callback(Component):
    """Listens to a run. A callback that raises is reported once and switched off."""

    kind = "callback"

    def check(self) -> None:
        """Before data is loaded and a folder is made: can it do its work here?

        A check that has a parameter `recipe` is given the resolved recipe as a table.

        Raises:
            DvaeError: it cannot, for a package is missing, say; the message says what to do. The
                run does not start.
        """

    def run_started(self, run: Run) -> None:
        """Before the first step, or before the first step after a resume."""

    def epoch_finished(self, run: Run, metrics: Row, figures: dict[str, Path]) -> None:
        """After an epoch's metrics and figures are on disk. `metrics` is its metrics.jsonl row.

        `run.stop(reason)` ends the run here. Of an epoch that became the last one in this way, or
        by a kill, it may be told once more, with all that the last row has.
        """

    def run_finished(self, run: Run, status: str) -> None:
        """At the end. `status` is finished, interrupted or failed."""

    def sweep_finished(self, sweep: Sweep) -> None:
        """When all runs of a sweep have ended, and its table, figures and report are on disk.

        It is told once for each different callback of the runs' recipes, in the process that drives
        the sweep, to a callback that has seen none of the runs; again when the sweep goes on.
        """

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to know of this callback: numbers, strings, lists, dicts."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave, before `run_started` of a resumed run."""


class Launcher(Component):
    """Runs the jobs of a sweep somewhere, each by `dvae_core.run_job`. Named in sweep files."""

    kind = "launcher"

    @abstractmethod
    def launch(self, jobs: Jobs) -> Iterator[None]:
        """Do the jobs; a generator that yields at least once a second while it waits.

        It takes a job from `jobs` (an iterator; `len(jobs)` are left) when it has room for one,
        calls `run_job(job)` in a process of its choice, and ends when all that it took have ended.
        What became of a job it need not know: the sweep reads that from the run folders. A job
        whose process died may be done again at once; the sweep offers it again otherwise. Closed
        early, it ends what it has started.
        """

    def at_once(self, runs: int) -> int | None:
        """How many of so many runs go on at the same time, where that is known.

        One with a parameter `device` is given the device that all recipes name, or "auto".
        """
        return None


KINDS: dict[str, type[Component]] = {
    cls.kind: cls
    for cls in (
        Encoder,
        Posterior,
        Decoder,
        Reconstruction,
        KL,
        Head,
        Term,
        Schedule,
        Dataset,
        Metric,
        Plot,
        Callback,
        Launcher,
    )
}
"""The base class of each kind, by its name."""
