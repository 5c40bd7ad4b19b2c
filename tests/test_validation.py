"""The validation split: who is in it, who never sees it, and what is chosen by it."""

import json
import signal
import textwrap

import numpy as np
import pytest

from dvae_core import DataError, Dataset, LabelledImages, compare_runs, load_run
from dvae_core.errors import Interrupted, RecipeError
from dvae_core.model.data import difference, fingerprint, load_data, stratified
from dvae_core.recipe.goal import Goal
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.watch import Watch
from dvae_core.stopping import request_stop
from dvae_core.sweep.driver import run_sweep
from dvae_core.testing.checks.observers import gives_labelled_images, gives_the_same_twice
from dvae_core.testing.outcomes import Failure
from dvae_core.training.run import prepare, resume_run, run_recipe

from .helpers import RECIPES, SweepHeard, plan_of, rows

FRACTION = "dataset.validation_fraction=0.25"
SHORT = "train.batch_size=10"

SWEEP = """\
recipe = "small.toml"
seeds = 2
goal = "highest {goal}"

[grid]
"kl.name" = ["square", "abs"]

[launcher]
name = "inline"
"""


class Own(Dataset):
    """Images that say by their first pixel which part they are of; a validation part of its own."""

    name = "own"
    validated: bool = True
    says: bool = True
    labelled: bool = True
    fickle: bool = False

    def load(self, cache):
        def part(number, n):
            images = np.full((n, 1, 4, 4), number, dtype=np.uint8)
            return images, np.arange(n) % 2

        own = part(3, 6) if self.validated else (None, None)
        if self.fickle:
            own = (np.random.randint(0, 256, own[0].shape).astype(np.uint8), own[1])
        if not self.labelled:
            own = (own[0], own[1] * 0 - 1)
        return LabelledImages(*part(1, 20), *part(2, 10), ("a", "b"), *own)

    def has_validation(self):
        return self.says


class Warned(Watch):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


# --- Who is in it.


def test_each_class_gives_its_share():
    # 50, 30, 15 and 5 of 100: of 20 they give 10, 6, 3 and 1, the unlabelled ones among them.
    labels = np.repeat([0, 1, 2, -1], [50, 30, 15, 5])
    held = stratified(np.random.default_rng(3).permutation(labels), 20)
    assert len(set(held.tolist())) == 20
    given = np.random.default_rng(3).permutation(labels)[held]
    assert [(given == c).sum() for c in (0, 1, 2, -1)] == [10, 6, 3, 1]


def test_the_shares_are_those_of_sainte_lague():
    # 7 seats for 53, 24 and 23 votes: quotients of 1, 3, 5, 7 give
    # 53, 24, 23, 17.7, 10.6, 8, 7.7 | 7.6, so 3, 2 and 2 seats.
    labels = np.repeat([0, 1, 2], [53, 24, 23])
    assert np.bincount(labels[stratified(labels, 7)]).tolist() == [3, 2, 2]


def test_training_and_validation_have_no_image_in_common(recipe_file):
    whole = load_data(load_recipe(recipe_file).dataset)
    data = load_data(load_recipe(recipe_file, [FRACTION]).dataset)
    parts = (data.train_images, data.validation_images)
    assert [len(part) for part in parts] == [144, 48]
    assert np.bincount(data.validation_labels).tolist() == pytest.approx([16, 16, 16], abs=1)
    train, held, before = (
        {image.tobytes() for image in images} for images in (*parts, whole.train_images)
    )
    assert train | held == before
    assert train & held == set()
    assert np.array_equal(data.test_images, whole.test_images)
    assert np.array_equal(data.test_labels, whole.test_labels)


def test_the_same_images_are_held_out_whatever_the_seed(recipe_file):
    recipes = [load_recipe(recipe_file, [FRACTION, f"seed={n}"]) for n in (1, 2)]
    one, two = (load_data(recipe.dataset) for recipe in recipes)
    assert fingerprint(one) == fingerprint(two)


def test_limits_come_first(recipe_file):
    recipe = load_recipe(recipe_file, [FRACTION, "dataset.train_limit=60"])
    data = load_data(recipe.dataset)
    assert (len(data.train_images), len(data.validation_images)) == (45, 15)


