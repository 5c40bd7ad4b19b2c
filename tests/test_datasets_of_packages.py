"""Data sets that come through other packages: what these hold in their own formats is read."""

import sys

import numpy as np
import pytest
from dvae_plugins.datasets.through_huggingface import HuggingFace
from dvae_plugins.datasets.through_medmnist import MedMNIST
from dvae_plugins.datasets.through_sklearn import ScikitLearn
from dvae_plugins.heads import MLPHead
from PIL import Image

from dvae_core import DataError
from dvae_core.model.data import load_data
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

from .helpers import RECIPES

SIZES = {"train": 30, "val": 10, "test": 20}


def test_toy_sets_need_no_network(tmp_path):
    data = ScikitLearn().load(tmp_path)
    assert data.image_shape == (1, 8, 8)
    assert len(data.train_images) + len(data.test_images) == 1797
    with np.load(RECIPES / "data" / "digits.npz") as shipped:
        ours = {image.tobytes() for image in shipped["images"]}
    theirs = (data.test_images[:, 0] * 16).round().astype(np.uint8)
    scale = 255 / 16 if max(map(max, ours)) > 16 else 1
    assert {(image * scale).round().astype(np.uint8).tobytes() for image in theirs} <= ours
    wine = load_data(ScikitLearn(which="wine"))
    assert wine.image_shape == (1, 1, 13)
    assert wine.classes == ("class_0", "class_1", "class_2")
    both = np.concatenate([wine.train_images, wine.test_images])
    assert (both.min(axis=0) == 0).all()
    assert (both.max(axis=0) == 1).all()


def test_a_table_is_trained_on_and_drawn(recipe_file, tmp_path):
    changes = ['dataset={name="sklearn", which="iris"}', "kl.weight=0.01", "train.epochs=30",
               'evaluate.plots=["latent", "manifold", "reconstructions"]']  # fmt: skip
    run = run_recipe(load_recipe(recipe_file, changes), tmp_path)
    assert run.metrics()[-1]["test/knn_accuracy"] > 0.8


@pytest.fixture
def medical(tmp_path):
    """Files as medmnist keeps them, with images of its shapes."""
    random = np.random.default_rng(0)
    for name, colours in (("pathmnist", (3,)), ("organamnist", ()), ("pathmnist_64", (3,))):
        side = 64 if name.endswith("64") else 28
        arrays = {}
        for part, count in SIZES.items():
            shape = (count, side, side, *colours)
            arrays[f"{part}_images"] = random.integers(0, 256, shape).astype(np.uint8)
            arrays[f"{part}_labels"] = (np.arange(count) % 9)[:, None].astype(np.uint8)
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path


@pytest.mark.parametrize(
    ("which", "side"), [("pathmnist", 28), ("organamnist", 28), ("pathmnist", 64)]
)
def test_medical_images_have_their_own_validation_part(medical, which, side):
    data = load_data(MedMNIST(which=which, root=medical, side=side))
    channels = 3 if which == "pathmnist" else 1
    assert data.image_shape == (channels, side, side)
    assert [len(data.train_labels), len(data.validation_labels), len(data.test_labels)] == [
        *SIZES.values()
    ]
    kept = np.load(medical / (f"{which}.npz" if side == 28 else f"{which}_{side}.npz"))
    first = kept["val_images"][0] if channels == 1 else kept["val_images"][0].transpose(2, 0, 1)
    np.testing.assert_array_equal(data.validation_images[0], first.reshape(data.image_shape))
    assert data.train_labels[:3].tolist() == [0, 1, 2]
    assert data.classes[0] == ("adipose" if channels == 3 else "bladder")


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("organmnist3d", "volumes"),
        ("nomnist", "it has pathmnist"),
    ],
)
def test_medical_sets_that_are_no_labelled_images_are_refused(medical, which, words):
    with pytest.raises(DataError, match=words):
        MedMNIST(which=which, root=medical).load(medical)


