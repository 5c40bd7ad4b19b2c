"""A step: its learning rate, and the batches that it is made of."""

import pytest
import torch

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.model.data import load_data
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.own_recipe import own_recipe_to_look
from dvae_core.training.run import resume_run, run_recipe
from dvae_core.training.state import Training

from .helpers import rows, same_state, state

# 192 training images in batches of 40 are five steps an epoch, twenty in all.
FALLING = 'optimizer.lr={schedule="linear", start=0.02, end=0.001, length=19}'


def training_of(recipe):
    return Training(recipe, load_data(recipe.dataset))


def step(training, batch=None):
    training.take_step(*(batch or next(iter(training.batches.epoch(0)))))
    return [p.detach().clone() for p in training.model.parameters()]


def test_the_learning_rate_follows_its_schedule(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, [FALLING]), tmp_path)
    # The last steps of the four epochs are those of number 4, 9, 14 and 19.
    fallen = [0.02 - 0.001 * step for step in (4, 9, 14, 19)]
    assert [row["train/lr"] for row in run.metrics()] == pytest.approx(fallen)


def test_a_step_moves_by_the_scheduled_rate(recipe_file):
    sgd = ['optimizer={name="SGD"}', "guidance.weight=1.0"]
    lr = 'optimizer.lr={schedule="linear", start=0.0, end=0.0004, length=4}'
    training = training_of(load_recipe(recipe_file, [*sgd, lr]))
    before = [p.detach().clone() for p in training.model.parameters()]
    batches = list(training.batches.epoch(0))
    assert all(map(torch.equal, before, step(training, batches[0])))  # at rate 0
    moved = [training.lr, step(training, batches[1])]
    assert moved[0] == pytest.approx(0.0001)
    for parameter, old in zip(training.model.parameters(), before, strict=True):
        assert torch.allclose(parameter, old - 0.0001 * parameter.grad, atol=1e-7)


def test_a_flat_schedule_is_the_number(recipe_file, tmp_path):
    flat = 'optimizer.lr={schedule="constant", weight=0.01}'
    scheduled = run_recipe(load_recipe(recipe_file, [flat]), tmp_path)
    plain = run_recipe(load_recipe(recipe_file), tmp_path)
    assert same_state(state(plain)["model"], state(scheduled)["model"])
    assert "train/lr" not in plain.metrics()[-1]


def test_a_scheduled_rate_is_exact_under_resume(recipe_file, tmp_path):
    whole = run_recipe(load_recipe(recipe_file, [FALLING]), tmp_path)
    short = [FALLING, "train.epochs=2", "optimizer.lr.allow_unfinished=true"]
    half = run_recipe(load_recipe(recipe_file, short), tmp_path)
    again = resume_run(half.path, load_recipe(half.recipe_file, ["train.epochs=4"]))
    assert rows(again) == rows(whole)
    assert same_state(state(again), state(whole))


def test_show_draws_the_rate_and_is_a_recipe(recipe_file, tmp_path, dvae):
    _, out, _ = dvae("show", recipe_file, "--set", FALLING)
    assert "[optimizer.lr]" in out
    (tmp_path / "copy.toml").write_text(out)
    again = load_recipe(tmp_path / "copy.toml")
    assert again.to_table() == load_recipe(recipe_file, [FALLING]).to_table()
    text = load_recipe(recipe_file, ["optimizer.lr=1"]).to_table()["optimizer"]
    assert text == {"name": "Adam", "lr": 1}


@pytest.mark.parametrize(
    ("lr", "problem"),
    [
        (FALLING.partition("=")[2].replace("19", "99"), r"\[optimizer\] lr: .* settles"),
        ('{schedule="lineer"}', 'unknown schedule "lineer"'),
        ("{start=1.0}", 'missing key "schedule"'),
        ('"fast"', "lr must be like its default 0.001"),
    ],
)
def test_a_wrong_rate_is_refused(recipe_file, tmp_path, lr, problem):
    with pytest.raises(RecipeError, match=problem):
        run_recipe(load_recipe(recipe_file, [f"optimizer.lr={lr}"]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_rate_below_zero_ends_the_run(recipe_file, tmp_path):
    lr = FALLING.replace("0.001", "-0.02")
    with pytest.raises(DvaeError, match='schedule "linear" gave a learning rate of -'):
        run_recipe(load_recipe(recipe_file, [lr]), tmp_path)


def test_a_run_is_looked_at_without_the_rate_s_plugin(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, [FALLING]), tmp_path)
    file = run.path / "run.json"
    file.write_text(file.read_text().replace('"name": "linear"', '"name": "gone"'))
    text = run.recipe_file.read_text().replace('schedule = "linear"', 'schedule = "gone"')
    run.recipe_file.write_text(text)
    from dvae_core.plugin.registry import load_registry

    recipe, warnings = own_recipe_to_look(RunFolder.open(run.path), load_registry())
    assert recipe.optimizer.lr == pytest.approx(0.001)
    assert len(warnings) == 1


def test_batches_that_are_accumulated_are_one_large_one(recipe_file):
    large = training_of(load_recipe(recipe_file, ["train.batch_size=80"]))
    small = training_of(load_recipe(recipe_file, ["train.batch_size=32", "train.accumulate=2"]))
    thirds = training_of(load_recipe(recipe_file, ["train.batch_size=40", "train.accumulate=2"]))
    assert (large.timeline, small.timeline.steps_per_epoch) == (thirds.timeline, 3)
    for batch in large.batches.epoch(0):  # of 80, 80 and 32 images
        a, b = step(large, batch), step(thirds, batch)
    for one, other in zip(a, b, strict=True):
        assert torch.allclose(one, other, atol=2e-5)
    assert large.ledger.means() == pytest.approx(thirds.ledger.means(), rel=1e-4)
    (*_, last), (*_, own) = large.batches.epoch(0), thirds.batches.epoch(0)
    assert torch.equal(last[0], own[0])


def test_accumulating_is_exact_under_resume(recipe_file, tmp_path):
    both = ["train.batch_size=32", "train.accumulate=4", "guidance.weight=1.0"]
    whole = run_recipe(load_recipe(recipe_file, both), tmp_path)
    half = run_recipe(load_recipe(recipe_file, [*both, "train.epochs=2"]), tmp_path)
    again = resume_run(half.path, load_recipe(half.recipe_file, ["train.epochs=4"]))
    assert whole.metrics()[-1]["step"] == 8
    assert rows(again) == rows(whole)
    assert same_state(state(again), state(whole))
