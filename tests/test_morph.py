"""Walks between classes, the judge of images, and `dvae morph`."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dvae_plugins.metrics import Morphs
from dvae_plugins.metrics.morphs import _Seen
from PIL import Image

from dvae_core.errors import DvaeError
from dvae_core.latent.borders.image_judge import image_judge_of
from dvae_core.latent.borders.judge import VOID
from dvae_core.latent.borders.paths import is_direct
from dvae_core.latent.loaded_run import load_run
from dvae_core.latent.morph import along, morph
from dvae_core.latent.morph_picture import describe_morph
from dvae_core.latent.strangeness import Strangeness
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

from .helpers import RECIPES
from .spaces import Space, snapshot_of


def seen(space, names, verdict_of_images=None):
    """A snapshot of a latent space in which the decoded image of z shows z itself."""
    snapshot = snapshot_of(space.train, space.train_labels, space.test, space.test_labels, names)

    def probabilities(images):
        labels = (verdict_of_images or space.label)(images[:, 0, 0])
        return np.eye(len(names))[labels]

    snapshot.__dict__ |= {
        "_paths": {},
        "named_pairs": ((0, 1),),
        "latent_dim": 2,
        "image_judge": SimpleNamespace(probabilities=probabilities),
        "decode": lambda points: np.asarray(points)[:, None, None, :],
        "image_shape": (1, 1, 2),
        "test_images": space.test[:, None, None, :],
        "strangeness": lambda images: np.abs(images - 2).sum(axis=(1, 2, 3)),
    }
    return snapshot


def space_of(label, low, high, classes):
    space = Space(label, low, high, classes)
    space.label = label
    return space


@pytest.fixture(scope="module")
def wedge():
    """a on the left, b on the right, and c between them up to three quarters of the height."""

    def label(points):
        x, y = points.T
        between = (np.abs(x - 2) < 0.4) & (y < 3)
        return np.where(between, 2, (x > 2).astype(int))

    return space_of(label, (0, 0), (4, 4), 3)


def test_along_keeps_its_pace_around_corners():
    corners = np.array([[0.0, 0], [3, 0], [3, 1]])
    np.testing.assert_allclose(along(corners, 5), [[0, 0], [1, 0], [2, 0], [3, 0], [3, 1]])
    np.testing.assert_allclose(along(np.zeros((2, 2)), 3), np.zeros((3, 2)))


def test_a_straight_walk_meets_strangers_and_the_border_route_does_not(wedge):
    snapshot = seen(wedge, ("a", "b", "c"))
    seeds = range(10)
    straight = [morph(snapshot, 0, 1, seed=seed) for seed in seeds]
    # c lies on the straight path, and does not hide the end from the border of the other two.
    met = next(
        seed
        for seed in seeds
        if straight[seed].strangers == [2] and straight[seed].corners[-1][1] > 2.9
    )
    way = straight[met]
    assert not way.direct
    assert describe_morph(snapshot, way).startswith("crosses c")
    assert way.verdicts[0] == 0
    assert way.verdicts[-1] == 1
    assert way.realism < 1

    around = morph(snapshot, 0, 1, seed=met, route="border")
    np.testing.assert_array_equal(around.corners[[0, -1]], way.corners)
    assert around.direct
    assert (around.between == 2).sum() <= 1
    x, y = around.corners[1]
    assert x == pytest.approx(2, abs=0.1)
    assert y >= 3
    assert around.realism == 1
    assert describe_morph(snapshot, around) == "direct"
    np.testing.assert_array_equal(around.images[:, 0, 0], around.points)


def test_what_a_way_meets_is_among_the_steps_that_are_shown(wedge):
    """Few steps would step over c, which the title names."""
    snapshot = seen(wedge, ("a", "b", "c"))
    ways = [morph(snapshot, 0, 1, steps=4, seed=seed) for seed in range(20)]
    met = [way for way in ways if way.strangers == [2]]
    assert met
    for way in met:
        assert 2 in way.verdicts
        assert {0, 1} <= {*way.verdicts.tolist()}
        np.testing.assert_array_equal(way.points[[0, -1]], way.corners[[0, -1]])
    assert any(2 not in snapshot.judge.verdicts(along(way.corners, 4)) for way in met)


def test_the_way_over_the_border_is_the_shortest_direct_one(wedge):
    snapshot = seen(wedge, ("a", "b", "c"))
    places = snapshot.border_points(0, 1)
    found = []
    for seed in range(5):
        way = morph(snapshot, 0, 1, seed=seed, route="border")
        start, chosen, end = way.corners

        def detour(place, start=start, end=end):
            return np.linalg.norm(place - start) + np.linalg.norm(end - place)

        shorter = [place for place in places if detour(place) < detour(chosen) - 1e-9]

        def direct(place, start=start, end=end):
            path = along(np.stack([start, place, end]), 64)
            return bool(is_direct(snapshot.judge.verdicts(path), 0, 1))

        assert way.direct == any(map(direct, places))
        assert not way.direct or not any(map(direct, shorter))
        found.append(way.direct)
    assert sum(found) >= 2


def test_the_same_seed_walks_the_same_way(wedge):
    snapshot = seen(wedge, ("a", "b", "c"))
    one, two = (morph(snapshot, 0, 1, seed=3, steps=7) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    assert len(one.points) == 7
    assert not np.array_equal(one.points, morph(snapshot, 0, 1, seed=4, steps=7).points)


def test_no_border_no_route():
    space = space_of(lambda p: p[:, 0].astype(int), (0, 0), (3, 1), 3)
    snapshot = seen(space, ("a", "b", "c"))
    with pytest.raises(DvaeError, match="a and c share no border"):
        morph(snapshot, 0, 2, route="border")


def test_a_border_in_more_dimensions():
    space = space_of(lambda p: p[:, 0].astype(int), (0, 0, 0), (2, 1, 1), 2)
    snapshot = seen(space, ("a", "b"))
    snapshot.__dict__["latent_dim"] = 3
    around = morph(snapshot, 0, 1, route="border")
    assert around.corners[1, 0] == pytest.approx(1, abs=0.1)
    assert around.direct


def test_morphs_on_images_that_show_where_they_are(wedge):
    snapshot = seen(wedge, ("a", "b", "c"))
    measured = Morphs().measure(snapshot)
    assert measured["decoded_agreement"] > 0.97
    # Where a judge of images sees the truth, strangers on the way are what the walk crosses.
    paths = snapshot.paths()
    points = paths.points(5, 16)[0].reshape(-1, 2)
    expected = np.isin(wedge.label(points), (0, 1)).mean()
    assert 0 < expected < 1
    assert measured["morph_ends/a-b"] == pytest.approx(expected)
    assert measured["morph_between/a-b"] == pytest.approx(expected)
    # It is sure at each step, so that there is no mix, and a hard cut is none.
    assert measured["morph_mix/a-b"] == 0
    # In this space the cross-fade of two images is the image of the point between them.
    for name in ("between", "mix", "ends", "distance", "kept_realism"):
        assert measured[f"morph_{name}"] == pytest.approx(measured[f"morph_{name}_crossfade"])
        pair = measured[f"morph_{name}/a-b"]
        assert pair == pytest.approx(measured[f"morph_{name}_crossfade/a-b"])
    nothing = seen(wedge, ("a", "b", "c"), lambda points: np.full(len(points), 2))
    measured = Morphs().measure(nothing)
    assert measured["morph_ends/a-b"] == 0
    assert measured["morph_between/a-b"] == 0
    verdicts = wedge.regions.grid.verdicts
    share_of_c = (verdicts == 2).sum() / (verdicts != VOID).sum()
    assert measured["decoded_agreement"] == pytest.approx(share_of_c, abs=0.03)


def test_the_figures_of_a_way_by_hand():
    # Two lines of four steps: a hard cut, and one over a mix, whose third step is a stranger's.
    of_ends = [
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
        [[0.9, 0.1], [0.5, 0.4], [0.1, 0.2], [0.0, 1.0]],
    ]
    called = [[True] * 4, [True, True, False, True]]
    distances = [[1.0, 1.5, 2.5, 1.0], [1.0, 2.0, 2.0, 1.0]]
    way = _Seen(*(np.array([a]) for a in (of_ends, called, distances)))
    assert way.figures(slice(None)) == {
        "morph_between": pytest.approx((4 + 1.0 + 0.9 + 0.3 + 1.0) / 8),
        "morph_mix": 0.5,
        "morph_ends": 7 / 8,
        "morph_distance": 12 / 8,
        "morph_kept_realism": 0.5,
    }
    ends_alone = _Seen(*(np.array([a])[:, :, [0, -1]] for a in (of_ends, called, distances)))
    assert "morph_kept_realism" not in ends_alone.figures(slice(None))


def test_how_strange_images_are():
    # Features are a pixel: training images at 0 and 10, test images 1, 1 and 3 away.
    def images(values):
        return np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 1, 2, 2), int)

    features = lambda images: images[:, 0, 0, :1].astype(float)  # noqa: E731
    judge = SimpleNamespace(features=features)
    found = Strangeness(judge, images([0, 10]), np.arange(2), images([1, 9, 13]))
    np.testing.assert_allclose(found.of(images([0, 5, 12])), [0, 5, 2])


def test_what_is_usual_is_that_of_the_split(recipe_file, tmp_path, judged_after):
    judged_after(10)
    changes = ["dataset.validation_fraction=0.2", "evaluate.plots=[]"]
    run = load_run(run_recipe(load_recipe(recipe_file, changes), tmp_path).path)
    for split in ("test", "val"):
        snapshot = run.snapshot(split=split)
        assert len(snapshot.test_images) < 1000  # all of them say what is usual
        assert np.median(snapshot.strangeness(snapshot.test_images)) == pytest.approx(1)


def test_a_cross_fade_of_digits_is_less_real_than_a_walk(tmp_path, judged_after):
    """Half of either, pixel by pixel, is two digits at once; the old measure thought it real."""
    judged_after(200)
    changes = [
        "train.epochs=4",
        "dataset.train_limit=4000",
        "dataset.test_limit=1000",
        "guidance.weight=5.0",
        "evaluate.every=4",
        "callbacks=[]",
    ]
    changes += ["evaluate.metrics=['morphs']", "evaluate.plots=[]"]
    recipe = load_recipe(RECIPES / "quick.toml", changes)
    row = run_recipe(recipe, tmp_path).metrics()[-1]
    kept, faded = (row[f"test/morph_kept_realism{of}"] for of in ("", "_crossfade"))
    assert faded < 0.9
    assert kept > faded + 0.05
    assert row["test/morph_between_crossfade"] > 0.8


# --- The judge of images.


@pytest.fixture
def stripes():
    """Bright rows or bright columns, with noise, and some without a label."""
    rng = np.random.default_rng(0)

    def images(n):
        labels = np.arange(n) % 2
        made = rng.integers(0, 80, (n, 1, 9, 9))
        for image, label, at in zip(made, labels, rng.integers(9, size=n), strict=True):
            image[(0, at) if label == 0 else (0, slice(None), at)] += 150
        return made.astype(np.uint8), labels

    train, labels = images(200)
    labels[:20] = -1
    test, test_labels = images(50)
    return LabelledImages(train, labels, test, test_labels, ("rows", "columns"))


@pytest.mark.slow
def test_the_image_judge_is_trained_once_and_kept(stripes, tmp_path, monkeypatch):
    monkeypatch.setenv("DVAE_CACHE", str(tmp_path))
    device, said = torch.device("cpu"), []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    judge = image_judge_of(stripes, device, said.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert said
    assert judge.accuracy == 1.0
    probabilities = judge.probabilities(stripes.test_images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == stripes.test_labels).all()
    as_floats = judge.probabilities(stripes.test_images.astype(np.float32) / 255)
    np.testing.assert_allclose(as_floats, probabilities, atol=1e-5)

    said.clear()
    again = image_judge_of(stripes, device, said.append)
    assert said == []
    assert (again.accuracy, again.digest) == (1.0, judge.digest)
    np.testing.assert_array_equal(again.probabilities(stripes.test_images), probabilities)

    # How it does on other test images is not what was kept of these, nor of an earlier version's.
    other = dataclasses.replace(stripes, test_labels=1 - stripes.test_labels)
    assert image_judge_of(other, device, said.append).accuracy == 0.0
    (file,) = (tmp_path / "image-judges").iterdir()
    network = torch.load(file, weights_only=True)["network"]
    torch.save({"network": network, "accuracy": 0.25}, file)
    assert image_judge_of(stripes, device, said.append).accuracy == 1.0
    assert said == []

    features = again.features(stripes.test_images)
    assert features.shape == (50, 128)
    last = again._network[-1]
    logits = torch.from_numpy(features) @ last.weight.T + last.bias
    np.testing.assert_allclose(logits.softmax(dim=1).detach(), probabilities, atol=1e-5)


@pytest.mark.slow
def test_a_damaged_judge_is_trained_again(stripes, monkeypatch, tmp_path):
    monkeypatch.setenv("DVAE_CACHE", str(tmp_path / "judges"))
    device, said = torch.device("cpu"), []
    image_judge_of(stripes, device)
    (file,) = (tmp_path / "judges" / "image-judges").iterdir()
    file.write_bytes(b"nothing")
    assert image_judge_of(stripes, device, said.append).accuracy == 1.0
    assert said


@pytest.mark.slow
def test_other_images_have_another_judge(stripes):
    device = torch.device("cpu")
    other = LabelledImages(
        stripes.train_images[:, :, ::-1],
        stripes.train_labels,
        stripes.test_images,
        stripes.test_labels,
        stripes.classes,
    )
    assert image_judge_of(stripes, device).digest != image_judge_of(other, device).digest


# --- The command.


@pytest.mark.slow
def test_morph_draws_a_walk(recipe_file, tmp_path, dvae):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    code, out, err = dvae("morph", str(run.path), "0", "2", "--steps", "5", "--animate")
    assert code == 0, err
    png, gif = out.split()
    with Image.open(png) as picture:
        assert picture.width > 500
    with Image.open(gif) as movie:
        assert movie.n_frames == 8  # there and back
    own = str(tmp_path / "own.png")
    assert dvae("morph", str(run.path), "0", "1", "--out", own)[:2] == (0, f"{own}\n")


def test_morph_refuses_what_is_no_walk(recipe_file, tmp_path, dvae):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    for ends, reason in ((("0", "0"), "two classes"), (("0", "5"), "no class")):
        code, out, err = dvae("morph", str(run.path), *ends)
        assert (code, out) == (2, "")
        assert reason in err
        assert "Traceback" not in err
    code, _, err = dvae("morph", str(run.path), "0", "1", "--animate", "--out", tmp_path / "walk")
    assert code == 2
    assert "name a file that ends in .png" in err