def test_how_many_train_is_known_without_loading():

    changes = ["dataset.train_limit=10_000", "dataset.validation_fraction=0.3", "train.epochs=50"]
    recipe = load_recipe(RECIPES / "mnist_abs.toml", changes)
    assert recipe.train_images == len(load_data(recipe.dataset).train_images) == 7000
    quick = [load_recipe(RECIPES / f"{name}.toml").train_images for name in ("quick", "quick_val")]
    assert quick == [12_000, 12_000]


@pytest.mark.parametrize("fraction", ["0.001", "0.999"])
def test_a_split_that_leaves_nothing_is_refused(recipe_file, fraction):
    recipe = load_recipe(recipe_file, [f"dataset.validation_fraction={fraction}"])
    with pytest.raises(DataError, match=r"of 192 training images .* holds (0|192) out"):
        load_data(recipe.dataset)


def test_a_part_of_its_own_is_checked_and_kept():
    data = load_data(Own())
    assert [len(part) for part in (data.train_images, data.validation_images)] == [20, 6]
    assert fingerprint(data) != fingerprint(load_data(Own(validated=False)))
    with pytest.raises(DataError, match=r"has_validation\(\) says there is none"):
        load_data(Own(says=False))
    images, labels = np.zeros((4, 1, 4, 4), np.uint8), np.zeros(4, np.int64)
    whole = (images, labels, images, labels, ("a", "b"))
    for wrong, said in [
        ((images, None), "come together"),
        ((images[:0], labels[:0]), "no validation images"),
        ((images, labels + 2), "validation_labels must lie in"),
        ((images[:, :, :3], labels), "validation images"),
        ((images.astype(float), labels), "validation_images must be uint8"),
    ]:
        with pytest.raises(ValueError, match=said):
            LabelledImages(*whole, *wrong)
    with pytest.raises(ValueError, match='two classes are called "b"'):
        LabelledImages(*whole[:4], ("a", "b", "b"))


def test_nothing_is_held_out_beside_a_part_of_its_own():
    said = []
    data = load_data(Own(validation_fraction=0.5), said.append)
    assert fingerprint(data) == fingerprint(load_data(Own()))
    assert [text for text in said if "validation_fraction = 0.5 holds nothing out" in text]


@pytest.mark.parametrize("own", [True, False, None])
def test_how_many_train_hangs_on_whose_part_it_is(recipe_file, own, monkeypatch):
    recipe = load_recipe(recipe_file, [FRACTION])
    monkeypatch.setattr(type(recipe.dataset), "size", lambda self: 200)
    monkeypatch.setattr(type(recipe.dataset), "has_validation", lambda self: own)
    assert recipe.train_images == {True: 200, False: 150, None: None}[own]


def test_the_conformance_kit_looks_at_the_part():
    gives_labelled_images(Own())
    gives_labelled_images(Own(validated=False, says=False))
    with pytest.raises(Failure, match=r"says False and load gives a validation part"):
        gives_labelled_images(Own(says=False))
    with pytest.raises(Failure, match=r"says True and load gives no validation part"):
        gives_labelled_images(Own(validated=False))
    with pytest.raises(Failure, match="no image has a label"):
        gives_labelled_images(Own(labelled=False))
    gives_the_same_twice(Own())
    with pytest.raises(Failure, match="validation_images differ"):
        gives_the_same_twice(Own(fickle=True))


def test_an_npz_file_may_have_one(recipe_file, blobs):
    arrays = dict(np.load(blobs))
    images, labels = arrays["images"], arrays["labels"]
    held = {"validation_images": images[180:], "validation_labels": labels[180:]}
    assert load_recipe(recipe_file).validated is False
    np.savez(blobs, images=images[:180], labels=labels[:180], **held)
    recipe = load_recipe(recipe_file)
    assert recipe.validated is True
    data = load_data(recipe.dataset)
    assert np.array_equal(data.validation_images[:, 0], images[180:])
    assert data.validation_labels.tolist() == labels[180:].tolist()
    assert (len(data.train_images), len(data.test_images)) == (144, 36)
    tested = {"test_images": images[120:180], "test_labels": labels[120:180]}
    np.savez(blobs, images=images[:120], labels=labels[:120], **tested, **held)
    data = load_data(recipe.dataset)
    assert data.test_labels.tolist() == labels[120:180].tolist()
    assert data.validation_labels.tolist() == labels[180:].tolist()
    np.savez(blobs, images=images, labels=labels, validation_images=images)
    with pytest.raises(DataError, match="validation_images with validation_labels"):
        load_data(recipe.dataset)
    blobs.unlink()
    assert recipe.validated is None


