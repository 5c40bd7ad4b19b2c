import gzip
import hashlib
import mmap
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from dvae_plugins.datasets import idx
from dvae_plugins.datasets.idx import MNIST, BinarizedMNIST, FashionMNIST
from dvae_plugins.datasets.own import NPZ, ImageFolder
from dvae_plugins.datasets.through_torchvision import CIFAR10, EMNIST, KMNIST, QMNIST, USPS

from dvae_core import DataError, LabelledImages, as_pictures
from dvae_core.model.batches import Batches
from dvae_core.model.data import first_of_each, guidance_labels, load_data
from dvae_core.model.label_spreading import spread_labels


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def tiny_fashion(monkeypatch):
    """Stand-ins for the four Fashion-MNIST files, with their hashes."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (40, 28, 28)),
        np.arange(40) % 10,
        rng.integers(0, 256, (20, 28, 28)),
        np.arange(20) % 10,
    ]
    files = {name: idx_bytes(a) for name, a in zip(idx.FILES, arrays, strict=True)}
    hashes = tuple(hashlib.sha256(data).hexdigest() for data in files.values())
    monkeypatch.setattr(FashionMNIST, "hashes", hashes)
    return files


@pytest.mark.slow
def test_mnist_is_the_real_one(tmp_path):
    data = MNIST().load(tmp_path)
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    # Facts of MNIST that anyone can check: the first labels, and how many ones there are.
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (data.train_labels == 1).sum() == 6742
    assert data.train_images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert MNIST().size() == 60_000


def test_the_shipped_hashes_are_the_published_ones():
    readme = (Path(idx.__file__).parent / "mnist" / "README.md").read_text()
    for name, sha256 in zip(idx.FILES, MNIST.hashes, strict=True):
        assert f"{sha256}  {name}" in readme


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "altered or truncated: SHA-256"),
        (lambda b: b[:-100], "altered or truncated: SHA-256"),
        (lambda b: b + b"x", "altered or truncated: SHA-256"),
        (lambda b: b"", "altered or truncated: SHA-256"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, tiny_fashion, damage, message):
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    for name, data in tiny_fashion.items():
        (folder / name).write_bytes(data)
    assert FashionMNIST().load(tmp_path).train_images.shape == (40, 1, 28, 28)
    bad = folder / idx.FILES[0]
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        FashionMNIST().load(tmp_path)
    assert str(bad) in str(caught.value)
    assert f"remove {folder}" in str(caught.value)


def test_a_truncated_gzip_is_refused(tmp_path, tiny_fashion):
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    for name, data in tiny_fashion.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
    bad = folder / f"{idx.FILES[2]}.gz"
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged or unreadable"):
        FashionMNIST().load(tmp_path)


def test_fashion_is_found_in_debians_folder(tmp_path, tiny_fashion, monkeypatch):
    debian = tmp_path / "usr"
    debian.mkdir()
    for name, data in tiny_fashion.items():
        (debian / f"{name}.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(FashionMNIST, "debian_folder", debian)
    data = FashionMNIST().load(tmp_path / "cache")
    assert data.classes[9] == "ankle boot"
    assert not (tmp_path / "cache").exists()


def test_fashion_is_downloaded_all_or_nothing(tmp_path, tiny_fashion, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(FashionMNIST, "debian_folder", tmp_path / "nowhere")
    written = []

    class Fake:
        def __init__(self, root, download):
            folder = Path(root) / "FashionMNIST" / "raw"
            folder.mkdir(parents=True)
            for name, data in tiny_fashion.items():
                if len(written) == 2:
                    raise OSError("the line went dead")
                written.append(name)
                (folder / name).write_bytes(data)
            print("progress")

    monkeypatch.setattr(datasets, "FashionMNIST", Fake)
    with pytest.raises(DataError) as caught:
        FashionMNIST().load(tmp_path)
    message = str(caught.value)
    for way in ("the line went dead", "connect to the network", "dataset-fashion-mnist", "put the"):
        assert way in message
    assert list(tmp_path.iterdir()) == []
    written[:] = ["a", "b", "c"]
    assert len(FashionMNIST().load(tmp_path).train_images) == 40
    assert sorted(f.name for f in tmp_path.iterdir()) == ["fashion_mnist"]


def raw_mnist_like(root, class_name, prefix="", letters=False):
    """Files as torchvision lays them out."""
    folder = root / class_name / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 30), ("test" if prefix else "t10k", 20)):
        images = rng.integers(0, 256, (n, 28, 28))
        images[0, 3, 20] = 255
        images[0, 20, 3] = 0
        name = f"{prefix}{part}"
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        labels = np.arange(n) % 10 + letters
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


def test_kmnist_from_a_folder_that_torchvision_filled(tmp_path):
    raw_mnist_like(tmp_path, "KMNIST")
    data = KMNIST(root=tmp_path).load(tmp_path / "cache")
    assert data.train_images.shape == (30, 1, 28, 28)
    assert data.classes[0] == "o"


def test_emnist_letters_start_at_a_and_stand_upright(tmp_path):
    raw_mnist_like(tmp_path, "EMNIST", prefix="emnist-letters-", letters=True)
    data = EMNIST(root=tmp_path, split="letters").load(tmp_path / "cache")
    assert data.classes[0] == "a"
    assert len(data.classes) == 26
    assert data.train_labels[:3].tolist() == [0, 1, 2]
    assert data.train_images[0, 0, 20, 3] == 255
    assert data.train_images[0, 0, 3, 20] == 0


class Stub:
    """What torchvision's classes give, for those whose files carry checksums."""

    def __init__(self, data, targets, classes=()):
        self.data, self.targets, self.classes = data, targets, classes


