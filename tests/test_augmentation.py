"""What data sets make of their training images."""

import numpy as np
import pytest
import torch

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.model.data import load_data
from dvae_core.plugin.augmentation import Augmentation
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe
from dvae_core.training.state import Training

from .helpers import rows, same_state, state

BOTH = "dataset.augmentation={shift=1, rotate=20, noise=0.1}"
OWN = """
from dvae_core import Dataset, LabelledImages, hookimpl
import numpy as np

class Own(Dataset):
    name = "own"
    way: str = "labels"

    def load(self, cache):
        rng = np.random.default_rng(0)
        images, labels = rng.integers(0, 255, (40, 1, 8, 8), np.uint8), np.arange(40) % 2
        return LabelledImages(images, labels, images, labels, ("a", "b"))

    def augment(self, images, labels, generator):
        if self.way == "smaller":
            return images[:, :, 1:]
        return images * 0, labels.view(-1, 1, 1, 1).expand_as(images).float()

@hookimpl
def register_datasets():
    return [Own]
"""


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def a_pixel():
    """200 images of 9 x 7 with one white pixel, in row 4 and column 3: the middle."""
    images = torch.zeros(200, 1, 9, 7)
    images[:, :, 4, 3] = 1
    return images


def where(images):
    return [tuple(i.nonzero()[0].tolist()) for i in (images[:, 0] > 0.99)]


def test_a_shift_is_by_whole_pixels_to_every_side_alike():
    found = where(Augmentation(shift=2)(a_pixel(), random()))
    assert {*found} == {(4 + y, 3 + x) for y in range(-2, 3) for x in range(-2, 3)}
    counts = np.bincount([y for y, _ in found], minlength=7)[2:]
    assert counts.min() > 20  # 40 of each are due; so few come once in ten thousand times


def test_a_rotation_turns_about_the_middle_and_keeps_distances():
    corner = torch.zeros(300, 1, 9, 9)
    corner[:, :, 4, 8] = 1  # four to the right of the middle
    turned = Augmentation(rotate=90)(corner, random())[:, 0]
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    mass = turned.sum((1, 2))
    centre = torch.stack([(turned * y).sum((1, 2)), (turned * x).sum((1, 2))], 1) / mass[:, None]
    inside = mass > 0.95  # a pixel at the border may lose some of itself
    assert inside.sum() > 100
    assert torch.allclose(centre[inside].norm(dim=1), torch.tensor(4.0), atol=0.15)
    angles = torch.atan2(centre[inside, 0], centre[inside, 1]).rad2deg()
    assert angles.min() < -75
    assert angles.max() > 75
    middle = Augmentation(rotate=180)(a_pixel(), random())
    assert {*where(middle)} == {(4, 3)}
    wide = torch.zeros(100, 1, 21, 9)
    wide[:, :, 10, 7] = 1  # three to the right: no further away when it points down
    assert (Augmentation(rotate=180)(wide, random())[:, 0, :6].sum()) == 0


def test_noise_has_its_deviation_and_stays_in_range():
    grey = torch.full((50, 1, 8, 8), 0.5)
    noisy = Augmentation(noise=0.05)(grey, random())
    assert float((noisy - grey).std()) == pytest.approx(0.05, rel=0.05)
    loud = Augmentation(noise=5.0)(grey, random())
    assert (loud.min(), loud.max()) == (0, 1)


def test_the_target_is_clean_if_so_asked():
    given, target = Augmentation(noise=0.5, clean_target=True)(a_pixel(), random())
    assert torch.equal(target, a_pixel())
    assert not torch.equal(given, target)


def test_augmented_training_is_exact_under_resume(recipe_file, tmp_path):
    whole = run_recipe(load_recipe(recipe_file, [BOTH]), tmp_path)
    half = run_recipe(load_recipe(recipe_file, [BOTH, "train.epochs=2"]), tmp_path)
    again = resume_run(half.path, load_recipe(half.recipe_file, ["train.epochs=4"]))
    assert rows(again) == rows(whole)
    assert same_state(state(again), state(whole))
    plain = run_recipe(load_recipe(recipe_file), tmp_path)
    assert not same_state(state(plain)["model"], state(whole)["model"])


def test_each_step_draws_anew_and_each_run_the_same(recipe_file):
    recipe = load_recipe(recipe_file, [BOTH])
    training = Training(recipe, load_data(recipe.dataset))
    images, labels, _ = next(iter(training.batches.epoch(0)))
    (first,), (again,) = (training.gradients.augmented(images, labels) for _ in range(2))
    training.take_step(images, labels)
    (second,) = training.gradients.augmented(images, labels)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_nothing_is_augmented_where_nothing_is_said(recipe_file):
    recipe = load_recipe(recipe_file)
    assert "augmentation" not in recipe.to_table()["dataset"]
    training = Training(recipe, load_data(recipe.dataset))
    images, labels, _ = next(iter(training.batches.epoch(0)))
    (same,) = training.gradients.augmented(images, labels)
    assert same is images


def test_a_data_set_augments_as_it_wants(install, recipe_file):
    install("dvae-own", OWN)
    change = ['dataset={name="own"}', "kl.weight=0.0", "guidance.weight=0.0"]
    recipe = load_recipe(recipe_file, [*change, "train.batch_size=10", "train.accumulate=2"])
    training = Training(recipe, load_data(recipe.dataset))
    images, labels, _ = next(iter(training.batches.epoch(0)))
    given, target = training.gradients.augmented(images, labels)
    assert not given.any()
    assert torch.equal(target[:, 0, 0, 0], labels.float())
    # The loss is that of the target: what is decoded of nothing, against ones and zeros.
    noise, weights = torch.zeros(len(labels), 2), torch.ones(3)
    with torch.no_grad():
        _, row = training.gradients.loss(given, labels, noise, weights, target)
        outputs = training.model(given, noise, labels)
    loss = recipe.reconstruction.component.loss(outputs.logits, target)
    assert float(row[1]) == pytest.approx(float(loss.mean()), rel=1e-5)
    training.take_step(images, labels)  # two batches of inputs and targets
    assert training.ledger.read() is None
    small = load_recipe(recipe_file, [*change, 'dataset.way="smaller"'])
    wrong = Training(small, load_data(small.dataset))
    with pytest.raises(DvaeError, match=r"augment makes \[40, 1, 7, 8\] of \[40, 1, 8, 8\]"):
        wrong.take_step(*next(iter(wrong.batches.epoch(0))))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("{shfit=2}", "shfit"),
        ("{shift=-1}", "greater than or equal to 0"),
        ("{rotate=200}", "less than or equal to 180"),
        ("3", "augmentation"),
    ],
)
def test_a_wrong_augmentation_is_refused_at_its_line(recipe_file, table, problem):
    with pytest.raises(RecipeError, match=problem):
        load_recipe(recipe_file, [f"dataset.augmentation={table}"])