# --- Who never sees it.


def test_the_judges_and_the_training_see_none_of_it(recipe_file, monkeypatch):
    training = prepare(load_recipe(recipe_file, [FRACTION]), Watch())
    trained = {
        image.round().byte().numpy().tobytes()
        for images, *_ in training.batches.epoch(0)
        for image in images * 255
    }
    held = {image.tobytes() for image in training.data.validation_images}
    assert len(trained) == 144
    assert trained & held == set()
    training.train(False)
    snapshot = training.snapshot().on("val")
    assert (len(snapshot.train_labels), len(snapshot.test_labels)) == (144, 48)
    assert np.array_equal(snapshot.train_means, snapshot.encode(training.data.train_images)[0])
    learnt = []
    monkeypatch.setattr(
        "dvae_core.latent.borders.image_judge._train",
        lambda network, images, labels, device, say: learnt.extend(i.tobytes() for i in images),
    )
    assert snapshot.image_judge.accuracy >= 0
    assert len(learnt) == 144
    assert set(learnt) & held == set()


def test_labels_are_hidden_from_what_is_left(recipe_file):
    changes = [FRACTION, "dataset.labelled_fraction=0.5"]
    training = prepare(load_recipe(recipe_file, changes), Watch())
    labels = np.concatenate([labels.numpy() for _, labels, _ in training.batches.epoch(0)])
    assert (labels >= 0).sum() == 72
    assert (training.data.validation_labels >= 0).all()


def test_a_snapshot_looks_at_a_split(recipe_file):
    training = prepare(load_recipe(recipe_file, [FRACTION]), Watch())
    training.train(False)
    history = [
        {"epoch": 1, "train/loss": 3.0, "val/kl": 2.0},
        {"epoch": 2, "train/loss": 2.0, "val/kl": 1.5, "test/kl": 9.0, "test/knn": 0.5},
    ]
    test = training.snapshot(history)
    val = test.on("val")
    assert (test.split, val.split) == ("test", "val")
    assert val.on("val") is val
    data = training.data
    for snapshot, images, labels in (
        (test, data.test_images, data.test_labels),
        (val, data.validation_images, data.validation_labels),
        (val.on("test"), data.test_images, data.test_labels),
    ):
        assert np.array_equal(snapshot.test_labels, labels)
        assert np.array_equal(snapshot.test_images, images.astype(np.float32) / 255)
        assert np.array_equal(snapshot.test_means, snapshot.encode(images)[0])
    assert test.history == val.on("test").history == history
    assert val.history == [
        {"epoch": 1, "train/loss": 3.0, "test/kl": 2.0},
        {"epoch": 2, "train/loss": 2.0, "test/kl": 1.5},
    ]
    means = val.train_means
    assert val.on("test").train_means is means


def test_there_is_none_where_none_was_asked_for(recipe_file):
    training = prepare(load_recipe(recipe_file), Watch())
    with pytest.raises(DataError, match=r"no validation images; dataset\.validation_fraction"):
        training.snapshot().on("val")


# --- What a run says.


def parts(row):
    return {key.partition("/")[0] for key in row if "/" in key}


def test_each_epoch_has_figures_of_it_and_the_test_waits_for_the_end(recipe_file, tmp_path, dvae):
    recipe = load_recipe(recipe_file, [FRACTION, "evaluate.every=2", "train.epochs=5"])
    run = run_recipe(recipe, tmp_path)
    assert run.info["validation_images"] == 48
    assert run.info["train_images"] == 144
    told = run.metrics()
    assert [parts(row) for row in told] == [{"train", "val"}] * 4 + [{"train", "val", "test"}]
    assert ["val/knn_accuracy" in row for row in told] == [False, True, False, True, True]
    for split, said in (("test", "test/"), ("val", "val/")):
        code, out, _ = dvae("evaluate", run.path, "--json", "--split", split)
        found = json.loads(out)
        assert (code, found.get("split")) == (0, None if split == "test" else "val")
        for name in ("reconstruction", "kl", "knn_accuracy"):
            assert found[name] == pytest.approx(told[-1][f"{said}{name}"])
    loaded = load_run(run.path)
    assert loaded.evaluate(split="val").values["kl"] == pytest.approx(told[-1]["val/kl"])
    code, out, _ = dvae("evaluate", run.path, "--split", "val")
    assert "validation set" in out
    assert dvae("evaluate", run.path, "--split", "train")[0] == 2
    code, out, _ = dvae("compare", run.path, "--json")
    (row,) = json.loads(out)["rows"]
    assert list(row["metrics"])[-3:] == ["val/reconstruction", "val/kl", "val/knn_accuracy"]
    assert row["metrics"]["knn_accuracy"]["mean"] == told[-1]["test/knn_accuracy"]
    assert row["metrics"]["val/kl"]["mean"] == told[-1]["val/kl"]


