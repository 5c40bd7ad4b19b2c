"""Every recipe that ships is right, and trains."""

import pytest

from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

from .helpers import RECIPES, SHIPPED, short_recipe

pytestmark = pytest.mark.usefixtures("fashion")
SHORT = ["train.epochs=1", "dataset.train_limit=200", "dataset.test_limit=100"]


@pytest.fixture(autouse=True)
def _quick_image_judge(judged_after):
    judged_after(10)


def test_these_ship():
    names = {path.stem for path in SHIPPED}
    assert names >= {
        "mnist_abs",
        "mnist_square",
        "mnist_plain",
        "mnist_cosine",
        "fashion_abs",
        "mnist_mlp",
        "mnist_mlp_plain",
        "mnist_borders",
        "fashion_borders",
        "fashion_mlp_plain",
        "quick",
        "digits_own_data",
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_short_run(path, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")  # it has tests of its own
    recipe = short_recipe(path, *SHORT)
    assert recipe.title
    run = run_recipe(recipe, tmp_path)
    (row,) = run.metrics()
    others = {"mnist_likelihood": "iwae", "diabetes": "linear_probe_r2"}  # for other figures
    for_borders = path.stem not in others
    for name in ("knn_accuracy", "direct_path_mean") if for_borders else ():
        assert 0 <= row[f"test/{name}"] <= 1
    assert for_borders or row[f"test/{others[path.stem]}"] < 1
    figures = {f.stem.removeprefix("epoch-0001-") for f in (run.path / "figures").iterdir()}
    assert figures == {plot.name for plot in recipe.evaluate.plots}
    # What is made for a sweep leaves the pictures to the sweep.
    for_sweeps = any(word in path.stem for word in ("claim", "controls", "rate"))
    assert for_sweeps == (figures == set())
    assert for_sweeps or not for_borders or {"latent", "regions"} <= figures


def test_the_main_recipe_is_the_original_experiment():
    recipe = load_recipe(RECIPES / "mnist_abs.toml")
    timeline = recipe.timeline(60_000)
    assert (timeline.steps_per_epoch, timeline.epochs) == (938, 10)
    assert recipe.optimizer.keywords == {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7}
    assert recipe.kl.weight == 0.5
    assert timeline.value(recipe.guidance.weight, 0) == pytest.approx(20)
    assert timeline.value(recipe.guidance.weight, 9379) == pytest.approx(0.01)


def test_the_cosine_recipe_is_the_originals_second_schedule():
    weight = load_recipe(RECIPES / "mnist_cosine.toml").guidance.weight
    assert [round(weight.value(t), 2) for t in (0, 3000, 9000, 9379)] == [13, 3, 3, 3]
