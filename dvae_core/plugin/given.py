"""What components are handed, as far as they may use it.

A callback's run, a launcher's jobs, a term's model: each is more than what stands here, and only
what stands here is promised. Annotate with these names, from `dvae_core`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dvae_core.plugin.labelled_images import ImageShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

Snapshot: TypeAlias = Any
"""`dvae_core.Snapshot`, which a metric or plot annotates in full. Here it would tie the contract to
the model that it looks at; a protocol of its thirty members would be a second copy of them."""

Row: TypeAlias = dict[str, float]
"""An epoch's row of metrics.jsonl.

`epoch` and `step` (finished ones), `seconds`, `images_per_second`; `train/loss`, `train/<term>` and
`train/<term>_weight` of each term (reconstruction, kl, guidance and the extra ones),
`train/guidance_accuracy`; `train/lr` of the epoch's last step where the learning rate follows a
schedule; `test/reconstruction`, `test/kl` and `test/<name>` of what the metrics
gave. Where there are validation images, `val/...` says the same of them, and the last epoch's row
alone has `test/...`. A key that does not apply, or was not measured, is left out.
"""


@dataclass(frozen=True)
class Sample:
    """What a posterior makes of the features of a batch and of noise."""

    z: Tensor
    """[B, D]: the sample."""
    mean: Tensor
    """[B, D]: the point that stands for the image, whatever the noise."""
    log_var: Tensor
    """[B, D]: the logarithm of the variance in each dimension; 0 for a point."""
    log_q: Tensor | None = None
    """[B]: log q(z | image), in nats. None for a point, and where `noise` says it."""
    correlation: Tensor | None = None
    """[B], in nats: the divergence of q from the product of its marginals. For "normal" posteriors;
    None where dimensions are independent."""
    noise: Tensor | None = None
    """[B, D], in place of log_q: z = mean + noise exp(log_var / 2), and the noise is standard
    normal, so that log_q is worked out where somebody asks for it."""

    @property
    def log_density(self) -> Tensor | None:
        """[B]: log q(z | image); None for a point."""
        if self.noise is None:
            return self.log_q
        return -0.5 * (self.noise.square() + self.log_var + math.log(2 * math.pi)).sum(dim=1)


@dataclass(frozen=True)
class Outputs:
    """What the model computes for a batch."""

    images: Tensor
    """[B, C, H, W] in [0, 1]: what is to be decoded, which is what went in unless that alone was
    augmented."""
    mean: Tensor
    """[B, D]"""
    log_var: Tensor
    """[B, D]"""
    z: Tensor
    """[B, D]: a sample of the approximate posterior."""
    logits: Tensor
    """[B, M, H, W]: the decoded images before the output activation; M is C for most."""
    class_logits: Tensor | None
    """[B, K], or None without guidance."""
    sample: Sample | None = None
    """All that the posterior gave."""

    @property
    def log_q(self) -> Tensor | None:
        """[B]: log q(z | image), in nats; None where the posterior is a point."""
        return None if self.sample is None else self.sample.log_density

    @property
    def correlation(self) -> Tensor | None:
        """[B]: the posterior's divergence from the product of its marginals; None where it is 0."""
        return None if self.sample is None else self.sample.correlation


class Model(Protocol):
    """What a term may use of the model. On the run's device; its parameters are trained."""

    latent_dim: int
    """D"""
    image_shape: ImageShape
    """(C, H, W)"""
    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    pairs: tuple[tuple[int, int], ...]
    """The pairs of classes that the recipe names, by number."""

    @property
    def class_means(self) -> Tensor | None:
        """[K, D]: where the prior has its classes; None where it has no such places."""

    @property
    def posterior(self) -> Any:
        """What the recipe's posterior built."""

    @property
    def reconstruction(self) -> Any:
        """What the recipe's reconstruction built: `image(logits)`, `loss(logits, images)` [B]."""

    @property
    def kl(self) -> Any:
        """What the recipe's KL built."""

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) [B] of latent points [B, D] under the prior of an image without a label.

        Raises:
            ValueError: the KL is no divergence, or does not say its prior's density.
        """

    @property
    def head(self) -> nn.Module | None:
        """The guidance head, z [B, D] to class logits [B, K]; None without guidance."""

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """mean and log_var, [B, D] each, of images [B, C, H, W]."""

    def sample(self, images: Tensor, noise: Tensor) -> Sample:
        """Samples of the posteriors of images [B, C, H, W]; noise [B, D] is standard normal."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [B, M, H, W] of latent points [B, D].

        Labels [B], -1 where they are not known, are for a decoder that takes them; without any it
        knows none.
        """

    def classify(self, z: Tensor) -> Tensor | None:
        """The head's class logits [B, K] of latent points [B, D]; None without guidance."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, as of a torch module."""