def test_without_one_a_run_says_and_does_what_it_did(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file), tmp_path)
    assert "validation_images" not in run.info
    assert "validation_fraction" not in run.recipe_table["dataset"]
    assert all(parts(row) == {"train", "test"} for row in run.metrics())


def test_runs_with_and_without_one_are_two_rows(recipe_file, tmp_path):
    short = [SHORT, "train.epochs=1"]
    for changes in (short, [*short, FRACTION]):
        run_recipe(load_recipe(recipe_file, changes), tmp_path)
    found = compare_runs([tmp_path])
    assert found.settings == ("dataset.validation_fraction",)
    assert found.metrics[-3:] == ("val/reconstruction", "val/kl", "val/knn_accuracy")
    # In any order: both may have begun within one second.
    assert sorted("val/kl" in row.metrics for row in found.rows) == [False, True]
    assert all("kl" in row.metrics for row in found.rows)


def test_measuring_it_changes_no_bit_of_the_training(recipe_file, blobs, tmp_path):
    arrays = dict(np.load(blobs))
    before = rows(run_recipe(load_recipe(recipe_file), tmp_path / "without"))
    held = {f"validation_{name}": array[:30] for name, array in arrays.items()}
    np.savez(blobs, **arrays, **held)
    after = rows(run_recipe(load_recipe(recipe_file), tmp_path / "with"))

    def of(told, part):
        return [{k: v for k, v in row.items() if k.startswith(part)} for row in told]

    assert of(after, "train/") == of(before, "train/")
    assert of(after, "test/")[-1] == of(before, "test/")[-1]
    assert of(after, "test/")[:-1] == [{}] * 3


def test_a_run_that_goes_on_ends_with_the_same_bits(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, [FRACTION, 'train.keep_best="highest val/knn_accuracy"'])
    whole = run_recipe(recipe, tmp_path / "whole")

    class Stops(Watch):
        def epoch_finished(self, row):
            assert "val/knn_accuracy" in row
            if row["epoch"] == 2:
                request_stop(signal.SIGINT)

    with pytest.raises(Interrupted):
        run_recipe(recipe, tmp_path / "stopped", watch=Stops())
    (stopped,) = (tmp_path / "stopped").iterdir()
    assert parts(RunFolder.open(stopped).metrics()[-1]) == {"train", "val"}
    done = resume_run(stopped)
    assert rows(done) == rows(whole)
    best, again = (load_run(run.path, "best") for run in (whole, done))
    assert best.epoch == again.epoch
    told = [row["val/knn_accuracy"] for row in whole.metrics()]
    assert best.epoch == 1 + told.index(max(told))
    other = load_data(load_recipe(recipe_file).dataset)
    assert difference(whole.info, other) == "train_images were 144 and are 192"
    with pytest.raises(RecipeError, match="validation_fraction is None and was"):
        resume_run(stopped, load_recipe(recipe_file, ["train.epochs=6"]))


def test_details_of_the_two_lie_side_by_side(recipe_file, tmp_path):
    recipe = load_recipe(
        recipe_file, [FRACTION, SHORT, "evaluate.metrics=['borders']", "train.epochs=2"]
    )
    run = run_recipe(recipe, tmp_path)
    names = {file.stem for file in (run.path / "evaluation").glob("*.json")}
    assert names == {"epoch-0001-val-borders", "epoch-0002-val-borders", "epoch-0002-borders"}


# --- What is chosen by it.


@pytest.mark.parametrize(
    ("text", "validated", "problem", "warning"),
    [
        ("highest val/x", True, None, None),
        ("highest val/x", None, None, None),
        ("highest val/x", False, "no validation images", None),
        ("lowest test/x", True, 'say "lowest val/x", or "lowest test/x forced"', None),
        ("lowest test/x", None, None, "too good"),
        ("lowest test/x", False, None, "too good"),
        ("lowest test/x forced", True, None, None),
        ("lowest test/x forced", False, None, None),
        ("lowest train/loss", True, None, None),
        ("lowest train/loss", False, None, None),
    ],
)
def test_goals(text, validated, problem, warning):
    goal = Goal.of(text)
    for found, wanted in ((goal.problem(validated), problem), (goal.warning(validated), warning)):
        assert (found is None) == (wanted is None)
        assert wanted is None or wanted in found


