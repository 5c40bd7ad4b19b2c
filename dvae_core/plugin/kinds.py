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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
)

from dvae_core.plugin.component import Component as Component
from dvae_core.plugin.given import Jobs, Model, Outputs, Row, Run, Snapshot, Sweep
from dvae_core.plugin.labelled_images import ImageShape, LabelledImages

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn


def _find_path(path: Path, info: ValidationInfo) -> Path:
    folders = (info.context or {}).get("folders", ())
    try:
        candidates = [folder / path.expanduser() for folder in (*folders, Path.cwd())]
        return next((p for p in candidates if p.exists()), candidates[0]).resolve()
    except (OSError, RuntimeError) as error:  # a name too long, ~someone who is not there
        raise ValueError(f"no usable path: {getattr(error, 'strerror', None) or error}") from None


RecipePath = Annotated[Path, AfterValidator(_find_path)]
"""A path in a recipe: looked for beside the recipe's file, then in the working directory."""


class Encoder(Component):
    """Turns images into features, from which the posterior makes latent points."""

    kind = "encoder"

    @abstractmethod
    def build(self, image_shape: ImageShape) -> nn.Module:
        """A module from images [B, C, H, W], float in [0, 1], to features [B, F].

        Raises:
            ValueError: the images have a size that this encoder cannot take.
        """


class Posterior(Component):
    """Makes latent points of features: the approximate posterior q(z | image)."""

    kind = "posterior"
    family: ClassVar[Literal["independent normal", "normal", "other", "point"]] = "other"
    """Which KLs know it.

    "independent normal": mean and log_var say all. "normal": they are those of its marginals, and
    `correlation` says the rest, for priors with independent dimensions (`KL.independent`). "other":
    only a KL that is given the outputs (`KL.given_outputs`) can be right. "point": it has no
    density, so that there is no bound, and any KL is a penalty.
    """

    @abstractmethod
    def build(self, features: int, latent_dim: int) -> nn.Module:
        """A module from (features [B, F], noise [B, D]) to a `dvae_core.Sample`.

        The noise is standard normal. What it gives is float32, also where a run in bfloat16 has
        features and linear maps in that. `dvae_core.IndependentNormal(features, latent_dim)` is
        such a module, to use as it is or to build on.

        Raises:
            ValueError: it does not suit the latent space.
        """


class Decoder(Component):
    """Turns latent points into images, as logits."""

    kind = "decoder"
    given_labels: ClassVar[bool] = False
    """Whether it is conditional: then `build` has a third parameter, the class names, and what it
    builds is called with (z, labels [B]). Labels are -1 where they are hidden or nobody says."""

    @abstractmethod
    def build(self, latent_dim: int, image_shape: ImageShape) -> nn.Module:
        """A module from z [B, D] to logits [B, C, H, W], with no output activation.

        `image_shape` is that of the logits, whose C is what the reconstruction asks for.

        Raises:
            ValueError: this decoder cannot make images of that size.
        """


class Reconstruction(Component):
    """Owns the output activation and says how far a decoded image is from the true one."""

    kind = "reconstruction"
    core_keys = frozenset({"weight"})

    @abstractmethod
    def image(self, logits: Tensor) -> Tensor:
        """Images [B, C, H, W] in [0, 1] from logits [B, M, H, W]."""

    @abstractmethod
    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        """The loss [B] of each image, summed over channels and pixels."""

    def channels(self, image_shape: ImageShape) -> int:
        """M, how many maps the decoder is to give for images of (C, H, W)."""
        return image_shape[0]

    def build(self, image_shape: ImageShape) -> Any:
        """What has `image` and `loss`: the component itself, or an nn.Module.

        The parameters of a module are trained and saved with the model.

        Raises:
            ValueError: it does not suit such images.
        """
        return self

    def log_constant(self, pixels: int) -> float | None:
        """log p(image | z) + loss, which must not depend on anything but C * H * W = `pixels`.

        None where the loss is no negative log-likelihood: then no bound is reported.
        """
        return None