def test_medical_images_with_several_labels_ask_for_a_head_that_takes_them(medical):
    several = np.random.default_rng(0).integers(0, 2, (max(SIZES.values()), 14))
    arrays = {f"{part}_labels": several[:count].astype(np.uint8) for part, count in SIZES.items()}
    for part, count in SIZES.items():
        arrays[f"{part}_images"] = np.full((count, 28, 28), 200, dtype=np.uint8)
    np.savez(medical / "chestmnist.npz", **arrays)
    data = load_data(MedMNIST(which="chestmnist", root=medical))
    assert (data.targets("val") == several[: SIZES["val"]]).all()
    assert (len(data.classes), data.classes[0]) == (14, "atelectasis")
    with pytest.raises(ValueError, match="bernoulli"):
        MLPHead().check_labels(data.known_labels)
    MLPHead(likelihood="bernoulli").check_labels(data.known_labels)


def test_medical_images_that_are_not_there(tmp_path, medical):
    (medical / "pathmnist.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable pathmnist there"):
        MedMNIST(which="pathmnist", root=medical).load(tmp_path)


@pytest.fixture
def hub_format(tmp_path):
    """A folder of Parquet files as the hub has them: two parts, images and class labels."""
    import datasets

    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    random = np.random.default_rng(0)
    folder = tmp_path / "pets"
    folder.mkdir()
    arrays = {}
    for part, count in (("train", 12), ("test", 4)):
        arrays[part] = random.integers(0, 256, (count, 6, 5, 3)).astype(np.uint8)
        rows = {"image": [Image.fromarray(a) for a in arrays[part]], "label": [0, 1] * (count // 2)}
        datasets.Dataset.from_dict(rows, kinds).to_parquet(str(folder / f"{part}-0.parquet"))
    return folder, arrays


def test_a_set_of_the_hub_is_read_from_its_files(hub_format, tmp_path):
    folder, arrays = hub_format
    data = HuggingFace(path=str(folder)).load(tmp_path / "cache")
    np.testing.assert_array_equal(data.train_images, arrays["train"].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.test_images, arrays["test"].transpose(0, 3, 1, 2))
    assert data.test_labels.tolist() == [0, 1, 0, 1]
    assert data.classes == ("cat", "dog")
    grey = HuggingFace(path=str(folder), channels=1, resize=(4, 4), test="none")
    data = grey.load(tmp_path / "cache")
    assert data.image_shape == (1, 4, 4)
    assert (len(data.train_images), len(data.test_images)) == (10, 2)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"train": "all"}, "has no part all; it has train, test"),
        ({"image": "picture"}, "has no column picture; it has image, label"),
    ],
)
def test_a_set_of_the_hub_that_is_otherwise(hub_format, tmp_path, keys, words):
    with pytest.raises(DataError, match=words):
        HuggingFace(path=str(hub_format[0]), **keys).load(tmp_path / "cache")


def test_a_set_of_the_hub_with_several_labels_is_refused(tmp_path):
    import datasets

    (tmp_path / "pets").mkdir()
    rows = {"image": [Image.new("L", (4, 4))] * 2, "label": [[0, 1], [1]]}
    kinds = {
        "image": datasets.Image(),
        "label": datasets.Sequence(datasets.ClassLabel(names=["cat", "dog"])),
    }
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    made.to_parquet(tmp_path / "pets" / "train-00000.parquet")
    with pytest.raises(DataError, match="several labels an image; an npz takes such"):
        HuggingFace(path=str(tmp_path / "pets")).load(tmp_path / "cache")


@pytest.mark.parametrize(
    ("missing", "dataset"),
    [("medmnist", MedMNIST(which="pathmnist")), ("datasets", HuggingFace(path="a/b"))],
)
def test_a_missing_package_is_named(missing, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DataError, match=r'pip install "dvae-core\[data\]"'):
        dataset.load(tmp_path)


def test_images_of_16_bits_are_scaled_and_not_clipped(tmp_path):
    folder = tmp_path / "scans"
    for part, count in (("train", 6), ("test", 2)):
        for number in range(count):
            file = folder / part / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), 30000, np.uint16)).save(file)
    data = HuggingFace(path=str(folder), channels=1).load(tmp_path / "cache")
    assert {*np.unique(data.train_images)} == {round(30000 / 65535 * 255)}
