"""The usual metrics of a latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from dvae_core import Metric

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import Snapshot


class KNN(Metric):
    """Accuracy on the test means of a vote among the k nearest training means."""

    name = "knn"
    explains = {"knn_accuracy": "how often the latent judge is right about test images, 0 to 1"}
    directions = {"knn_accuracy": "higher"}

    k: int = Field(default=15, ge=1)
    """How many neighbours vote."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        judge = snapshot.judge if self.k == snapshot.judge.k else snapshot.judge_of(self.k)
        return {"knn_accuracy": judge.accuracy(snapshot.test_labels)}


class LinearProbe(Metric):
    """Test accuracy of a logistic regression on the training means.

    How far straight borders tell the classes apart. Where images have targets and no class, the
    share of the targets' variance that a linear regression explains, R² of their mean.
    """

    name = "linear_probe"
    explains = {
        "linear_probe": "how often a linear classifier of the means is right about test "
        "images, 0 to 1",
        "linear_probe_r2": "the share of the targets' variance that a linear function of the means "
        "explains on test images; 0 is their mean, 1 all of it",
    }
    directions = {"linear_probe": "higher", "linear_probe_r2": "higher"}

    samples: int = Field(default=10_000, ge=1)
    """How many training means it learns from, at most."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if snapshot.train_targets is not None and snapshot.test_labels.max() < 0:
            return {"linear_probe_r2": self._explained(snapshot)}
        train = _sample(snapshot, snapshot.train_labels, self.samples)
        known = snapshot.test_labels >= 0
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        probe.fit(snapshot.train_means[train], snapshot.train_labels[train])
        score = probe.score(snapshot.test_means[known], snapshot.test_labels[known])
        return {"linear_probe": float(score)}

    def _explained(self, snapshot: Snapshot) -> float:
        import numpy as np
        from sklearn.linear_model import LinearRegression

        def known(means: np.ndarray, targets: Any) -> tuple[np.ndarray, np.ndarray]:
            told = ~np.isnan(targets).any(axis=1)
            return means[told], targets[told]

        train = known(snapshot.train_means, snapshot.train_targets)
        test = known(snapshot.test_means, snapshot.test_targets)
        probe = LinearRegression().fit(*(part[: self.samples] for part in train))
        return float(probe.score(*test))


class Silhouette(Metric):
    """Mean silhouette of the test means by class: 1 is apart, 0 touching, below 0 mixed.

    Rousseeuw, "Silhouettes" (J. Comput. Appl. Math. 20, 1987).
    """

    name = "silhouette"
    explains = {
        "silhouette": "how much nearer means are to their own class than to the next one, -1 to 1"
    }
    directions = {"silhouette": "higher"}

    samples: int = Field(default=2000, ge=2)
    """How many test means it compares, at most."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        from sklearn.metrics import silhouette_score

        chosen = _sample(snapshot, snapshot.test_labels, self.samples)
        score = silhouette_score(snapshot.test_means[chosen], snapshot.test_labels[chosen])
        return {"silhouette": float(score)}


class ActiveUnits(Metric):
    """Latent dimensions whose mean varies over the test images by more than a threshold.

    Burda et al., "Importance Weighted Autoencoders" (arXiv:1509.00519), section 5.
    """

    name = "active_units"

    threshold: float = Field(default=0.01, ge=0)
    """The variance above which a dimension is active."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return {"active_units": float((snapshot.test_means.var(axis=0) > self.threshold).sum())}


class IWAE(Metric):
    """The importance-weighted bound on the log-likelihood of test images, mean, in nats.

    With K samples of the approximate posterior for each image; Burda et al., "Importance Weighted
    Autoencoders" (arXiv:1509.00519). It needs a KL that is a divergence and a reconstruction that
    is a log-likelihood. No label is shown to the prior, so that the bound is on log p(image) for
    every KL: `class_prior` counts as the even mixture of its classes, while the run's own `kl`
    takes the image's class and bounds log p(image | label). Densities depend on the noise of the
    pixels that the reconstruction implies, so that those of different reconstructions cannot be
    compared.
    """

    name = "iwae"
    needs_bound = True

    samples: int = Field(default=100, ge=1)
    """K, for each image. More samples give a tighter bound."""
    images: int = Field(default=500, ge=1)
    """How many test images it takes, at most. Each one is decoded K times."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        everything = len(snapshot.test_labels)
        chosen = snapshot.random("iwae").permutation(everything)[: self.images]
        return {"iwae": float(snapshot.log_likelihood(chosen, self.samples).mean())}


class Trustworthiness(Metric):
    """Whether neighbours in latent space are neighbours as images too: 1 is always, 0 never.

    Test means whose images are not among the k nearest ones, pixel by pixel, count by how much
    farther they are; Venna and Kaski, "Neighborhood Preservation in Nonlinear Projection Methods"
    (ICANN 2001).
    """

    name = "trustworthiness"

    neighbours: int = Field(default=12, ge=1)
    """k."""
    samples: int = Field(default=2000, ge=3)
    """How many test images it compares, at most."""

    @model_validator(mode="after")
    def _enough(self) -> Trustworthiness:
        if self.samples <= 2 * self.neighbours:
            raise ValueError("samples must be more than twice the neighbours")
        return self

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        from sklearn.manifold import trustworthiness

        everything = len(snapshot.test_means)
        chosen = snapshot.random("trustworthiness").permutation(everything)[: self.samples]
        score = trustworthiness(
            snapshot.test_images[chosen].reshape(len(chosen), -1),
            snapshot.test_means[chosen],
            n_neighbors=self.neighbours,
        )
        return {"trustworthiness": float(score)}


def _sample(snapshot: Snapshot, labels: np.ndarray, most: int) -> np.ndarray:
    """At most so many random indices of labelled images."""
    import numpy as np

    known = np.flatnonzero(labels >= 0)
    if not len(known):
        raise ValueError("no image has a class")
    return snapshot.random("sample").permutation(known)[:most]