class KL(Component):
    """Pulls the approximate posterior towards a prior."""

    kind = "kl"
    core_keys = frozenset({"weight"})
    divergence: ClassVar[bool] = False
    """Whether this is the true divergence from N(mean, exp(log_var)) to a prior, in nats.

    Only then are bounds on the likelihood reported; the prior's density is read off it.
    """
    given_label: ClassVar[bool] = False
    """Whether the prior of an image with a label depends on the label.

    What the loss bounds is then log p(image | label), and log p(image) where the label is hidden.
    """
    independent: ClassVar[bool] = False
    """Whether the prior's dimensions are independent, so that it may stand beside "normal"
    posteriors: the core adds their `correlation`, which is all that a function of mean and log_var
    misses."""
    given_outputs: ClassVar[bool] = False
    """Whether its function takes a fourth argument, the `dvae_core.Outputs` with z and log_q.

    For posteriors or priors of which mean and log_var say too little. What a divergence builds has
    a method `log_prior(z [B, D])` then, the density [B] in nats without a label; without it there
    is no importance-weighted bound.
    """

    @abstractmethod
    def build(
        self, latent_dim: int, classes: tuple[str, ...]
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """A function of (mean [B, D], log_var [B, D], labels [B]) that gives the term [B].

        Summed over dimensions. It may be an nn.Module with parameters, which are then trained
        and saved with the model; it is in evaluation mode where the run is measured. Labels are
        -1 where they are hidden.

        A build that has a parameter `pairs` is given the pairs of classes that the recipe names, by
        number. What it returns may have an attribute `means` [K, D], where the prior has its
        classes: terms and pictures find them there.

        Raises:
            ValueError: it does not fit the classes or the latent space.
        """


class Head(Component):
    """The guidance head: classifies latent samples while training."""

    kind = "head"
    core_keys = frozenset({"weight"})

    @abstractmethod
    def build(self, latent_dim: int, classes: tuple[str, ...]) -> nn.Module:
        """A module from z [B, D] to class logits [B, K] (not probabilities)."""


class Term(Component):
    """An extra summand of the loss: what is neither reconstruction, KL nor guidance."""

    kind = "term"
    core_keys = frozenset({"weight"})

    @abstractmethod
    def build(self, model: Model) -> Callable[[Outputs, Tensor], Tensor]:
        """A function of (outputs, labels [B]) that gives a scalar.

        Labels are -1 where they are hidden. It may be an nn.Module, and may have a method
        `measured(row)`, which is told of each evaluated epoch's row of metrics.jsonl: a term can
        so attend to what is not yet as it should be. What it learns there belongs into buffers.

        Raises:
            ValueError: the term cannot be had with this model or these classes.
        """

    def named_pairs(self, classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        """The pairs of classes, by number, that this term wants side by side.

        Metrics and plots point them out.
        """
        return ()


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
    """Hold out this share of the training images, of each class alike, for `val/...` figures."""
    labelled_fraction: float = Field(default=1.0, ge=0.0, le=1.0)
    """The share of the training labels that guidance may see; evaluation sees them all."""

    @abstractmethod
    def load(self, cache: Path) -> LabelledImages:
        """The images and labels. `cache` is a folder for files worth keeping.

        Raises:
            DataError: the data cannot be had or is damaged; the message says what to do.
        """

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
    pattern such as "share/*", for `dvae compare` to mark the best; it marks no others.
    """

    kind = "metric"
    directions: ClassVar[Mapping[str, Literal["higher", "lower"]]] = {}
    needs_bound: ClassVar[bool] = False
    """Whether it needs a bound on the likelihood. A recipe without one is refused."""

    @classmethod
    def against_plain(
        cls, measured: Mapping[str, float], plain: Mapping[str, float]
    ) -> dict[str, float]:
        """Further numbers by name, for a run that is compared with its plain one.

        Args:
            measured: the last row of a run's metrics, those of the test images by name alone.
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

        Raises:
            DvaeError: it cannot, for a package is missing, say; the message says what to do. The
                run does not start.
        """

    def run_started(self, run: Run) -> None:
        """Before the first step, or before the first step after a resume."""

    def epoch_finished(self, run: Run, metrics: Row, figures: dict[str, Path]) -> None:
        """After an epoch's metrics and figures are on disk. `metrics` is its metrics.jsonl row."""

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
        """How many of so many runs go on at the same time, where that is known."""
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
