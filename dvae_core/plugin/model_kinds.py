"""The kinds of component that a model and its loss are made of. `kinds` has the others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dvae_core.plugin.component import Component
from dvae_core.plugin.given import Model, Outputs
from dvae_core.plugin.labelled_images import ImageShape

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


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
        number; parameters `images` and `labels` are given the training images, uint8 or float32
        [N, C, H, W], and what is known of their labels [N], and None where a checkpoint will be
        loaded. What it returns may have an attribute `means` [K, D], where the prior has its
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

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How wrong the logits [B, K] are of each image [B]: the cross-entropy, in nats.

        Labels are int64 [B], or float32 [B, K] where the data has targets
        (`LabelledImages.train_targets`). All are known: what is made of hidden ones counts nothing.
        """
        from torch.nn import functional as F  # noqa: N812

        return F.cross_entropy(logits, labels, reduction="none")

    @property
    def is_cross_entropy(self) -> bool:
        """Whether `loss` is what stands here, which is then computed in one for a whole batch."""
        return type(self).loss is Head.loss

    def check_labels(self, labels: np.ndarray) -> None:
        """Look at what this head is to learn before it does: int64 [N], or float32 [N, K].

        Hidden ones, -1 or NaN, are left out. What stands here refuses targets that are no shares.

        Raises:
            ValueError: the loss is not for such labels.
        """
        if labels.ndim == 1:
            return
        if labels.min() < 0 or abs(labels.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError(
                "the cross-entropy is for shares of classes, which are not below 0 and sum to 1; "
                f"these targets are {labels.min():g}..{labels.max():g}"
            )


class Term(Component):
    """An extra summand of the loss: what is neither reconstruction, KL nor guidance."""

    kind = "term"
    core_keys = frozenset({"weight"})

    @abstractmethod
    def build(self, model: Model) -> Callable[[Outputs, Tensor], Tensor]:
        """A function of (outputs, labels [B]) that gives a scalar.

        Labels are -1 where they are hidden. It may be an nn.Module, and may have a method
        `measured(row)`, which is told of each evaluated epoch's row of metrics.jsonl: a term can
        so attend to what is not yet as it should be. What it learns there belongs into buffers,
        written in place (`copy_`): a step that is one graph on a GPU knows no others.

        A build that has parameters `images` and `labels` is given the training images and what is
        known of their labels, as a KL's is.

        Raises:
            ValueError: the term cannot be had with this model or these classes.
        """

    def named_pairs(self, classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        """The pairs of classes, by number, that this term wants side by side.

        Metrics and plots point them out.
        """
        return ()
