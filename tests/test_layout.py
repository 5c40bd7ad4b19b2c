"""Layouts for named pairs: what is found, what is promised, and what is refused."""

import itertools
import json

import numpy as np
import pytest
import torch
from dvae_plugins import layout as layout_module
from dvae_plugins.affinity import affinity
from dvae_plugins.kls import ClassPriorKL
from dvae_plugins.layout import (
    PROMISED,
    SPACINGS,
    _Cost,
    _direct,
    _Lines,
    plan,
    refuse_crowds,
    roomy,
)
from typer.testing import CliRunner

from dvae_core.cli import app
from dvae_core.errors import DvaeError, RecipeError
from dvae_core.latent.plan import draw_plan, plan_of
from dvae_core.model.data import load_data
from dvae_core.model.objective import build_kl
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

DIGITS = tuple("0123456789")


@pytest.fixture(autouse=True)
def _few_starts(monkeypatch):
    """A quarter of the work finds what these tests ask for."""
    monkeypatch.setattr(layout_module, "STARTS", 32)


def distances(means):
    return torch.cdist(means, means)


def test_two_classes_lie_a_spacing_apart():
    layout = plan(2, 2, ((0, 1),), 3.0)
    assert distances(layout.means)[0, 1].item() == pytest.approx(3, abs=0.1)
    assert layout.means.mean(dim=0).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert layout.direct == (1.0,)


def test_a_third_class_between_leaves_no_direct_path():
    means = torch.tensor([[-3.0, 0], [3, 0], [0, 0]])
    assert _direct(means, (0, 1)) < 0.01
    # Far to the side it is in nobody's way, and nor are the two in its.
    aside = torch.tensor([[-3.0, 0], [3, 0], [0, 50]])
    assert _direct(aside, (0, 1)) == 1
    # A path to the middle one meets no other; seen from the middle all is symmetric.
    assert _direct(means, (0, 2)) == pytest.approx(_direct(means, (2, 1)), abs=0.05)


def test_no_class_is_nearer_than_a_spacing_and_pairs_are_not_much_farther():
    pairs = ((0, 8), (3, 5), (4, 9), (1, 7))
    layout = plan(10, 2, pairs, 3.5)
    apart = distances(layout.means) + torch.eye(10) * 100
    assert apart.min() > 0.9 * 3.5
    assert max(apart[a, b] for a, b in pairs) < 1.1 * 3.5
    assert min(layout.direct) > 0.95


@pytest.mark.slow
def test_the_same_pairs_give_the_same_layout_in_any_number_of_dimensions():
    pairs = ((0, 1), (1, 2), (2, 3))
    for dim in (1, 2, 5):
        one, other = plan(5, dim, pairs, 3.0), plan(5, dim, pairs, 3.0)
        assert torch.equal(one.means, other.means)
        assert one.means.shape == (5, dim)
        assert min(one.direct) > 0.9


@pytest.mark.slow
def test_a_plan_takes_the_room_that_it_needs():
    assert roomy(3, 2, ((0, 1),)).spacing == SPACINGS[0]
    pairs = tuple(itertools.combinations(range(5), 2))
    tight, found = plan(5, 4, pairs, SPACINGS[0]), roomy(5, 4, pairs)
    assert min(tight.direct) < PROMISED <= min(found.direct)
    assert found.spacing > tight.spacing


@pytest.mark.slow
def test_all_pairs_of_a_simplex_can_be_had():
    pairs = tuple(itertools.combinations(range(5), 2))
    assert min(plan(5, 4, pairs, 5.0).direct) > 0.93


@pytest.mark.slow
def test_a_crowd_is_refused_with_what_would_help():
    # The five classes' ten pairs are no planar graph.
    pairs = tuple(itertools.combinations(range(5), 2))
    layout = plan(5, 2, pairs, 3.5)
    with pytest.raises(ValueError, match="no layout in 2 dimensions") as refused:
        refuse_crowds(layout, pairs, tuple("abcde"))
    text = str(refused.value)
    assert "% of the paths direct)" in text
    assert "allow_crowded = true" in text
    # What it says to leave out, and the dimension that it says to use, do help.
    left_out = text.partition("leave out ")[2].partition(",")[0].split(" and ")
    rest = tuple(p for p in pairs if "-".join("abcde"[c] for c in p) not in left_out)
    assert 0 < len(rest) < len(pairs)
    assert min(plan(5, 2, rest, 3.5).direct) >= 0.7
    dim = int(text.partition("use latent.dim = ")[2][0])
    assert min(plan(5, dim, pairs, 3.5).direct) >= 0.7


