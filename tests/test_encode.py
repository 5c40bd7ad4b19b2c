"""`dvae encode`, `decode` and `sample`: images into latent space and out of it, by hand again."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from dvae_core import load_run
from dvae_core.errors import DataError, DvaeError
from dvae_core.latent.borders.judge import Judge
from dvae_core.latent.points import read_points
from dvae_core.latent.sheet import GAP, SIDE, sheet
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

from .helpers import Heard

TWINS = """
    import numpy as np
    from dvae_core import Dataset, LabelledImages, hookimpl

    class Twins(Dataset):
        "Two black images and a white one, of the classes 2 and x."
        name = "twins"

        def load(self, cache):
            images = np.zeros((3, 1, 8, 8), np.uint8)
            images[2] = 255
            labels = np.array([0, -1, 1])
            return LabelledImages(images, labels, images, labels, ("2", "x"))

    @hookimpl
    def register_datasets():
        return [Twins]
"""


@pytest.fixture(autouse=True)
def _any_image_judge_will_do(judged_after):
    judged_after(10)


@pytest.fixture
def run(recipe_file, tmp_path):
    changes = ["train.epochs=2", "evaluate.metrics=[]", "evaluate.plots=[]"]
    return run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs").path


@pytest.fixture
def images(blobs):
    with np.load(blobs) as arrays:
        return arrays["images"][:, None]


@pytest.fixture
def pictures(tmp_path, images):
    """Three PNG files."""
    files = [tmp_path / f"picture-{n}.png" for n in range(3)]
    for file, image in zip(files, images, strict=False):
        Image.fromarray(image[0]).save(file)
    return files


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_encodings_are_what_the_parts_say(run, images):
    loaded = load_run(run)
    found = loaded.encodings(images[:20])
    mean, log_var = loaded.encode(images[:20])
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.log_var, log_var)
    np.testing.assert_array_equal(found.head, loaded.classify(mean))
    errors = ((loaded.decode(mean) - images[:20] / 255) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.reconstruction, errors, rtol=1e-4)
    snapshot = loaded.snapshot()
    verdicts = np.where(found.void, -1, found.latent_judge)
    np.testing.assert_array_equal(verdicts, snapshot.judge.verdicts(mean))
    seen = snapshot.image_judge.probabilities(images[:20])
    np.testing.assert_allclose(found.image_judge, seen, rtol=1e-5)
    assert len(found) == 20


def test_floats_are_encoded_as_their_bytes(run, images):
    loaded = load_run(run)
    floats = loaded.encodings(images[:3].astype(np.float32) / 255)
    np.testing.assert_allclose(floats.mean, loaded.encode(images[:3])[0], rtol=1e-6)


def test_floats_in_a_file_are_not_rounded(dvae, run, images, tmp_path):
    """Nor scaled twice, beside a file of bytes."""
    floats = np.clip(images[:2].astype(np.float32) / 255 + 0.001, 0, 1)
    np.savez(tmp_path / "fine.npz", floats)
    np.savez(tmp_path / "coarse.npz", images[:2])
    code, out, _ = dvae("encode", run, tmp_path / "fine.npz", tmp_path / "coarse.npz", "--json")
    assert code == 0
    rows = json.loads(out)["images"]
    found = np.array([[row["mean_1"], row["mean_2"]] for row in rows])
    loaded = load_run(run)
    wanted = np.concatenate([loaded.encode(floats)[0], loaded.encode(images[:2])[0]])
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert not np.allclose(found[:2], found[2:], rtol=1e-4)


def test_a_void_point_still_has_a_vote():
    means = np.array([[0.0], [0.1], [0.2], [10.0], [10.1], [10.2]])
    judge = Judge(means, np.array([0, 0, 0, 1, 1, 1]), means, 2, k=2)
    votes, void = judge.seen(np.array([[0.1], [4.0], [9.0]]))
    assert (votes.tolist(), void.tolist()) == ([0, 0, 1], [False, True, True])


def test_without_the_data_there_are_no_judges(dvae, run, blobs, pictures):
    blobs.unlink()
    heard = Heard()
    image = np.zeros((1, 1, 8, 8), np.uint8)
    found = load_run(run).encodings(image, watch=heard)
    assert found.latent_judge is found.void is found.image_judge is None
    assert found.head.shape == (1, 3)
    assert "blobs.npz" in heard.warnings[0]
    code, out, err = dvae("encode", run, *pictures, "--json")
    assert code == 0
    assert "latent_judge" not in json.loads(out)["images"][0]
    assert "without the judges" in err


def test_three_pictures_on_the_terminal(dvae, run, pictures):
    code, out, _ = dvae("encode", run, *pictures)
    assert code == 0
    title, _, header, *lines = out.splitlines()
    assert title == f"{run.name}, epoch 2: 3 images"
    assert "latent judge" in header
    assert [line.split()[0] for line in lines] == list(map(str, pictures))


def test_many_images_have_a_line_a_class(dvae, run):
    code, out, _ = dvae("encode", run)
    assert code == 0
    header, *lines = out.splitlines()[2:]
    assert "latent judge right" in header
    assert [line.split()[:2] for line in lines][-1] == ["all", "48"]
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "all"]


def test_files_hold_the_same(dvae, run, pictures, tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    files = {suffix: tmp_path / f"out{suffix}" for suffix in (".npz", ".csv", ".parquet")}
    for file in files.values():
        code, out, _ = dvae("encode", run, *pictures, "--out", file)
        assert (code, out) == (0, f"{file}\n")
    rows = json.loads(dvae("encode", run, *pictures, "--json")[1])["images"]
    assert pyarrow.read_table(files[".parquet"]).to_pylist() == rows
    written = table(files[".csv"].read_text())
    assert [{k: str(v) for k, v in row.items()} for row in rows] == written
    same = [read_points(file, 2) for file in files.values()]
    for other in same[1:]:
        np.testing.assert_allclose(other, same[0], rtol=1e-6)
    with np.load(files[".npz"]) as arrays:
        assert arrays["names"].tolist() == list(map(str, pictures))
        expected = [[row["mean_1"], row["mean_2"]] for row in rows]
        np.testing.assert_allclose(arrays["mean"], expected, rtol=1e-6)
        named = [arrays["classes"][c] for c in arrays["latent_judge"]]
        assert named == [row["latent_judge"] for row in rows]
        assert arrays["image_judge"].shape == arrays["head"].shape == (3, 3)


def test_pandas(run, images):
    pytest.importorskip("pandas")
    found = load_run(run).encodings(images[:4])
    frame = found.to_pandas()
    assert list(frame.columns) == list(found.columns())
    assert frame["mean_2"].tolist() == found.mean[:, 1].tolist()
    assert frame["void"].dtype == bool


@pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
def test_a_missing_package_is_named_with_what_to_install(dvae, run, pictures, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "pandas":
        found = load_run(run).encodings(np.zeros((1, 1, 8, 8), np.uint8))
        with pytest.raises(DvaeError, match=r'pip install "dvae-core\[tables\]"'):
            found.to_pandas()
    else:
        code, _, err = dvae("encode", run, *pictures, "--out", "out.parquet")
        assert code == 1
        assert 'pip install "dvae-core[tables]"' in err


def test_grey_pictures_may_be_stored_in_colour(dvae, run, pictures, tmp_path):
    colour = tmp_path / "colour.png"
    Image.open(pictures[0]).convert("RGB").save(colour)
    code, out, _ = dvae("encode", run, pictures[0], colour, "--json")
    assert code == 0
    first, second = json.loads(out)["images"]
    same = ("mean_1", "mean_2", "log_var_1", "log_var_2", "reconstruction")
    assert [first[name] for name in same] == pytest.approx([second[name] for name in same])


def test_what_is_no_image_of_the_run_is_refused_with_what_to_do(dvae, run, tmp_path):
    large, red, broken = (tmp_path / f"{name}.png" for name in ("large", "red", "broken"))
    Image.new("L", (9, 8)).save(large)
    Image.new("RGB", (8, 8), "red").save(red)
    broken.write_bytes(b"no picture")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    for given, status, text in [
        (large, 1, "large.png: 8x9 pixels (height x width), and the run's images have 8x8; resize"),
        (red, 1, "red.png: 3 channels, and the run's images have 1; turn them grey first"),
        (broken, 1, "broken.png: no readable image"),
        (nothing, 1, "nothing: there are none"),
        (tmp_path / "gone.png", 2, "gone.png: there is no such file or folder"),
        ("mnits", 2, 'did you mean "mnist"?'),
        ("image_folder", 2, "needs keys that only a recipe can give: path"),
    ]:
        code, out, err = dvae("encode", run, given)
        assert (code, out) == (status, "")
        assert text in err
    code, _, err = dvae("encode", run, large, "--out", "out.txt")
    assert code == 2
    assert ".parquet" in err


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (np.zeros((2, 8, 8), np.uint8), "must be [P, C, H, W], not [2, 8, 8]"),
        (np.zeros((0, 1, 8, 8), np.uint8), "there are none"),
        (np.zeros((1, 1, 8, 8), np.int64), "must be uint8, or floats in [0, 1], not int64"),
        (np.full((1, 1, 8, 8), 2.0), "must be uint8, or floats in [0, 1], not float64"),
        (np.full((1, 1, 8, 8), np.nan), "must be uint8, or floats in [0, 1], not float64"),
    ],
)
def test_arrays_are_checked(run, images, text):
    with pytest.raises(DataError) as caught:
        load_run(run).encodings(images)
    assert text in str(caught.value)


def test_labels_are_known_by_folder_array_and_data_set(dvae, run, images, tmp_path, install):
    install("dvae-twins", TWINS)
    for name in ("1", "elsewhere"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        Image.fromarray(images[0, 0]).save(tmp_path / "scans" / name / "a.png")
    np.savez(tmp_path / "new.npz", images=images[:2, 0], labels=np.array([2, -1]))
    np.savez(tmp_path / "bare.npz", images[:1])
    given = [tmp_path / "scans", tmp_path / "new.npz", tmp_path / "bare.npz", "twins"]
    code, out, _ = dvae("encode", run, *given, "--json")
    assert code == 0
    rows = json.loads(out)["images"]
    labels = ["1", None, "2", None, None, "2", None, None]
    assert [row["label"] for row in rows] == labels
    assert rows[5]["image"] == "twins:0"
    assert rows[5]["mean_1"] == rows[6]["mean_1"] != rows[7]["mean_1"]


def test_decoding_what_was_encoded(dvae, run, images, tmp_path):
    for suffix in (".npz", ".csv"):
        encoded, decoded = tmp_path / f"in{suffix}", tmp_path / "decoded.npz"
        assert dvae("encode", run, "--out", encoded)[0] == 0
        code, out, _ = dvae("decode", run, "--points", encoded, "--out", decoded)
        assert (code, out) == (0, f"{decoded}\n")
        loaded = load_run(run)
        with np.load(decoded) as arrays:
            mean = loaded.snapshot().test_means
            np.testing.assert_allclose(arrays["points"], mean, rtol=1e-6)
            np.testing.assert_allclose(arrays["images"], loaded.decode(mean), atol=1e-5)
    code, out, _ = dvae("decode", run, "--points", encoded)
    assert (code, out) == (0, f"{run / 'decoded' / 'in.png'}\n")
    with Image.open(run / "decoded" / "in.png") as picture:
        assert picture.size == (7 * (SIDE + GAP) - GAP, 7 * (SIDE + GAP) - GAP)  # 48 in a square


def test_points_from_files(dvae, run, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("1,2\n-0.5,3e-1\n")
    assert read_points(file, 2).tolist() == [[1.0, 2.0], [-0.5, np.float32(0.3)]]
    file.write_text("x,y\n1,2\n")
    assert read_points(file, 2).tolist() == [[1.0, 2.0]]
    file.write_text("image,mean_1,mean_2,log_var_1,log_var_2\na.png,1,2,3,4\n")
    assert read_points(file, 2).tolist() == [[1.0, 2.0]]
    np.savez(tmp_path / "other.npz", a=np.zeros((1, 2)), b=np.zeros((1, 2)))
    for name, text, message in [
        ("points.csv", "1,2,3\n", "the run's latent points are [P, 2], and these are [1, 3]"),
        ("points.csv", "1,nan\n", "points must be finite numbers"),
        ("points.csv", "x,y\n1,\n", "no readable file of points"),
        ("points.npz", "nothing", "no readable file of points"),
        ("points.txt", "1 2", "a file that ends in .npz, .csv, .parquet"),
        ("points.csv", "", "these are [0]"),
        ("other.npz", None, "needs an array points or mean, and has a, b"),
        ("gone.npz", None, "gone.npz: cannot be read"),
    ]:
        if text is not None:
            (tmp_path / name).write_text(text)
        code, _, err = dvae("decode", run, "--points", tmp_path / name)
        assert code == 1
        assert message in err
        assert "pickle" not in err
    file.write_text("1,2\n")
    code, _, err = dvae("decode", run, "--points", file, "--as", "1")
    assert code == 1
    assert "the decoder takes no labels" in err


def test_points_are_drawn_from_the_posteriors_of_training_images(recipe_file, tmp_path):
    changes = ["train.epochs=2", "evaluate.plots=[]", 'posterior.name="deterministic"']
    loaded = load_run(run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs"))
    snapshot = loaded.snapshot()
    points, labels = loaded.draw(50, 2)
    assert labels.tolist() == [2] * 50
    own = snapshot.train_means[snapshot.train_labels == 2]
    distances = np.abs(points[:, None] - own[None]).max(axis=2).min(axis=1)
    assert distances.max() < 1e-5  # a posterior without width has its mean alone
    assert len(np.unique(points.round(4), axis=0)) > 20
    assert set(loaded.draw(50)[1]) == {0, 1, 2}
    np.testing.assert_array_equal(loaded.draw(5, seed=3)[0], loaded.draw(5, seed=3)[0])
    assert not np.array_equal(loaded.draw(5, seed=3)[0], loaded.draw(5, seed=4)[0])


def test_drawn_points_have_the_posteriors_width(run):
    loaded = load_run(run)
    snapshot = loaded.snapshot()
    points, _ = loaded.draw(20_000, 1)
    own = snapshot._data.train_images[snapshot.train_labels == 1]
    mean, log_var = loaded.encode(own)
    variance = np.exp(log_var).mean(axis=0) + mean.var(axis=0)  # of a mixture of normals
    np.testing.assert_allclose(points.mean(axis=0), mean.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(points.var(axis=0), variance, rtol=0.05)


def test_sampling_from_the_command(dvae, run, tmp_path):
    code, out, _ = dvae("sample", run, "--class", "1", "-n", "5", "--seed", "7")
    file = run / "decoded" / "sample-1-5-7.png"
    assert (code, out) == (0, f"{file}\n")
    with Image.open(file) as picture:
        assert picture.size == (3 * (SIDE + GAP) - GAP, 2 * (SIDE + GAP) - GAP)
    code, out, _ = dvae("sample", run, "-n", "5", "--out", tmp_path / "drawn.npz")
    assert code == 0
    with np.load(tmp_path / "drawn.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "images": (5, 1, 8, 8), "points": (5, 2), "labels": (5,)
        }  # fmt: skip
    code, _, err = dvae("sample", run, "--class", "nine")
    assert code == 2
    assert 'no class "nine"' in err


def test_a_sheet_is_read_row_by_row():
    images = np.array([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1).repeat(SIDE, axis=2).repeat(SIDE, axis=3)
    with Image.open(io.BytesIO(sheet(images))) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (2 * SIDE + GAP, 2 * SIDE + GAP)
    there = SIDE + GAP
    assert [pixels[y, x] for y, x in ((0, 0), (0, there), (there, 0), (there, there))] == [
        0, 128, 255, 255,
    ]  # fmt: skip
    assert pixels[0, SIDE] == 255  # between two