class Run(Protocol):
    """What callbacks are told of a run."""

    path: Path
    """The run folder. A callback may add files and folders of its own."""

    @property
    def info(self) -> dict[str, Any]:
        """What run.json holds; a copy."""

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""

    @property
    def sweep(self) -> str | None:
        """The name of the sweep that the run is part of."""

    @property
    def recipe_table(self) -> dict[str, Any]:
        """The resolved recipe as a table."""

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last line that was cut off is left out."""

    def figure_path(self, epoch: int, name: str) -> Path:
        """Where the figure of a plot after an epoch lies."""

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint's file."""

    def stop(self, reason: str, *, restore_best: bool = False) -> None:
        """End the run as finished once its epoch is over; run.json has the reason of the first.

        Args:
            restore_best: end with the weights of the best epoch, which `train.keep_best` has kept.
        """

    @property
    def stopped(self) -> dict[str, Any] | None:
        """What was asked of `stop`, with the `epoch` once it is done; None if nothing was."""

    def remember(self, key: str, value: Any) -> None:
        """Keep something (JSON) for a later resume, such as a logger's id."""

    def recall(self, key: str, default: Any = None) -> Any:
        """What was remembered under a key."""


class Sweep(Protocol):
    """What callbacks are told of a sweep."""

    path: Path
    """The folder; figures/, report.html and comparison.md, .csv and .json are in it."""
    comparison: Any
    """What `compare_runs` gives of its runs; None where none has anything to compare."""
    journal: list[dict[str, Any]]
    """The rows of its journal.jsonl: sessions, variants, and how each run ended."""

    @property
    def name(self) -> str:
        """The folder's name, which is the sweep's."""

    @property
    def title(self) -> str:
        """The title in the sweep's file, or else the folder's name."""

    @property
    def table(self) -> dict[str, Any]:
        """The sweep's file as a table; empty if it cannot be read."""

    @property
    def goal(self) -> tuple[str, str] | None:
        """highest or lowest, and the metric's name in the comparison; None without a goal."""

    @property
    def best_first(self) -> Sequence[Any]:
        """The finished rows of the comparison, sorted by the goal if there is one."""

    @property
    def best_run(self) -> Any:
        """The finished run that is best by the goal; None without a goal."""

    def remember(self, key: str, value: Any) -> None:
        """Keep something (JSON) for when the sweep goes on, such as a logger's id."""

    def recall(self, key: str, default: Any = None) -> Any:
        """What was remembered under a key."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep: plain data that pickle and JSON (`dataclasses.asdict`) can carry."""

    name: str
    """The run's, which is its folder's in the sweep's folder."""
    sweep: str
    """The sweep's folder, on a path that every worker sees."""
    session: str
    """Which start of the sweep this is; the job goes on as long as it is the sweep's last one."""
    recipe: dict[str, Any]
    """The resolved recipe, as a table."""
    distributions: dict[str, str]
    """The versions that must be installed where it runs, by distribution."""
    threads: int | None = None
    """Threads for torch; what torch chooses if left out. `replace(job, threads=1)` sets them."""


class Jobs(Protocol):
    """What a launcher takes jobs from, when it has room for one."""

    def __iter__(self) -> Jobs:
        """Itself."""

    def __next__(self) -> Job:
        """The next job; StopIteration where there is none, for now."""

    def __len__(self) -> int:
        """How many are left."""

    @property
    def device(self) -> str:
        """The device that all recipes name; "auto" where they name several."""