@pytest.fixture
def facts():
    """What a prior is told of three classes of images, of which the last two are hard to tell."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    images = random.integers(0, 40, (120, 1, 4, 4))
    images[labels == 0, :, 0] += 200
    images[labels > 0, :, 3] += 200
    return {"pairs": ((0, 1),), "images": images.astype(np.uint8), "labels": labels}


def test_affinity_is_how_often_the_nearest_image_is_of_another_class(facts):
    close = affinity(facts["images"], facts["labels"], 4)
    # Nothing is near class 0; of the neighbours of 1 half are of 2, and the other way round.
    np.testing.assert_allclose(close[0], 0)
    assert close[1, 2] == close[2, 1] == pytest.approx(1, abs=0.15)
    np.testing.assert_array_equal(close[3], 0)
    labels = np.where(facts["labels"] == 2, -1, facts["labels"])
    assert affinity(facts["images"], labels, 3).sum() == 0
    assert affinity(facts["images"][:1], labels[:1], 3).sum() == 0


def test_what_the_data_has_together_is_planned_together():
    pairs = ((0, 1), (2, 3))
    close = torch.zeros(6, 6)
    close[1, 5] = close[5, 1] = close[0, 4] = close[4, 0] = 0.5
    alone, beside = plan(6, 2, pairs, 3.5), plan(6, 2, pairs, 3.5, close)
    assert min(beside.direct) > 0.95
    apart = distances(beside.means)
    # Side by side, if a little farther than others: what is taken for 0 is to be no third on 0-1.
    assert 3.5 < apart[1, 5] < 5
    assert 3.5 < apart[0, 4] < 5
    assert (close * apart).sum() < (close * distances(alone.means)).sum()


def test_what_the_data_mixes_lies_between_its_classes_too():
    means = torch.tensor([[[-2.0, 0], [2, 0], [0, -5], [0, 5]]])
    pairs, none = ((0, 1),), torch.zeros(4, 4)
    lines = _Lines(64, pairs, 2, torch.Generator().manual_seed(0))

    def strange(*alike):
        affinity = none.clone()
        for a, b in alike:
            affinity[a, b] = affinity[b, a] = 0.5
        return _Cost(pairs, 3.5, affinity, lines)._third(means, torch.tensor(pairs)).mean().item()

    # 2 and 3 lie on either side of the line from 0 to 1; what is both lies on it.
    assert strange() < 0.05
    assert strange((2, 3)) > 0.3
    # What is both 0 and 1 is no stranger there.
    assert strange((0, 1)) == pytest.approx(strange(), abs=1e-4)


def test_a_prior_that_is_loaded_makes_no_plan(facts):
    kl = build_kl(ClassPriorKL(means="planned"), 2, ("a", "b", "c"), pairs=facts["pairs"])
    assert kl.means.abs().sum() == 0


def test_the_prior_has_its_means_where_they_are_planned(facts):
    kl = build_kl(ClassPriorKL(means="planned"), 2, ("a", "b", "c"), **facts)
    close = torch.tensor(affinity(facts["images"], facts["labels"], 3), dtype=torch.float32)
    torch.testing.assert_close(kl.means, plan(3, 2, ((0, 1),), 3.5, close).means)
    labels = torch.tensor([0, 1, 2])
    assert kl(kl.means[labels], torch.zeros(3, 2), labels).tolist() == pytest.approx([0, 0, 0])


def test_a_prior_that_asks_for_no_pairs_is_given_none(recipe_file):
    given = []

    class Asks(ClassPriorKL):
        """Asks."""

        name = "asks"

        def build(self, latent_dim, classes, pairs=()):
            given.append(pairs)

    class AsksNot(ClassPriorKL):
        """As before there were any."""

        name = "asks_not"

        def build(self, latent_dim, classes):
            given.append("none")

    for kl in (Asks(), AsksNot()):
        build_kl(kl, 2, ("a", "b"), pairs=((0, 1),), images=None)
    assert given == [((0, 1),), "none"]


PLANNED = [
    'kl={name="class_prior", means="planned", weight=0.5}',
    'terms=[{name="aggregate", weight=1.0}, {name="border", weight=1.0}]',
]


def test_a_recipe_says_its_pairs_once(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, [*PLANNED, 'pairs=[["0", "2"], [1, 0]]'])
    assert recipe.named_pairs(("0", "1", "2")) == ((0, 2), (0, 1))
    run = run_recipe(recipe, tmp_path)
    assert {"train/aggregate", "train/border"} <= set(run.metrics()[-1])
    again = load_recipe(run.path / "recipe.toml")
    assert again.pairs == recipe.pairs


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ('[["x", "2"]]', 'pairs: there is no class "x"; known: 0, 1, 2'),
        ('[["1", 1]]', "pairs: a class has no border with itself"),
        ("[]", "no borders are named"),
    ],
)
def test_pairs_that_cannot_be_are_refused_where_they_stand(recipe_file, tmp_path, pairs, said):
    recipe = load_recipe(recipe_file, [*PLANNED, f"pairs={pairs}"])
    with pytest.raises(RecipeError, match=said):
        run_recipe(recipe, tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_a_plan_is_seen_by_the_judge(recipe_file):
    recipe = load_recipe(recipe_file, [*PLANNED, 'pairs=[["0", "2"]]'])
    data = load_data(recipe.dataset)
    found = plan_of(recipe, data)
    assert found.direct == {(0, 2): pytest.approx(0.9, abs=0.1)}
    assert found.regions.adjacent[0, 2]
    figure = draw_plan(found)
    np.testing.assert_allclose(figure.axes[0].collections[-1].get_offsets(), found.means)
    with pytest.raises(DvaeError, match='kl "abs" has no places for classes'):
        plan_of(load_recipe(recipe_file), data)


def test_the_command_draws_the_plan(recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = [part for one in (*PLANNED, 'pairs=[["0", "2"]]') for part in ("--set", one)]
    done = CliRunner().invoke(app, ["plan", str(recipe_file), *sets])
    assert done.exit_code == 0, done.output
    first, picture = done.stdout.splitlines()
    assert first.startswith("0-2: ")
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(app, ["plan", str(recipe_file), *sets, "--json"])
    said = json.loads(done.stdout)
    assert set(said) == {"direct_path", "means", "picture"}
    assert set(said["direct_path"]) == {"0-2"}
    assert set(said["means"]) == {"0", "1", "2"}
    done = CliRunner().invoke(app, ["plan", str(recipe_file), *sets[:-2]])
    assert done.stdout.splitlines() == [picture]
    assert "it names no pairs" in done.stderr