@pytest.mark.parametrize(
    ("dataset", "stub", "shape"),
    [
        (CIFAR10(), Stub(np.zeros((6, 32, 32, 3), np.uint8), [0, 1, 2, 0, 1, 2], list("abc")),
         (6, 3, 32, 32)),
        (USPS(), Stub(np.zeros((5, 16, 16), np.uint8), [9, 1, 2, 0, 1]), (5, 1, 16, 16)),
        (QMNIST(), Stub(np.zeros((2, 28, 28), np.uint8), [[3] + [9] * 7, [4] + [9] * 7]),
         (2, 1, 28, 28)),
    ],
)  # fmt: skip
def test_the_others_through_torchvision(tmp_path, monkeypatch, dataset, stub, shape):
    from torchvision import datasets

    monkeypatch.setattr(datasets, dataset.class_name, lambda root, **arguments: stub)
    data = type(dataset)(root=tmp_path).load(tmp_path)
    assert data.train_images.shape == shape
    first = np.asarray(stub.targets).reshape(len(stub.targets), -1)[:, 0]
    assert data.train_labels.tolist() == first.tolist()


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    from torchvision import datasets

    def refuse(*arguments, **keywords):
        raise RuntimeError("no route")

    monkeypatch.setattr(datasets, "KMNIST", refuse)
    with pytest.raises(DataError, match=r"no route.*Connect to the network.*set root"):
        KMNIST().load(tmp_path)
    assert not list((tmp_path / "torchvision").iterdir())


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((50, 8, 9), np.uint8), (40, 1, 8, 9)),
        (np.zeros((50, 8, 9, 3), np.uint8), (40, 3, 8, 9)),
        (np.zeros((50, 3, 8, 9), np.uint8), (40, 3, 8, 9)),
        (np.full((50, 8, 9), 1.0), (40, 1, 8, 9)),
        (np.full((50, 8, 9), 200, np.int64), (40, 1, 8, 9)),
    ],
)
def test_npz_takes_the_layouts_people_have(tmp_path, images, shape):
    path = tmp_path / "own.npz"
    np.savez(path, images=images, labels=np.arange(50) % 5)
    data = NPZ(path=path).load(tmp_path)
    assert data.train_images.shape == shape
    assert data.test_images.shape == (10, *shape[1:])
    assert data.train_images.max() in (0, 255, 200)


