"""Metrics against known answers, and plots that leave no trace, on snapshots made by hand."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from dvae_plugins.metrics import KNN, ActiveUnits, LinearProbe, Silhouette, Trustworthiness
from dvae_plugins.plots import Latent, Manifold, Reconstructions, Weights

from dvae_core.model.data import first_of_each
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import Training

from .spaces import snapshot_of


@pytest.fixture
def strips():
    """Two strips side by side, x < 0 and x > 0, with the test labels right in three quarters."""
    rng = np.random.default_rng(0)
    train = rng.uniform(-1, 1, (4000, 2))
    test = rng.uniform(-1, 1, (400, 2))
    test = test[np.abs(test[:, 0]) > 0.2][:200]
    labels = (test[:, 0] > 0).astype(int)
    labels[:50] = 1 - labels[:50]
    return snapshot_of(train, (train[:, 0] > 0).astype(int), test, labels)


def test_knn_and_the_linear_probe_find_the_strips(strips):
    assert KNN().measure(strips) == {"knn_accuracy": 0.75}
    assert KNN(k=1).measure(strips) == {"knn_accuracy": 0.75}
    assert LinearProbe().measure(strips)["linear_probe"] == pytest.approx(0.75, abs=0.01)


def test_knn_is_a_vote():
    # Around 0: one b nearest, then two a.
    snapshot = snapshot_of([[0.1], [0.2], [-0.3]], [1, 0, 0], [[0.0]], [0])
    assert KNN(k=1).measure(snapshot) == {"knn_accuracy": 0.0}
    assert KNN(k=3).measure(snapshot) == {"knn_accuracy": 1.0}


def test_unlabelled_images_neither_vote_nor_count():
    train, labels = [[0.0], [0.1], [5.0]], [-1, 0, 1]
    snapshot = snapshot_of(train, labels, [[0.0], [5.0], [0.0]], [0, 1, -1])
    assert KNN(k=1).measure(snapshot) == {"knn_accuracy": 1.0}
    assert LinearProbe().measure(snapshot) == {"linear_probe": 1.0}


def test_nearest_gives_distances_in_order(strips):
    distances, labels = strips.nearest(np.zeros((3, 2)), k=5)
    assert distances.shape == labels.shape == (3, 5)
    by_hand = np.sort(np.linalg.norm(strips.train_means, axis=1))[:5]
    np.testing.assert_allclose(distances[0], by_hand, rtol=1e-6)


def test_silhouette_of_two_far_points_is_one():
    test = np.repeat([[0.0, 0.0], [100.0, 0.0]], 20, axis=0)
    snapshot = snapshot_of(test, np.repeat([0, 1], 20), test, np.repeat([0, 1], 20))
    assert Silhouette().measure(snapshot)["silhouette"] == pytest.approx(1.0)
    mixed = snapshot_of(test, np.repeat([0, 1], 20), test, np.tile([0, 1], 20))
    assert Silhouette().measure(mixed)["silhouette"] < 0.05


def test_active_units_counts_dimensions_that_vary():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(1000, 3)) * [1.0, 0.2, 0.05]
    assert ActiveUnits().measure(snapshot_of(means, [], means, [])) == {"active_units": 2.0}


def test_trustworthiness_punishes_neighbours_that_are_none():
    # Images on a line at 0, 1, 3, 7, 15; in latent space 0 and 7 have changed places.
    images = np.array([0.0, 1, 3, 7, 15])
    snapshot = snapshot_of([], [], images[:, None], [0, 1, 0, 1, -1])
    snapshot.__dict__["test_images"] = images.reshape(5, 1, 1, 1)
    metric = Trustworthiness(neighbours=1, samples=5)
    assert metric.measure(snapshot) == {"trustworthiness": 1.0}
    snapshot.__dict__["test_means"] = images[[3, 1, 2, 0, 4], None]
    # The nearest by mean, and which nearest it is by pixels: 3 for 0 (second), 7 for 1 (third),
    # 1 for 3 (first), 1 for 7 (second), 0 for 15 (fourth): 1 + 2 + 0 + 1 + 3 places too many.
    by_hand = 1 - 2 / (5 * 1 * (2 * 5 - 3 * 1 - 1)) * 7
    assert metric.measure(snapshot) == {"trustworthiness": pytest.approx(by_hand)}


def test_trustworthiness_wants_more_images_than_neighbours():
    with pytest.raises(ValueError, match="more than twice the neighbours"):
        Trustworthiness(neighbours=12, samples=24)


def training(recipe_file, overrides=(), shape=(1, 8, 8), classes=("a", "b", "c")):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, *shape)).astype(np.uint8)
    labels = np.arange(60) % len(classes)
    labels[0] = -1
    data = LabelledImages(images, labels, images[:30], labels[:30], classes)
    return Training(load_recipe(recipe_file, overrides), data)


@pytest.mark.parametrize(
    ("shape", "dim"), [((1, 8, 8), 2), ((3, 8, 10), 2), ((1, 8, 8), 1), ((1, 8, 8), 5)]
)
def test_plots_draw_any_image_and_any_latent_space(recipe_file, shape, dim):
    before = dict(matplotlib.rcParams)
    classes = ("T-shirt $5", "<b>&", "x" * 500)
    snapshot = training(recipe_file, [f"latent.dim={dim}"], shape, classes).snapshot()
    for plot in (Latent(), Manifold(), Manifold(spacing="quadratic"), Reconstructions(), Weights()):
        figure = plot.draw(snapshot)
        figure.savefig(io.BytesIO(), format="png")
        width, height = figure.get_size_inches()
        assert width < 15
        assert height < 15
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_the_manifold_is_the_grid_of_the_original(recipe_file):
    snapshot = training(recipe_file).snapshot()
    rng = np.random.default_rng(1)
    snapshot.__dict__["test_means"] = (rng.normal(size=(5000, 2)) * [1, 3]).astype(np.float32)
    asked = []
    snapshot.decode = lambda z: asked.append(z) or np.zeros((len(z), 1, 8, 8), np.float32)
    Manifold(side=5).draw(snapshot)
    Manifold(side=5, spacing="quadratic").draw(snapshot)
    q = np.quantile(np.abs(snapshot.test_means[:, 1]), 0.9)
    linear, quadratic = (z.reshape(5, 5, 2) for z in asked)
    np.testing.assert_allclose(linear[0, :, 0] / q, [-1, -0.5, 0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(linear[:, 0, 1] / q, [1, 0.5, 0, -0.5, -1], atol=1e-6)
    np.testing.assert_allclose(quadratic[0, :, 0] / q, [-1, -0.25, 0, 0.25, 1], atol=1e-6)


def test_a_snapshot_agrees_with_the_model(recipe_file):
    parts = training(recipe_file)
    snapshot = parts.snapshot()
    images = torch.from_numpy(snapshot.test_images.copy())
    with torch.no_grad():
        mean, log_var = parts.model.encode(images)
        decoded = parts.model.decode(mean).sigmoid()
        probabilities = parts.model.head(mean).softmax(dim=1)
    np.testing.assert_allclose(snapshot.test_means, mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(snapshot.test_log_vars, log_var.numpy(), atol=1e-5)
    np.testing.assert_allclose(snapshot.decode(mean.numpy()), decoded.numpy(), atol=1e-5)
    np.testing.assert_allclose(snapshot.classify(mean.numpy()), probabilities.numpy(), atol=1e-5)
    assert snapshot.train_means.shape == (60, 2)
    kl = -0.5 * (1 + log_var - mean.abs() - log_var.exp()).sum(dim=1).mean().item()
    assert snapshot.test_losses()["kl"] == pytest.approx(kl, rel=1e-5)
    assert snapshot.test_losses() == snapshot.test_losses()


def test_judges_may_learn_from_fewer_images(recipe_file):
    everything = training(recipe_file).snapshot()
    few = training(recipe_file, ["evaluate.train_limit=9"]).snapshot()
    # As many of each class as there are to be had, and of the one image without a label.
    assert np.bincount(few.train_labels + 1).tolist() == [1, 3, 3, 2]
    chosen = first_of_each(everything.train_labels, 9)
    np.testing.assert_allclose(few.train_means, everything.train_means[chosen], atol=1e-6)
    assert len(few.test_means) == len(everything.test_means)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_pieces_change_nothing(recipe_file, at_once):
    parts = training(recipe_file)
    whole, pieces = parts.snapshot(), parts.snapshot()
    pieces._at_once = at_once
    np.testing.assert_allclose(pieces.train_means, whole.train_means, atol=1e-6)
    assert pieces.test_losses() == pytest.approx(whole.test_losses(), rel=1e-6)
    points = np.zeros((25, 2), np.float32)
    np.testing.assert_allclose(pieces.decode(points), whole.decode(points), atol=1e-6)


def test_a_plain_vae_has_no_class_probabilities(recipe_file):
    text = recipe_file.read_text()
    start, end = text.index("[guidance]"), text.index("[optimizer]")
    recipe_file.write_text(text[:start] + text[end:])
    assert training(recipe_file).snapshot().classify(np.zeros((1, 2))) is None


def test_every_class_has_a_colour_of_its_own():
    for n in (2, 10, 11, 62):
        colours = snapshot_of([], [], [], [], classes=map(str, range(n))).colours
        assert len(set(colours)) == n


def test_a_sample_of_the_test_images_has_as_many_of_each_class(strips):
    labels = strips.test_labels
    chosen = strips.test_sample(6)
    counts = np.bincount(labels[chosen])
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == len(set(chosen)) == 6
    for c in range(len(counts)):  # the first ones of each
        np.testing.assert_array_equal(
            chosen[labels[chosen] == c], np.flatnonzero(labels == c)[: counts[c]]
        )
    np.testing.assert_array_equal(strips.test_sample(10**6), np.arange(len(labels)))
