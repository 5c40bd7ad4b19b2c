"""What metrics and plots see after an epoch. What several of them need is computed once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from dvae_core.errors import DataError, DvaeError
from dvae_core.latent.borders.image_judge import ImageJudge, image_judge_of
from dvae_core.latent.borders.judge import Judge
from dvae_core.latent.borders.paths import LINES, STEPS, Paths, paths
from dvae_core.latent.borders.regions import Regions, border_points, regions
from dvae_core.latent.colours import class_colours
from dvae_core.latent.losses import Losses
from dvae_core.latent.networks import HIDDEN, Networks, as_arrays
from dvae_core.latent.strangeness import USUAL, Strangeness
from dvae_core.model.data import first_of_each
from dvae_core.model.objective import Objective
from dvae_core.plugin.labelled_images import ImageShape, LabelledImages, Split
from dvae_core.randomness import derived_seed
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.rows import SPLITS


class Snapshot:
    """The model, the data and their place in latent space after an epoch.

    Everything is a NumPy array, read-only and computed when first asked for. A snapshot is good
    until training goes on. N training images, no more than the recipe's evaluate.train_limit, and
    M test images, D latent dimensions, K classes. Where it looks at the validation images, they are
    the test images of all that is said here, and their figures stand under `test/` in its history.
    """

    train_targets: np.ndarray | None = None
    """[N, K], what the head learns in place of classes; mostly None."""
    test_targets: np.ndarray | None = None
    """[M, K]"""

    def __init__(
        self,
        recipe: Recipe,
        networks: Networks,
        objective: Objective,
        data: LabelledImages,
        *,
        epoch: int,
        step: int,
        history: Sequence[dict[str, Any]] = (),
        say: Callable[[str], None] = lambda text: None,
        stop: Callable[[str], None] = lambda reason: None,
        split: Split = "test",
        trained: Mapping[str, Any] | None = None,
    ) -> None:
        self.split = split
        """Which images are looked at: "test", or "val" for the validation images."""
        self.epoch = epoch
        """Epochs finished."""
        self.step = step
        """Steps finished."""
        self.seed = recipe.seed
        """For metrics and plots that need a random choice; the same in every epoch."""
        self.classes = data.classes
        """The names of the K classes."""
        self.latent_dim = recipe.latent.dim
        """D"""
        self.image_shape: ImageShape = data.image_shape
        """(C, H, W)"""
        self._placed = first_of_each(data.train_labels, recipe.evaluate.train_limit)
        self.train_labels = read_only(data.train_labels[self._placed])
        """[N]; -1 is unlabelled."""
        self._images, labels = data.part(split)
        self.test_labels = read_only(labels)
        """[M]; -1 is unlabelled."""
        self.train_targets, self.test_targets = (
            None if a is None else read_only(a)
            for a in (data.rows("train", self._placed)["train_targets"], data.targets(split))
        )
        self.history = history if split == "test" else [_as_test(row) for row in history]
        """The rows of metrics.jsonl of the epochs before this one."""
        self._rows = history
        self._recipe = recipe
        self._networks = networks
        self._objective = objective
        self._data = data
        self._timeline = recipe.timeline(len(data.train_images))
        self._say = say
        self._trained = trained
        self._stop = stop
        self._paths: dict[tuple[int, int], Paths] = {}
        self.shown_class: int | None = None
        """The class, by number, that points are decoded as where nobody says; None for none."""

    def stop(self, reason: str) -> None:
        """End the run that is looked at after this epoch, as `Run.stop`; otherwise do nothing."""
        self._stop(reason)

    def on(self, split: Split) -> Snapshot:
        """The same, looking at the images of a split.

        Raises:
            DataError: there are no validation images.
        """
        if split == self.split:
            return self
        other = Snapshot(
            self._recipe,
            self._networks,
            self._objective,
            self._data,
            epoch=self.epoch,
            step=self.step,
            history=self._rows,
            say=self._say,
            stop=self._stop,
            split=split,
            trained=self._trained,
        )
        other.shown_class = self.shown_class
        if (known := self.known_train_means) is not None:
            other.train_means = known
        return other

    def showing(self, label: int | None) -> Snapshot:
        """The same, decoding points as images of a class where nobody says otherwise.

        Raises:
            DvaeError: the decoder takes no labels.
        """
        if label is not None and not self.conditional:
            raise DvaeError("the decoder takes no labels, so no class can be asked for")
        other = copy.copy(self)
        other.shown_class = label
        return other

    # --- Where the images lie.

    @cached_property
    def train_means(self) -> np.ndarray:
        """[N, D]"""
        return read_only(self.encode(self._data.train_images[self._placed])[0])

    @property
    def known_train_means(self) -> np.ndarray | None:
        """`train_means`, if anything has asked for them yet."""
        return vars(self).get("train_means")

    @cached_property
    def test_posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """mean and log_var [M, D]."""
        means, log_vars = self.encode(self._images)
        return read_only(means), read_only(log_vars)

    @cached_property
    def test_means(self) -> np.ndarray:
        """[M, D]"""
        return self.test_posterior[0]

    @cached_property
    def test_log_vars(self) -> np.ndarray:
        """[M, D]"""
        return self.test_posterior[1]

    @cached_property
    def independent_posterior(self) -> bool:
        """Whether posteriors are normal, with independent dimensions, as `test_log_vars` says."""
        posterior = self._recipe.posterior
        return posterior is None or posterior.family == "independent normal"

    @cached_property
    def test_images(self) -> np.ndarray:
        """float32 [M, C, H, W] in [0, 1]."""
        images = self._images
        return read_only(images if images.dtype == np.float32 else images.astype(np.float32) / 255)

    def images(self, part: Literal["train", "test"], chosen: np.ndarray) -> np.ndarray:
        """Those [P, C, H, W] of the N or the M images with P indices, uint8 or float in [0, 1]."""
        if part == "test":
            return self._images[chosen]
        images = self._data.train_images
        return images[np.arange(len(images))[self._placed][chosen]]

    def test_sample(self, most: int) -> np.ndarray:
        """Indices [P] of `most` test images, or of all there are; as many of each class alike."""
        return np.arange(len(self.test_labels))[first_of_each(self.test_labels, most)]

    def nearest(self, points: np.ndarray, k: int = 15) -> tuple[np.ndarray, np.ndarray]:
        """The k labelled training images whose means are nearest to points [P, D].

        Returns:
            Their distances and labels, [P, k] each, nearest first.
        """
        return self.judge.nearest(points, k)

    # --- Whose latent space it is.

    @cached_property
    def judge(self) -> Judge:
        """Says which class a latent point belongs to: a vote of the 15 nearest training means."""
        return self.judge_of(None)

    def judge_of(self, k: int | None, **knobs: Any) -> Judge:
        """A judge with another number of neighbours that vote, and what else `Judge` takes."""
        means, labels = self.train_means, self.train_labels
        return Judge(means, labels, self.test_means, len(self.classes), k, **knobs)

    @cached_property
    def regions(self) -> Regions:
        """What each class owns, and who borders whom."""
        labels = np.concatenate([self.train_labels, self.test_labels])
        return regions(self.judge, self.train_means, self.test_means, labels)

    def border_points(self, a: int, b: int) -> np.ndarray:
        """Latent points [P, D] on the border of two classes; none if they share none."""
        return border_points(self.judge, self.regions, self.test_means, a, b)

    def paths(self, lines: int = LINES, steps: int = STEPS) -> Paths:
        """The verdicts along straight lines between every two classes."""
        key = (lines, steps)
        if key not in self._paths:
            self._paths[key] = paths(
                self.judge,
                self.test_means,
                self.test_labels,
                self.random("paths"),
                lines=lines,
                steps=steps,
            )
        return self._paths[key]

    @cached_property
    def image_judge(self) -> ImageJudge:
        """Says what an image looks like: a network that saw real training images alone.

        It is trained once for a data set, which takes a while, and kept in the cache folder.
        """
        return image_judge_of(self._data, self._networks.device, self._say)

    def strangeness(self, images: np.ndarray) -> np.ndarray:
        """How far images [P, C, H, W] are from real ones, as the image judge sees them.

        The distance [P] of its `features` to those of the nearest of 10,000 training images, over
        the median of that distance among real test images: 1 is usual.
        """
        return self._strangeness.of(images)

    @cached_property
    def named_pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of classes that the recipe wants side by side, by number."""
        terms = (term.component.named_pairs(self.classes) for term in self._recipe.terms)
        named = (self._recipe.named_pairs(self.classes), *terms)
        return tuple(dict.fromkeys(pair for pairs in named for pair in pairs))

    @property
    def class_means(self) -> np.ndarray | None:
        """[K, D]: where the prior has its classes; None where it has no such places."""
        means = getattr(self._objective.kl, "means", None)
        return None if means is None else means.detach().cpu().numpy()

    # --- What the networks say.

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """mean and log_var [P, D] of images [P, C, H, W], uint8 or float in [0, 1]."""
        return self._networks.encode(images)

    @property
    def conditional(self) -> bool:
        """Whether the decoder takes labels."""
        return self._networks.model.conditional

    @property
    def decoded_as(self) -> str:
        """In words, the class that points are decoded as; empty where the decoder takes none."""
        if not self.conditional:
            return ""
        label = self.shown_class
        return "decoded as " + ("no known class" if label is None else self.classes[label])

    def decode(self, points: np.ndarray, labels: np.ndarray | int | None = None) -> np.ndarray:
        """Images float32 [P, C, H, W] in [0, 1] of latent points [P, D].

        A conditional decoder is shown the labels, one for all or [P], where -1 is unknown; those of
        `shown_class`, or none, if they are left out. Other decoders take no notice.
        """
        if labels is None:
            labels = HIDDEN if self.shown_class is None else self.shown_class
        return self._networks.decode(points, labels)

    def draw(
        self, count: int, label: int | None = None, *, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `LoadedRun.draw`."""
        labels = self._data.train_labels
        some = np.arange(len(labels)) if label is None else np.flatnonzero(labels == label)
        if not len(some):
            raise DataError(f"no training image has the class {label}, so none can be drawn from")
        random = np.random.default_rng(seed)
        chosen = random.choice(some, count)
        noise = random.standard_normal((count, self.latent_dim))
        return self._networks.draw(self._data.train_images[chosen], noise), labels[chosen]

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """What is trained, and buffers, by name, as copies.

        `encoder.…`, `posterior.…`, `decoder.…`, `head.…`, `reconstruction.…`, `kl.…` and
        `terms.<name>.…`, as the parts that are modules name them.
        """
        own = self._trained
        if own is None:
            own = self._networks.model.state_dict() | self._objective.state_dict()
        return as_arrays(own)

    def classify(self, points: np.ndarray) -> np.ndarray | None:
        """The head's class probabilities [P, K] at latent points [P, D]; None without guidance."""
        return self._networks.classify(points)

    # --- The loss.

    def test_losses(self) -> dict[str, float]:
        """Means of reconstruction and kl over the test images, at one sample of z each.

        A conditional decoder is shown their labels.
        """
        return self._losses.means()

    def log_likelihood(self, chosen: np.ndarray, samples: int) -> np.ndarray:
        """A lower bound [P], in nats, on log p(image) of the test images with P indices.

        log 1/K sum_k p(image | z_k) p(z_k) / q(z_k | image), where the K `samples` come from the
        approximate posterior q; Burda et al., "Importance Weighted Autoencoders"
        (arXiv:1509.00519), equation 8. The mean of the bound grows with K towards log p(image).
        The model's densities count as they are, whatever weights it was trained with. No label is
        shown to prior and decoder: this is about p(image), also where the loss bounds
        p(image | label).

        Raises:
            ValueError: the KL is no divergence or does not say its prior, the posterior has no
                density, or the reconstruction is no log-likelihood.
        """
        return self._losses.log_likelihood(chosen, samples)

    @property
    def total_steps(self) -> int:
        """Steps in the whole run."""
        return self._timeline.total

    @cached_property
    def labelled_steps(self) -> int:
        """The first so many steps of the run see labels."""
        return self._recipe.train.labelled_steps(self.total_steps)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term of the loss at the last step."""
        return self._timeline.values(self._recipe.weights, max(self.step - 1, 0))

    def weight_curves(self, points: int = 500) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each term of the loss, steps over the whole run and the weight at each."""
        steps = np.unique(np.linspace(0, self.total_steps - 1, points).round().astype(int))
        return {
            name: (steps, np.array([self._timeline.value(weight, int(step)) for step in steps]))
            for name, weight in self._recipe.weights.items()
        }

    # --- Looks.

    @property
    def colours(self) -> list[str]:
        """A colour for each class, the same in every plot."""
        return class_colours(len(self.classes))

    def random(self, purpose: str) -> np.random.Generator:
        """A generator for one purpose, the same in every epoch."""
        return np.random.default_rng(derived_seed(self.seed, purpose))

    # --- Inside.

    @cached_property
    def _strangeness(self) -> Strangeness:
        known, labels = self._data.train_images, self._data.train_labels
        unseen = self._images[self.test_sample(USUAL)]
        return Strangeness(self.image_judge, known, labels, unseen)

    @cached_property
    def _losses(self) -> Losses:
        return Losses(
            self._recipe,
            self._networks,
            self._objective,
            self._images,
            self.test_labels,
            lambda: self.test_posterior,
        )


def _as_test(row: dict[str, Any]) -> dict[str, Any]:
    """A row that says under `test/` what it says under `val/`."""
    own = {k.replace("val/", "test/", 1): v for k, v in row.items() if k.startswith("val/")}
    return {k: v for k, v in row.items() if not k.startswith(SPLITS)} | own


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that nobody writes through: what several look at, and training goes on with."""
    view = array.view()
    view.flags.writeable = False
    return view