def test_floats_are_trained_on_and_looked_at_as_they_are(tmp_path):
    # Between two neighbouring values of uint8, which would make them one.
    fine = np.linspace(0.4, 0.4 + 1 / 255, 50, dtype=np.float64)
    path = tmp_path / "own.npz"
    images = np.broadcast_to(fine[:, None, None], (50, 4, 4))
    np.savez(path, images=images, labels=np.arange(50) % 2)
    for pixels, values in (("uint8", 2), ("float32", 50)):
        data = load_data(NPZ(path=path, pixels=pixels))
        assert data.train_images.dtype == pixels
        assert len(np.unique([*data.train_images[:, 0, 0, 0], *data.test_images[:, 0, 0, 0]])) == (
            values
        )
    cpu = torch.device("cpu")
    batches = Batches(data.train_images, data.train_labels, batch_size=50, seed=0, device=cpu)
    (seen, *_), *_ = batches.epoch(0)
    order = batches.order(0)
    np.testing.assert_array_equal(seen, data.train_images[order])
    np.savez(path, images=images * 3, labels=np.arange(50) % 2)
    for pixels in ("uint8", "float32"):
        with pytest.raises(DataError, match=r"in \[0, 1\], not "):
            NPZ(path=path, pixels=pixels).load(tmp_path)


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_arrays_are_resized_and_made_grey_as_files_are(tmp_path, pixels):
    from PIL import Image

    colour = np.random.default_rng(0).integers(0, 256, (10, 9, 12, 3), dtype=np.uint8)
    (tmp_path / "all" / "one").mkdir(parents=True)
    for number, image in enumerate(colour):
        Image.fromarray(image).save(tmp_path / "all" / "one" / f"{number}.png")
    np.savez(tmp_path / "own.npz", images=colour, labels=["one"] * 10)
    for channels in (1, 3):
        keys = {"channels": channels, "resize": (4, 5), "pixels": pixels}
        one = NPZ(path=tmp_path / "own.npz", **keys).load(tmp_path)
        other = ImageFolder(path=tmp_path / "all", **keys).load(tmp_path)
        assert one.image_shape == (channels, 4, 5)
        assert one.train_images.dtype == pixels
        # Floats are not rounded between the steps, or less often.
        slack = 0 if pixels == "uint8" else 1.01 / 255
        np.testing.assert_allclose(one.train_images, other.train_images, rtol=0, atol=slack)
    grey = NPZ(path=tmp_path / "own.npz", channels=1, pixels=pixels).load(tmp_path)
    np.savez(tmp_path / "grey.npz", images=grey.train_images, labels=grey.train_labels)
    again = NPZ(path=tmp_path / "grey.npz", channels=3, pixels=pixels).load(tmp_path)
    assert (again.train_images == again.train_images[:, :1]).all()
    assert again.image_shape == (3, 9, 12)


def test_files_of_16_bits_keep_them_as_floats(tmp_path):
    from PIL import Image

    (tmp_path / "deep" / "one").mkdir(parents=True)
    values = [0, 1000, 1001, 65535]
    for number, value in enumerate(values):
        deep = Image.fromarray(np.full((4, 4), value, np.uint16))
        deep.save(tmp_path / "deep" / "one" / f"{number}.png")
    for size in (None, (2, 2)):
        folder = ImageFolder(path=tmp_path / "deep", channels=1, pixels="float32", resize=size)
        data = folder.load(tmp_path)
        found = sorted([*data.train_images[:, 0, 0, 0], *data.test_images[:, 0, 0, 0]])
        np.testing.assert_allclose(found, np.array(values) / 65535, rtol=1e-6)


def test_npz_labels_may_be_words_and_gaps_and_unlabelled(tmp_path):
    path = tmp_path / "own.npz"
    images = np.zeros((6, 4, 4), np.uint8)
    tests = {"test_images": images[:2], "test_labels": np.array(["cat", "dog"])}
    np.savez(path, images=images, labels=np.array(["dog", "cat"] * 3), **tests)
    data = NPZ(path=path).load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.train_labels.tolist() == [1, 0] * 3
    assert data.test_labels.tolist() == [0, 1]
    np.savez(path, images=images, labels=np.array([7, -1, 3, 7, 3, -1]))
    data = NPZ(path=path, test_fraction=0.5).load(tmp_path)
    assert data.classes == ("3", "7")
    assert sorted([*data.train_labels, *data.test_labels]) == [-1, -1, 0, 0, 1, 1]


