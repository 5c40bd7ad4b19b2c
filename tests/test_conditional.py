"""Decoders that are told the class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dvae_plugins.decoders import ConditionalMLPDecoder
from dvae_plugins.plots.latent import Manifold

from dvae_core import draw_morph, explore_page, load_run, morph
from dvae_core.errors import DvaeError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe

from .helpers import rows, same_state, state

CHANGES = ["decoder={name='conditional_mlp', hidden=[16], hide=0.2}", "train.epochs=8",
           "kl.name=square", "kl.weight=4.0"]  # fmt: skip


@pytest.fixture(autouse=True)
def _quick_image_judge(judged_after):
    judged_after(150)


@pytest.fixture
def trained(recipe_file, tmp_path):
    changes = [*CHANGES, "evaluate.metrics=['morphs']", "evaluate.every=8", "train.epochs=40",
               "guidance.weight=0.0"]  # fmt: skip
    return run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs")


def test_images_look_like_the_class_that_is_asked_for(trained):
    assert rows(trained)[-1]["test/asked_agreement"] >= 0.95


def test_hidden_labels_have_numbers_of_their_own_and_training_hides_some():
    decoder = ConditionalMLPDecoder(hide=1.0).build(2, (1, 8, 8), ("a", "b"))
    z = torch.zeros(4, 2)
    labels = torch.tensor([0, 1, -1, 0])
    shown = decoder.eval()(z, labels)
    assert torch.equal(shown[0], shown[3])
    assert len({tuple(image.flatten().tolist()) for image in shown}) == 3
    hidden = decoder.train()(z, labels)  # all of them are hidden here
    torch.testing.assert_close(hidden, shown[2:3].expand(4, -1, -1, -1))
    hidden.sum().backward()
    assert decoder.places.weight.grad[:2].abs().sum() == 0
    assert decoder.places.weight.grad[2].abs().sum() > 0


def test_a_snapshot_decodes_as_a_class(trained):
    run = load_run(trained.path)
    snapshot = run.snapshot()
    points = snapshot.test_means[:6]
    assert snapshot.conditional
    unknown, as_two = snapshot.decode(points), snapshot.decode(points, 2)
    np.testing.assert_array_equal(unknown, run.decode(points, -1))
    np.testing.assert_array_equal(as_two, run.decode(points, np.full(6, 2)))
    assert np.abs(unknown - as_two).max() > 0.01
    mixed = snapshot.decode(points, np.array([2, 2, 2, -1, -1, -1]))
    np.testing.assert_allclose(mixed, np.concatenate([as_two[:3], unknown[3:]]), atol=1e-5)
    showing = snapshot.showing(2)
    np.testing.assert_array_equal(showing.decode(points), as_two)
    assert showing.on("test").shown_class == 2
    assert (snapshot.decoded_as, showing.decoded_as) == (
        "decoded as no known class", "decoded as 2",
    )  # fmt: skip


def test_pictures_say_which_class_is_shown(trained, dvae, tmp_path):
    run = load_run(trained.path)
    snapshot = run.snapshot()
    assert "decoded as no known class" in Manifold(side=3).draw(snapshot).axes[0].get_title()
    assert "decoded as 1" in Manifold(side=3, decoded_as="1").draw(snapshot).axes[0].get_title()
    found = morph(snapshot.showing(1), 0, 2)
    np.testing.assert_array_equal(found.images, snapshot.decode(found.points, 1))
    assert "decoded as 1" in draw_morph(snapshot.showing(1), found).get_suptitle()
    page = explore_page(run, shown_classes=["0", "2"])
    assert "small, decoded as 0" in page
    assert "small, decoded as 2" in page
    code, out, err = dvae("morph", trained.path, "0", "2", "--as", "1")
    assert code == 0, err
    assert out.strip().endswith("-as-1.png")
    code, out, err = dvae("explore", trained.path, "--as", "2", "--html", tmp_path / "page.html")
    assert code == 0, err
    assert "decoded as 2" in (tmp_path / "page.html").read_text()
    code, _, err = dvae("explore", trained.path, "--as", "9", "--html", tmp_path / "page.html")
    assert code == 1
    assert 'there is no class "9"' in err


def test_no_class_can_be_asked_of_other_decoders(recipe_file, tmp_path):
    run = load_run(run_recipe(load_recipe(recipe_file, ["train.epochs=3"]), tmp_path).path)
    snapshot = run.snapshot()
    with pytest.raises(DvaeError, match="takes no labels"):
        snapshot.showing(1)
    assert snapshot.decoded_as == ""
    points = snapshot.test_means[:3]
    np.testing.assert_array_equal(snapshot.decode(points), snapshot.decode(points, 1))


def test_it_goes_on_exactly_after_a_kill(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, CHANGES)
    assert recipe.bound_on.startswith("log p(image | label)")
    whole = run_recipe(recipe, tmp_path / "whole")
    half = run_recipe(load_recipe(recipe_file, [*CHANGES, "train.epochs=3"]), tmp_path / "half")
    done = resume_run(half.path, recipe)
    assert rows(done)[3:] == rows(whole)[3:]
    assert same_state(state(done), state(whole))


@pytest.mark.slow
def test_it_is_exported_with_its_labels(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from dvae_core.model.export import export

    run = load_run(trained.path)
    export(run.model, run.recipe, "small", tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, -1, -1])
    (images,) = session.run(None, {"z": z, "labels": labels})
    np.testing.assert_allclose(images, run.decode(z, labels), rtol=1e-3, atol=1e-5)
