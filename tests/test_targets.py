"""Targets for the head in place of classes: shares, several labels, any numbers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dvae_plugins.heads import LinearHead, MLPHead
from torch.nn import functional

from dvae_core import DataError, Head, LabelledImages
from dvae_core.errors import RecipeError
from dvae_core.latent.loaded_run import load_run
from dvae_core.model.data import fingerprint, guidance_labels, load_data
from dvae_core.model.objective import is_known
from dvae_core.recipe.balance import balance
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.ranks.shared_loss import SharedLoss, part_of
from dvae_core.training.run import resume_run, run_recipe
from dvae_core.training.state import Training
from dvae_core.training.steps import PlannedSteps

from .helpers import same_state, state

SEVERAL = 'guidance.likelihood="bernoulli"'
ANY = 'guidance.likelihood="normal"'
NAN = float("nan")


def some(labels, **more):
    images = np.zeros((len(labels), 1, 2, 2), dtype=np.uint8)
    return LabelledImages(images, labels, images, labels, ("a", "b"), **more)


def floats(*rows):
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def bars(tmp_path):
    """Images of 8x8 with a bar, none or both, as several labels; as shares; as a number."""
    rng = np.random.default_rng(0)
    both = rng.integers(0, 2, (400, 2))
    images = rng.integers(0, 60, (400, 8, 8))
    images[both[:, 0] == 1, :, 1:3] += 150
    images[both[:, 1] == 1, 5:7] += 40
    labels = {
        "several": (both, ["upright", "level"]),
        "shares": (np.stack([both[:, 0], 1 - both[:, 0]], axis=1) * 0.8 + 0.1, ["upright", "none"]),
        "number": (3.0 * both[:, :1] + 1, ["brightness"]),
    }
    for name, (targets, classes) in labels.items():
        np.savez(
            tmp_path / f"{name}.npz",
            images=images.astype(np.uint8),
            labels=targets.astype(np.float32),
            classes=classes,
        )


@pytest.fixture
def recipe(recipe_file, bars):
    def load(name, *sets):
        return load_recipe(recipe_file, [f'dataset.path="{name}.npz"', *sets])

    return load


# --- What a data set says.


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (floats([0.7, 0.3], [0.5, 0.5], [0, 1]), [0, -1, 1]),
        (floats([1, 0], [1, 1], [0, 0], [NAN, 0]), [0, -1, -1, -1]),
        (floats([1, 0], [2, 0], [0.2, 0.8]), [-1, -1, -1]),
        (floats([1, 0], [-0.2, 1.2]), [-1, -1]),
    ],
)
def test_targets_say_the_classes_that_they_can(targets, classes):
    data = some(targets)
    assert data.train_labels.tolist() == classes
    np.testing.assert_array_equal(data.train_targets, targets)
    assert len(data.known_labels) == (~np.isnan(targets).any(axis=1)).sum()


def test_one_part_that_is_no_shares_leaves_the_others_without_classes():
    images = np.zeros((2, 1, 2, 2), dtype=np.uint8)
    parts = floats([1, 0], [0, 1]), floats([3, 0], [0, 1])
    data = LabelledImages(images, parts[0], images, parts[1], ("a", "b"))
    assert data.train_labels.tolist() == [-1, -1]


def test_classes_and_targets_may_be_given_both():
    targets = floats([0.5, 9], [1, 2])
    data = some(np.array([0, 1]), train_targets=targets, test_targets=targets)
    assert data.train_labels.tolist() == [0, 1]
    assert data.targets("test") is targets


@pytest.mark.parametrize(
    ("labels", "more", "said"),
    [
        (floats([1, 2, 3]), {}, r"int64 \[1\] or float32 \[1, 2\], not float32 \[1, 3\]"),
        (floats([1, np.inf]), {}, "not all finite"),
        (np.array([0]), {"train_targets": floats([1, 0])}, "all parts must have targets"),
        (
            np.array([0]),
            {"train_targets": floats([1]), "test_targets": floats([1])},
            r"train targets must be float32 \[1, 2\]",
        ),
    ],
)
def test_wrong_targets_are_refused(labels, more, said):
    with pytest.raises(ValueError, match=said):
        some(labels, **more)


def test_a_fingerprint_is_of_the_targets_too():
    one, other = some(floats([3, 0.1], [0, 0])), some(floats([3, 0.2], [0, 0]))
    assert fingerprint(one) != fingerprint(other)


def test_an_npz_with_targets_must_name_them(tmp_path, recipe_file):
    images = np.full((20, 4, 4), 200, dtype=np.uint8)
    np.savez(tmp_path / "blobs.npz", images=images, labels=np.ones((20, 2)))
    with pytest.raises(DataError, match="classes must name the K"):
        load_data(load_recipe(recipe_file).dataset)


def test_an_npz_with_targets_keeps_its_validation_part(tmp_path, recipe_file):
    images, targets = np.full((20, 4, 4), 200, dtype=np.uint8), np.full((20, 2), 3.0)
    np.savez(
        tmp_path / "blobs.npz",
        images=images, labels=targets, classes=["a", "b"],
        validation_images=images[:4], validation_labels=targets[:4] + 1,
    )  # fmt: skip
    data = load_data(load_recipe(recipe_file).dataset)
    assert (len(data.train_targets), len(data.test_targets)) == (16, 4)
    assert data.targets("val").tolist() == [[4, 4]] * 4


# --- What a head makes of it.


def test_losses_by_hand():
    logits = torch.tensor([[0.0, math.log(3)]])
    by_class = torch.tensor([1])
    nats = {
        "categorical": (by_class, -math.log(3 / 4)),
        "bernoulli": (torch.tensor([[1.0, 1.0]]), math.log(2) + math.log(4 / 3)),
        "normal": (torch.tensor([[2.0, math.log(3) - 1]]), (4 + 1) / 2),
    }
    for likelihood, (labels, expected) in nats.items():
        loss = LinearHead(likelihood=likelihood).loss(logits, labels)
        assert loss.tolist() == pytest.approx([expected])
    shares = MLPHead().loss(logits, torch.tensor([[0.25, 0.75]]))
    assert shares.item() == pytest.approx(-0.25 * math.log(1 / 4) - 0.75 * math.log(3 / 4))
    one_hot = LinearHead(likelihood="normal").loss(logits, by_class)
    assert one_hot.item() == pytest.approx((1 - math.log(3)) ** 2 / 2)


def test_hidden_targets_count_for_nothing(recipe):
    training = Training(recipe("number", ANY), load_data(recipe("number").dataset))
    logits = torch.tensor([[5.0], [2.0], [7.0]], requires_grad=True)
    targets = torch.tensor([[1.0], [NAN], [7.0]])
    mean = training.objective._guidance(logits, torch.full((3,), -1), targets)
    mean.backward()
    assert mean.item() == pytest.approx(4**2 / 2 / 2)
    assert logits.grad.tolist() == [[2.0], [0.0], [0.0]]
    assert is_known(torch.full((3,), -1), targets).tolist() == [True, False, True]


def test_a_loss_that_is_infinite_where_nothing_is_known_leaves_gradients_finite(recipe):
    training = Training(recipe("number", ANY), load_data(recipe("number").dataset))
    offset = torch.zeros((), requires_grad=True)  # as a loss with parameters has
    training.objective._head_loss = lambda logits, targets: (
        (logits - targets.log() - offset).square().sum(dim=1)
    )
    logits = torch.tensor([[5.0], [2.0]], requires_grad=True)
    mean = training.objective._guidance(logits, torch.full((2,), -1), torch.tensor([[1.0], [NAN]]))
    mean.backward()
    assert (mean.item(), offset.grad.item()) == (25.0, -10.0)
    assert logits.grad.tolist() == [[10.0], [0.0]]


def test_the_usual_loss_has_the_bits_that_it_always_had(recipe_file):
    recipe = load_recipe(recipe_file)
    objective = Training(recipe, load_data(recipe.dataset)).objective
    torch.manual_seed(0)
    for size in (37, 64, 100, 512):  # of those, a sum of single losses would have others
        logits, labels = torch.randn(size, 3), torch.randint(-1, 3, (size,))
        total = functional.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        expected = total / (labels >= 0).sum()
        assert objective._guidance(logits, labels, None).item() == expected.item()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ([], ("cross-entropy, mean over labelled images", "nats")),
        ([ANY], ("the head's own loss, mean over labelled images", "its own")),
    ],
)
def test_a_run_says_what_its_guidance_is(recipe_file, head, said):
    *_, guidance = balance(load_recipe(recipe_file, head), None, None).terms
    assert (guidance.reduction, guidance.unit) == said


@pytest.mark.parametrize("labels", [[0, 1, 2, -1], [-1] * 4])
def test_a_head_with_the_usual_loss_of_its_own_has_that_of_one_without(recipe_file, labels):
    recipe = load_recipe(recipe_file)
    objective = Training(recipe, load_data(recipe.dataset)).objective
    logits, labels = torch.randn(4, 3), torch.tensor(labels)
    usual = objective._guidance(logits, labels, None)
    objective._head_loss = MLPHead().loss
    assert objective._guidance(logits, labels, None).item() == pytest.approx(usual.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "sets", "said"),
    [
        ("several", [], 'shares of classes.*0..1; likelihood = "bernoulli"'),
        ("number", [SEVERAL], r'targets in \[0, 1\], and these are 1..4; "normal"'),
        ("number", [ANY, "dataset.spread_labels=true"], "spread_labels spreads classes"),
    ],
)
def test_labels_that_the_head_cannot_take_are_refused(recipe, tmp_path, name, sets, said):
    with pytest.raises(RecipeError, match=said):
        run_recipe(recipe(name, *sets), tmp_path)
    assert not [p for p in tmp_path.iterdir() if (p / "run.json").exists()]


# --- What becomes of it.


@pytest.mark.parametrize(
    ("name", "sets", "probe"),
    [
        ("several", [SEVERAL], "linear_probe"),
        ("shares", [], "linear_probe"),
        ("number", [ANY], "linear_probe_r2"),
    ],
)
def test_the_latent_space_follows_targets(recipe, tmp_path, name, sets, probe):
    guided = "guidance.weight=5.0", 'evaluate.metrics=["linear_probe"]', 'evaluate.plots=["latent"]'
    run = run_recipe(recipe(name, *sets, *guided, "train.epochs=6"), tmp_path)
    first, *_, last = run.metrics()
    assert last["train/guidance"] < 0.6 * first["train/guidance"]
    assert last[f"test/{probe}"] > 0.8
    assert ("train/guidance_accuracy" in last) == (name != "number")
    assert run.figure_path(6, "latent").exists()
    assert load_run(run.path).snapshot().test_targets.shape == (80, 1 if name == "number" else 2)


@pytest.mark.parametrize(("name", "sets"), [("several", [SEVERAL]), ("number", [ANY])])
def test_resuming_is_exact(recipe, tmp_path, name, sets):
    told = recipe(
        name, *sets, "dataset.labelled_fraction=0.5", "guidance.weight=1.0", "evaluate.metrics=[]"
    )
    whole = run_recipe(told, tmp_path)
    half = run_recipe(load_recipe(whole.recipe_file, ["train.epochs=2"]), tmp_path)
    again = resume_run(half.path, load_recipe(half.recipe_file, ["train.epochs=4"]))
    assert whole.metrics()[-1]["train/guidance"] > 0
    assert same_state(state(whole)["model"], state(again)["model"])


def test_targets_are_let_go(recipe, tmp_path):
    until = "train.labels_until=0.5", "guidance.weight=1.0", "evaluate.metrics=[]"
    run = run_recipe(recipe("number", ANY, *until), tmp_path)
    assert [row["train/guidance"] > 0 for row in run.metrics()] == [True, True, False, False]


def test_a_fraction_of_the_targets_is_seen():
    targets = np.arange(20, dtype=np.float32).reshape(10, 2)
    visible = guidance_labels(targets, 0.3, seed=1)
    assert np.isnan(visible).all(axis=1).sum() == 7
    hidden = guidance_labels(np.zeros(10, dtype=np.int64), 0.3, seed=1) < 0
    assert (np.isnan(visible[:, 0]) == hidden).all()  # the same images
    assert not np.isnan(targets).any()


def test_steps_that_take_nothing_from_the_host_have_the_same_bits(recipe):
    told = recipe("number", ANY, "train.labels_until=0.5")
    usual, planned = (Training(told, load_data(told.dataset)) for _ in range(2))
    for _ in range(4):
        for batch in usual.batches.epoch(usual.epoch):
            usual.take_step(*batch)
        usual.ledger.read()
        usual.finish_epoch()
    way = PlannedSteps(planned)
    for _ in range(4):
        way.plan()
        while planned.epoch_step < way.whole:
            way.step()
            way._done()
        planned.ledger.read()
        planned.finish_epoch()
    assert same_state(usual.model.state_dict(), planned.model.state_dict())
    assert usual.means == planned.means


@pytest.mark.parametrize(("name", "head"), [("several", SEVERAL), ("number", ANY)])
def test_the_shares_of_two_ranks_are_the_whole(recipe, name, head):
    told = recipe(name, head, "dataset.labelled_fraction=0.5")
    training = Training(told, load_data(told.dataset))
    images, labels, targets = training.batches.batch(torch.arange(37))
    noise, weights = torch.randn(37, 2), torch.tensor([1.0, 0.5, 2.0])
    loss, row = training.gradients.loss(images, labels, noise, weights, targets=targets)
    shares = []
    for rank in range(2):
        ranks = SimpleNamespace(rank=rank, count=2)
        share = SharedLoss(
            training.model,
            training.objective,
            ranks,
            training.gradients.autocast,
            training.gradients.autocast,
        )
        own = images[part_of(37, ranks)]
        shares.append(share(own, labels, noise, weights, targets=targets))
    (one, its_row), (other, others_row) = shares
    assert ((one + other) / 2).item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(its_row + others_row, row, rtol=1e-5, atol=1e-5)


def test_heads_from_before_have_a_loss():
    class Old(Head):
        """Only a build."""

        name = "old"

        def build(self, latent_dim, classes):
            return torch.nn.Linear(latent_dim, len(classes))

    loss = Old().loss(torch.zeros(2, 4), torch.tensor([0, 3]))
    assert loss.tolist() == pytest.approx([math.log(4)] * 2)