def test_npz_splits_the_same_way_twice(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(
        path, images=np.arange(90).reshape(90, 1, 1).astype(np.uint8), labels=np.arange(90) % 3
    )
    one, two = NPZ(path=path).load(tmp_path), NPZ(path=path).load(tmp_path)
    other = NPZ(path=path, split_seed=1).load(tmp_path)
    np.testing.assert_array_equal(one.test_images, two.test_images)
    assert not np.array_equal(one.test_images, other.test_images)
    everything = np.concatenate([one.train_images, one.test_images]).ravel()
    assert sorted(everything) == list(range(90))


def large_npz(path, save=np.savez):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 6, 7), dtype=np.uint8)
    colour = rng.integers(0, 256, (20, 6, 7, 3), dtype=np.uint8)
    save(path, images=images, labels=np.arange(50) % 3, test_images=images[:9],
         test_labels=np.arange(9) % 3, colour=colour)  # fmt: skip
    return images


def in_the_file(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_large_arrays_stay_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("dvae_core.plugin.arrays.MAPPED_FROM", 300)
    path = tmp_path / "own.npz"
    images = large_npz(path)
    data = load_data(NPZ(path=path))
    np.testing.assert_array_equal(data.train_images[:, 0], images)
    np.testing.assert_array_equal(data.test_images[:, 0], images[:9])
    assert in_the_file(data.train_images)
    # Nor does training copy them: what is written into the array shows in the batches' images.
    batches = Batches(data.train_images, data.train_labels, batch_size=8, seed=0,
                      device=torch.device("cpu"))  # fmt: skip
    data.train_images[3, 0, 2, 2] += 1
    assert batches.images[3, 0, 2, 2] == data.train_images[3, 0, 2, 2] != images[3, 2, 2]
    # The file does not change.
    np.testing.assert_array_equal(load_data(NPZ(path=path)).train_images[:, 0], images)


def test_packed_arrays_and_small_ones_are_loaded(tmp_path, monkeypatch):
    path = tmp_path / "own.npz"
    images = large_npz(path)
    assert not in_the_file(load_data(NPZ(path=path)).train_images)
    monkeypatch.setattr("dvae_core.plugin.arrays.MAPPED_FROM", 300)
    large_npz(path, np.savez_compressed)
    data = load_data(NPZ(path=path))
    assert not in_the_file(data.train_images)
    np.testing.assert_array_equal(data.train_images[:, 0], images)


def test_damage_in_an_array_that_stays_in_the_file_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("dvae_core.plugin.arrays.MAPPED_FROM", 300)
    path = tmp_path / "own.npz"
    images = large_npz(path)
    content = bytearray(path.read_bytes())
    content[content.index(images[7].tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="no readable npz file: Bad CRC-32"):
        load_data(NPZ(path=path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((4, 4, 4), np.uint8)}, "needs arrays images and labels"),
        ({"images": np.zeros(4, np.uint8), "labels": np.arange(4)}, r"must be \[N, H, W\]"),
        (
            {"images": np.zeros((4, 4, 4), np.uint8), "labels": np.arange(3)},
            "4 images and 3 labels",
        ),
        ({"images": np.full((4, 4, 4), 2.5), "labels": np.arange(4)}, "must be uint8, or floats"),
        (
            {"images": np.full((4, 4, 4), np.nan), "labels": np.arange(4)},
            "must be uint8, or floats",
        ),
        ({"images": np.zeros((4, 4, 4), np.uint8), "labels": np.zeros(4)}, "labels must be"),
        ({"images": np.zeros((1, 4, 4), np.uint8), "labels": np.arange(1)}, "too few to split"),
        ({"images": np.array([{}]), "labels": np.arange(1)}, "no readable npz"),
        ({"images": np.zeros((4, 4, 4), np.uint8), "labels": np.array(1)}, r"int64 \[\]"),
        ({"images": np.full((4, 4, 4), "x"), "labels": np.arange(4)}, "not <U1"),
        ({"images": np.zeros((4, 4, 4), complex), "labels": np.arange(4)}, "not complex128"),
    ],
)
def test_npz_says_what_is_wrong(tmp_path, arrays, message):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_data(NPZ(path=path))
    assert "own.npz" in str(caught.value) or "labels must" in message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x93NUMPY nonsense", b"x" * 99])
