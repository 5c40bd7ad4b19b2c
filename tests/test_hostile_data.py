"""Data that is unlike what trains well: said in words before anything is trained on it wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from dvae_plugins.datasets.own import NPZ, ImageFolder
from PIL import Image

from dvae_core.errors import DataError, RecipeError
from dvae_core.model.data import load_data
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.training.run import prepare

RAMP = np.arange(64).reshape(8, 8)


def folder(tmp_path, images, ending="png"):
    for c, name in enumerate("ab"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for n in range(5):
            images(c).save(tmp_path / "set" / name / f"{n}.{ending}")
    return ImageFolder(path=tmp_path / "set", channels=1)


def loaded(dataset):
    said = []
    data = load_data(dataset, said.append)
    return data, said


# What each kind of file holds, and what of it is due in 8 bits.
MODES = {
    "16 bits": ("png", lambda: Image.fromarray((RAMP * 1040).astype(np.uint16)), RAMP * 1040 / 257),
    "32 bits": ("tif", lambda: Image.fromarray((RAMP * 1040).astype(np.int32)), RAMP * 1040 / 257),
    "floats": ("tif", lambda: Image.fromarray((RAMP / 63).astype(np.float32)), RAMP / 63 * 255),
    "8 bits": ("png", lambda: Image.fromarray((RAMP * 4).astype(np.uint8)), RAMP * 4),
    "1 bit": ("png", lambda: Image.fromarray(RAMP > 30), (RAMP > 30) * 255),
    "big-endian": (
        "pgm",
        lambda: Image.fromarray((RAMP * 1040).astype(np.uint16)),
        RAMP * 1040 / 257,
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_every_depth_keep_their_brightness(tmp_path, mode):
    ending, make, expected = MODES[mode]
    data, said = loaded(folder(tmp_path, lambda c: make(), ending))
    np.testing.assert_allclose(data.train_images[0, 0], expected, atol=0.51)
    assert said == []


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (RAMP.astype(np.float32), r"pixels are 0\.\.63, not floats in \[0, 1\]"),
        ((RAMP / 63 - 0.5).astype(np.float32), r"-0\.5\.\.0\.5, not floats"),
        (np.full((8, 8), np.nan, np.float32), "nan"),
        ((RAMP * 2000).astype(np.int32), "126000, not integers of 16 bits"),
    ],
)
def test_pixels_of_no_known_scale_are_refused(tmp_path, pixels, message):
    with pytest.raises(DataError, match=message):
        load_data(folder(tmp_path, lambda c: Image.fromarray(pixels), "tif"))


def test_images_that_lie_elsewhere_are_told_of(tmp_path):
    dataset = folder(tmp_path, lambda c: Image.fromarray((RAMP * 4).astype(np.uint8)))
    (tmp_path / "set" / "a" / "deep" / "er").mkdir(parents=True)
    image = Image.fromarray((RAMP * 4).astype(np.uint8))
    for place in ("a/deep/er/1.png", "a/deep/2.png", "3.png"):
        image.save(tmp_path / "set" / place)
    data, (said,) = loaded(dataset)
    assert len(data.train_images) + len(data.test_images) == 10
    assert "3 images, such as" in said
    assert "are left out" in said


def test_files_of_several_images_are_told_of(tmp_path):
    class Stack:
        def save(self, path):
            frames = [Image.fromarray(np.full((8, 8), 200, np.uint8)) for _ in range(3)]
            frames[0].save(path, save_all=True, append_images=frames[1:])

    _, said = loaded(folder(tmp_path, lambda c: Stack(), "tif"))
    assert said == ['data set "image_folder": of files with several images the first one counts']


@pytest.mark.parametrize(("high", "factor"), [(1, 255), (16, 15), (63, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_images_that_are_nearly_black_are_told_of(tmp_path, high, factor, dtype):
    images = np.random.default_rng(0).integers(0, high + 1, (20, 4, 4)).astype(dtype)
    images[:, 0, 0] = high
    np.savez(tmp_path / "dark.npz", images=images, labels=np.arange(20) % 2)
    _, (said,) = loaded(NPZ(path=tmp_path / "dark.npz"))
    assert f"above {high} of 255" in said
    assert f"images * {factor}" in said


def test_a_run_passes_on_what_its_data_set_says(recipe_file, blobs):
    with np.load(blobs) as arrays:
        images, labels = arrays["images"] // 8, arrays["labels"]
    np.savez(blobs, images=images, labels=labels)
    said = []

    class Heard(Watch):
        def warn(self, text):
            said.append(text)

    prepare(load_recipe(recipe_file), Heard())
    assert "nearly black" in "".join(said)


def arrays_of(**changes):
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    images = rng.integers(0, 256, (30, 8, 8)).astype(np.uint8)
    return {"images": images, "labels": labels} | {
        key: change(images, labels) for key, change in changes.items()
    }


@pytest.mark.parametrize("shape", [(30, 0, 8), (30, 8, 0), (30, 0, 0)])
def test_images_without_pixels_are_refused(tmp_path, shape):
    np.savez(tmp_path / "x.npz", images=np.zeros(shape, np.uint8), labels=np.arange(30))
    with pytest.raises(DataError, match="have no pixels"):
        load_data(NPZ(path=tmp_path / "x.npz"))


POOR = {
    "one class": arrays_of(labels=lambda images, labels: labels * 0),
    "one test image": arrays_of(
        test_images=lambda images, labels: images[:1], test_labels=lambda images, labels: labels[:1]
    ),
    "one image a class": {
        key: value[:3] for key, value in arrays_of().items()
    } | {f"test_{key}": value[:3] for key, value in arrays_of().items()},
    "hidden": arrays_of(
        labels=lambda images, labels: labels * 0 - 1,
        classes=lambda images, labels: np.array(["a", "b", "c"]),
    ),
    "hidden test labels": arrays_of(
        test_images=lambda images, labels: images[:9],
        test_labels=lambda images, labels: labels[:9] * 0 - 1,
    ),
    "a class without images": arrays_of(
        classes=lambda images, labels: np.array(["a", "b", "c", "d"])
    ),
    "one pixel": arrays_of(images=lambda images, labels: images[:, :1, :1]),
}  # fmt: skip


@pytest.mark.parametrize("poor", POOR)
def test_a_poor_data_set_ends_in_words_or_a_page(poor, recipe_file, blobs, dvae, judged_after):
    judged_after(10)
    np.savez(blobs, **POOR[poor])
    every = 'evaluate.metrics=["knn", "borders", "silhouette", "linear_probe", "active_units"]'
    plots = 'evaluate.plots=["latent", "regions", "direct_paths", "manifold"]'
    changes = ["train.epochs=2", "guidance.weight=1.0", every, plots]
    sets = [part for change in changes for part in ("--set", change)]
    code, out, err = dvae("run", recipe_file, "--out", blobs.parent / "runs", *sets)
    assert code == 0, err
    assert "IndexError" not in err
    assert "zero-size" not in err
    run = out.split()[-1]
    code, _, err = dvae("report", run)
    assert code == 0 or "no training image has a label" in err
    code, _, err = dvae("morph", run, "0", "1")
    assert "dvae failed" not in err


def test_guidance_without_a_class_is_refused(recipe_file, blobs):
    np.savez(blobs, **arrays_of(labels=lambda images, labels: labels * 0 - 1))
    recipe = load_recipe(recipe_file, ["guidance.weight=1.0"])
    with pytest.raises(RecipeError, match="the data set has no class"):
        prepare(recipe, Watch())