def test_keep_best_is_held_to_it(recipe_file, tmp_path, dvae):
    by_test, by_val = 'train.keep_best="highest test/knn_accuracy"', "train.keep_best=lowest val/kl"
    with pytest.raises(RecipeError, match=r'--set.*\[train\] keep_best: .* "highest val/knn'):
        load_recipe(recipe_file, [FRACTION, by_test])
    with pytest.raises(RecipeError, match=r"val/kl: there are no validation images; dataset"):
        load_recipe(recipe_file, [by_val])
    heard = Warned()
    old = load_recipe(recipe_file, [by_test, SHORT, "train.epochs=1"])
    run_recipe(old, tmp_path, watch=heard)
    assert [text for text in heard.warnings if "too good" in text] == heard.warnings != []
    code, _, err = dvae("validate", recipe_file, "--set", by_test)
    assert (code, "warning: train.keep_best" in err) == (0, True)
    forced = f'{by_test[:-1]} forced"'
    recipe = load_recipe(recipe_file, [FRACTION, forced, SHORT, "train.epochs=2"])
    run = run_recipe(recipe, tmp_path, watch=(silent := Warned()))
    assert silent.warnings == []
    assert all("test/knn_accuracy" in row for row in run.metrics())
    assert (run.path / "checkpoints" / "best.pt").exists()


def test_where_only_the_data_can_tell_keep_best_waits_for_it(recipe_file, install):
    install(
        "dvae-unsure",
        textwrap.dedent(
            """
            import numpy as np
            from dvae_core import Dataset, LabelledImages, hookimpl

            class Unsure(Dataset):
                "Cannot tell."
                name = "unsure"

                def load(self, cache):
                    images = np.full((40, 1, 8, 8), 200, np.uint8)
                    labels = np.arange(40) % 2
                    return LabelledImages(images, labels, images, labels, ("a", "b"))

                def has_validation(self):
                    return None

            @hookimpl
            def register_datasets():
                return [Unsure]
            """
        ),
    )
    changes = ["dataset.name=unsure", "train.keep_best=lowest val/kl"]
    recipe = load_recipe(recipe_file, changes)
    assert recipe.validated is None
    with pytest.raises(RecipeError, match=r"\[train\] keep_best: val/kl: there are no validation"):
        prepare(recipe, Watch())


def test_a_sweeps_goal_is_held_to_it(inline, write, tmp_path):
    def checked(goal, *changes):
        plan = plan_of(write(SWEEP.format(goal=goal)), changes)
        return plan.warnings(plan.check(list(plan.variants())))

    assert checked("val/kl", FRACTION) == []
    assert checked("test/kl forced", FRACTION) == []
    (warning,) = checked("test/kl")
    assert warning.startswith(f"{tmp_path}/sweep.toml:3: goal: ")
    with pytest.raises(RecipeError) as refused:
        checked("test/kl", FRACTION)
    (line,) = refused.value.problems
    assert line.startswith(f"{tmp_path}/sweep.toml:3: goal: what is chosen by the test images")
    with pytest.raises(RecipeError, match="no validation images"):
        checked("val/kl")


def test_a_sweep_chooses_by_it(inline, write, tmp_path):
    heard = SweepHeard()
    file = write(SWEEP.format(goal="val/knn_accuracy"))
    outcome = run_sweep(file, tmp_path / "sweeps", overrides=[FRACTION, SHORT], watch=heard)
    assert (heard.warnings, outcome.failed) == ([], {})
    from dvae_core.runs.sweep_folder import SweepFolder

    sweep = SweepFolder(outcome.path)
    assert sweep.goal == ("highest", "val/knn_accuracy")
    runs = [run for row in sweep.comparison.rows for run in row.runs]
    best = max(run.metrics["val/knn_accuracy"] for run in runs)
    assert sweep.best_run.metrics["val/knn_accuracy"] == best
    page = (outcome.path / "report.html").read_text()
    assert "highest val/knn_accuracy" in page
    assert page.count('<th scope="col">val/knn_accuracy</th>') == 1