def test_a_file_that_is_no_npz(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no readable npz"):
        NPZ(path=path).load(tmp_path)
    with pytest.raises(DataError, match="there is no such file"):
        NPZ(path=tmp_path / "gone.npz").load(tmp_path)


def save_images(folder, sizes, mode="RGB"):
    from PIL import Image

    for c in ("cat", "dog"):
        (folder / c).mkdir(parents=True)
        for i, size in enumerate(sizes):
            Image.new(mode, size, color=60 if c == "cat" else 200).save(folder / c / f"{i}.png")


def test_image_folder(tmp_path):
    save_images(tmp_path / "pets", [(10, 8)] * 5, mode="L")
    data = ImageFolder(path=tmp_path / "pets", channels=1).load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.train_images.shape == (8, 1, 8, 10)
    cats = data.train_images[data.train_labels == 0]
    assert cats.min() == cats.max() == 60
    colour = ImageFolder(path=tmp_path / "pets", resize=(4, 6)).load(tmp_path)
    assert colour.test_images.shape == (2, 3, 4, 6)


def test_image_folder_says_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(path=tmp_path / "gone").load(tmp_path)
    save_images(tmp_path / "pets", [(10, 8), (9, 8)])
    with pytest.raises(DataError, match=r"1\.png: 8x9 pixels where the first image has 8x10"):
        ImageFolder(path=tmp_path / "pets").load(tmp_path)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png: no readable image"):
        ImageFolder(path=tmp_path / "pets").load(tmp_path)
    shutil.rmtree(tmp_path / "pets" / "cat")
    shutil.rmtree(tmp_path / "pets" / "dog")
    with pytest.raises(DataError, match="no images in 0 folders"):
        ImageFolder(path=tmp_path / "pets").load(tmp_path)


def images(n):
    return np.zeros((n, 1, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((images(3).astype(np.float64), np.arange(3), images(3), np.arange(3)), "must be uint8"),
        (
            (images(3).astype(np.float32), np.arange(3), images(3), np.arange(3)),
            "are float32, test",
        ),
        (
            (images(3) * np.float32("nan"), np.arange(3), images(3), np.arange(3)),
            "are nan..nan, not",
        ),
        ((images(3)[:, 0], np.arange(3), images(3), np.arange(3)), "must be uint8"),
        ((images(3), np.arange(2), images(3), np.arange(3)), r"must be int64 \[3\]"),
        ((images(3), np.arange(3).astype(np.int32), images(3), np.arange(3)), "must be int64"),
        ((images(3), np.arange(3) + 8, images(3), np.arange(3)), r"must lie in -1\.\.9"),
        ((images(3), np.arange(3) - 2, images(3), np.arange(3)), r"must lie in -1\.\.9"),
        ((images(0), np.arange(0), images(3), np.arange(3)), "no train images"),
        ((images(3), np.arange(3), np.zeros((3, 1, 4, 4), np.uint8), np.arange(3)), "train images"),
    ],
)
def test_labelled_images_check_what_a_data_set_gives(arguments, message):
    with pytest.raises(ValueError, match=message):
        LabelledImages(*arguments, tuple("0123456789"))


def test_a_limit_takes_the_first_ones_of_each_class_alike():
    labels = np.array([0, 0, 0, 1, 0, 1, 2, 1, 1, 0])
    assert first_of_each(labels, 6).tolist() == [0, 1, 2, 3, 5, 6]
    assert first_of_each(labels, 3).tolist() == [0, 3, 6]
    assert first_of_each(labels, 10) == slice(None)
    data = load_data(MNIST(train_limit=1000, test_limit=100))
    assert np.bincount(data.train_labels).tolist() == [100] * 10
    assert np.bincount(data.test_labels).tolist() == [10] * 10


def test_labels_are_hidden_at_random_but_the_same_way_twice():
    labels = np.arange(1000) % 10
    visible = guidance_labels(labels, 0.1, seed=3)
    assert (visible >= 0).sum() == 100
    assert (visible[visible >= 0] == labels[visible >= 0]).all()
    np.testing.assert_array_equal(visible, guidance_labels(labels, 0.1, seed=3))
    assert not np.array_equal(visible, guidance_labels(labels, 0.1, seed=4))
    assert guidance_labels(labels, 0.0, seed=3).max() == -1
    assert (labels >= 0).all()


def two_moons(count=400):
    """Two half circles that interlock, and a few points in the middle between them."""
    angle = np.linspace(0, np.pi, count // 2)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    return np.concatenate([upper, lower]), np.repeat([0, 1], count // 2)


def test_labels_spread_along_the_data_and_not_across():
    points, true = two_moons()
    few = np.full(len(true), -1)
    few[[100, 300]] = true[[100, 300]]
    spread = spread_labels(points, few)
    assert np.array_equal(spread, true)
    # By distance alone the ends would go to the other moon.
    nearest = np.linalg.norm(points[:, None] - points[[100, 300]], axis=2).argmin(axis=1)
    assert (nearest != true).sum() > 40


def test_what_labels_do_not_reach_stays_hidden_and_what_is_known_stays():
    line = np.stack([np.arange(20.0), np.zeros(20)], 1)
    island = line[:10] + 1000
    points = np.concatenate([line, island])
    few = np.full(30, -1)
    few[[0, 19]] = 0, 1
    spread = spread_labels(points, few)
    assert spread.tolist() == [0] * 10 + [1] * 10 + [-1] * 10
    for labels in ([1, -1, 1, -1, -1], [-1] * 5, [0, 1, 0, 1, 0]):  # nothing to tell apart, or none
        assert spread_labels(points[:5], np.array(labels)).tolist() == labels


def test_what_a_data_set_plugin_raises_names_it(tmp_path):
    class Broken(MNIST):
        name = "broken"

        def load(self, cache):
            raise KeyError("x")

    with pytest.raises(DataError, match="data set \"broken\": KeyError: 'x'"):
        load_data(Broken())

    class Wrong(MNIST):
        name = "wrong"

        def load(self, cache):
            return [1, 2]

    with pytest.raises(DataError, match="load gave list, not LabelledImages"):
        load_data(Wrong())


@pytest.mark.slow
def test_binarized_mnist_is_drawn_by_brightness(tmp_path):
    grey, drawn = MNIST().load(tmp_path), BinarizedMNIST().load(tmp_path)
    assert np.array_equal(drawn.train_images, grey.train_images)
    middle = (grey.test_images > 120) & (grey.test_images < 136)
    assert set(np.unique(drawn.test_images)) == {0, 255}
    assert drawn.test_images[grey.test_images == 255].min() == 255
    assert drawn.test_images[grey.test_images == 0].max() == 0
    assert drawn.test_images[middle].mean() / 255 == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(drawn.test_images, BinarizedMNIST().load(tmp_path).test_images)
    # Training draws at each step.
    draws = [torch.Generator().manual_seed(step) for step in (1, 2)]
    images = torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1, 1).expand(3, 1, 100, 100)
    steps = [BinarizedMNIST().augment(images, torch.arange(3), random) for random in draws]
    assert steps[0].mean((1, 2, 3)).tolist() == pytest.approx([0.0, 0.25, 1.0], abs=0.02)
    assert not torch.equal(*steps)


def test_vectors_are_images_of_one_row(tmp_path):
    path = tmp_path / "own.npz"
    vectors = np.random.default_rng(0).random((40, 6))
    np.savez(path, images=vectors, labels=np.arange(40) % 2)
    data = NPZ(path=path, pixels="float32").load(tmp_path)
    assert data.image_shape == (1, 1, 6)
    kept = np.concatenate([data.train_images, data.test_images]).reshape(40, 6)
    np.testing.assert_array_equal(np.sort(kept, axis=0), np.sort(vectors.astype("f4"), axis=0))


def test_a_vector_is_shown_as_its_profile():
    (picture,) = as_pictures(np.array([0.0, 1.0, 0.25], np.float32).reshape(1, 1, 1, 3))
    # Eleven columns a value, 32 rows below a line, and a line at the right.
    assert picture.shape == (1, 33, 34)
    bright = picture[0, 1:, :-1].sum(axis=0)
    np.testing.assert_allclose(bright, np.repeat([0, 32, 8], 11))
    assert picture[0, -1, -2] == 1  # from below
    # Pictures stay as they are, and five channels are shown as their mean.
    images = np.random.default_rng(0).random((2, 5, 4, 4))
    np.testing.assert_array_equal(as_pictures(images[:, :3]), images[:, :3])
    np.testing.assert_allclose(as_pictures(images)[:, 0], images.mean(axis=1))
