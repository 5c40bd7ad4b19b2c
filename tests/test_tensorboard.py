"""The TensorBoard callback: what it writes is read back with TensorBoard's own reader."""

import io
import sys
import warnings

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from dvae_core import load_run
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def with_tensorboard(recipe_file):
    text = recipe_file.read_text() + '[[callbacks]]\nname = "tensorboard"\n'
    recipe_file.write_text(text.replace('["knn"]', '["knn"]\nplots = ["latent"]'))
    return recipe_file


@pytest.fixture
def trained(with_tensorboard, tmp_path):
    def trained(*changes):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # a callback that failed would warn
            return run_recipe(load_recipe(with_tensorboard, changes), tmp_path / "runs")

    return trained


def events_of(run) -> EventAccumulator:
    return EventAccumulator(str(run.path / "tensorboard"), size_guidance={"images": 0}).Reload()


def embedding_of(run):
    text = (run.path / "tensorboard" / "projector_config.pbtxt").read_text()
    (embedding,) = text_format.Parse(text, ProjectorConfig()).embeddings
    return embedding


def tiles_of(run, embedding) -> np.ndarray:
    """The projector's pictures [P, side, side], cut as the projector cuts them."""
    picture = Image.open(run.path / "tensorboard" / embedding.sprite.image_path).convert("L")
    width, height = embedding.sprite.single_image_dim
    rows, columns = picture.height // height, picture.width // width
    tiles = np.array(picture).reshape(rows, height, columns, width)
    return tiles.transpose(0, 2, 1, 3).reshape(-1, height, width)


def test_scalars_and_figures_are_those_of_the_run(trained):
    run = trained("evaluate.every=2")
    events, rows = events_of(run), run.metrics()
    keys = {key for row in rows for key in row} - {"step"}
    assert set(events.Tags()["scalars"]) == keys
    for key in keys:
        found = {event.step: event.value for event in events.Scalars(key)}
        assert found == pytest.approx({row["step"]: row[key] for row in rows if key in row})
    assert events.Tags()["images"] == ["figures/latent"]
    images = events.Images("figures/latent")
    assert [image.step for image in images] == [10, 20]
    for image, epoch in zip(images, (2, 4), strict=True):
        found = np.array(Image.open(io.BytesIO(image.encoded_image_string)))
        with Image.open(run.figure_path(epoch, "latent")) as figure:
            np.testing.assert_array_equal(found, np.array(figure.convert("RGB")))


def test_the_projector_has_means_names_and_images(trained):
    run = trained()
    snapshot, embedding = load_run(run.path).snapshot(), embedding_of(run)
    folder = run.path / "tensorboard"
    means = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    np.testing.assert_allclose(means[:, :2], snapshot.test_means, rtol=1e-5)
    assert means.shape[1] == 3
    assert not means[:, 2].any()
    names = (folder / embedding.metadata_path).read_text().splitlines()
    assert names == [snapshot.classes[label] for label in snapshot.test_labels]
    tiles = tiles_of(run, embedding)
    expected = snapshot.test_images[:, 0] * 255
    np.testing.assert_allclose(tiles[: len(expected)], expected, atol=1)
    assert not tiles[len(expected) :].any()


def test_the_projector_takes_as_many_of_each_class_and_tall_images(trained, tmp_path, monkeypatch):
    from dvae_plugins.callbacks import tensorboard

    monkeypatch.setattr(tensorboard, "MOST_POINTS", 9)
    labels = np.repeat([0, 1, 2], [200, 60, 40])
    images = np.random.default_rng(0).integers(0, 255, (300, 12, 5), dtype=np.uint8)
    np.savez(tmp_path / "blobs.npz", images=images, labels=labels)
    run = trained()
    snapshot, embedding = load_run(run.path).snapshot(), embedding_of(run)
    names = (run.path / "tensorboard" / embedding.metadata_path).read_text().splitlines()
    assert sorted(names) == ["0"] * 3 + ["1"] * 3 + ["2"] * 3
    tiles = tiles_of(run, embedding)
    assert tiles.shape == (9, 12, 12)
    first = np.flatnonzero(snapshot.test_labels == int(names[0]))[0]
    np.testing.assert_allclose(tiles[0, :, :5], snapshot.test_images[first, 0] * 255, atol=1)
    assert not tiles[:, :, 5:].any()


def test_a_resumed_run_goes_on_without_doubled_steps(trained):
    run = trained()
    for file in (run.path / "checkpoints").glob("epoch-0004*"):
        file.unlink()
    resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=6"]))
    events = events_of(run)
    for key in ("train/loss", "test/knn_accuracy"):
        found = [(event.step, event.value) for event in events.Scalars(key)]
        expected = [(row["step"], pytest.approx(row[key])) for row in run.metrics()]
        assert found == expected
    assert [image.step for image in events.Images("figures/latent")] == [5, 10, 15, 20, 25, 30]
    assert embedding_of(run).tensor_path.startswith("00030/")


def test_without_the_package_no_run_starts(with_tensorboard, tmp_path, monkeypatch, dvae):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    out = tmp_path / "runs"
    code, printed, error = dvae("run", with_tensorboard, "--out", out)
    assert (code, printed) == (1, "")
    assert 'pip install "dvae-core[tensorboard]"' in error
    assert not out.exists()
    assert dvae("validate", with_tensorboard)[0] == 0
