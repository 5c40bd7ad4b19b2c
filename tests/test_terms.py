"""The border term: what it asks for, and what it refuses."""

import itertools
import math

import pytest
import torch
from dvae_plugins.terms import Border
from torch import nn

from dvae_core.errors import RecipeError
from dvae_core.model.guided_vae import GuidedVAE, Outputs
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

DIGITS = tuple("0123456789")


class Uniform(nn.Module):
    def forward(self, z):
        return torch.zeros(len(z), 10)


class Halves(nn.Module):
    """Sure of class 0 left of x = 1, and of class 8 right of it."""

    def forward(self, z):
        logits = torch.full((len(z), 10), -1e4)
        logits[:, 0] = 1e3 * (1 - z[:, 0])
        logits[:, 8] = 1e3 * (z[:, 0] - 1)
        return logits


def model_with(head, dim=2, classes=DIGITS):
    return GuidedVAE(
        nn.Flatten(),
        nn.Identity(),
        head,
        features=4,
        latent_dim=dim,
        image_shape=(1, 2, 2),
        classes=classes,
    )


def outputs_at(mean):
    return Outputs(mean, mean, mean, mean, mean, None)


def term(head, pairs=(("0", "8"),), **keys):
    keys = {"pull": 0.0, **keys}
    return Border(pairs=pairs, **keys).build(model_with(head))


def test_a_head_that_knows_nothing_costs_log_k():
    labels = torch.arange(10).repeat(4)
    value = term(Uniform())(outputs_at(torch.randn(40, 2)), labels)
    assert value.item() == pytest.approx(math.log(10))


def test_the_border_is_halfway():
    # Class 0 at x = 0, class 8 at x = 2: the head's border at x = 1 is just what is asked for.
    labels = torch.tensor([0, 0, 8, 8])
    mean = torch.tensor([[0.0, 0], [0, 1], [2, 0], [2, 1]])
    torch.manual_seed(0)
    assert term(Halves(), points=500)(outputs_at(mean), labels).item() < 0.1
    # With class 8 at x = 4 the border is due at 2; up to there the head says 8 from 1 on, so that
    # a quarter of the walk is wrong, by logits that differ by 2000 (x - 1), 1000 on average.
    mean = torch.tensor([[0.0, 0], [0, 1], [4, 0], [4, 1]])
    value = term(Halves(), points=20_000)(outputs_at(mean), labels).item()
    assert value == pytest.approx(1000 / 4, rel=0.05)


def test_it_moves_the_head_and_the_means():
    head = nn.Linear(2, 10)
    mean = torch.randn(20, 2, requires_grad=True)
    labels = torch.tensor([0, 8, 3, -1] * 5)
    term(head)(outputs_at(mean), labels).backward()
    assert head.weight.grad.abs().sum() > 0
    assert mean.grad[labels == 0].abs().sum() > 0
    assert mean.grad[labels == 8].abs().sum() > 0
    assert mean.grad[(labels != 0) & (labels != 8)].abs().sum() == 0


def test_a_batch_without_one_of_the_classes_costs_nothing():
    mean = torch.randn(6, 2, requires_grad=True)
    for labels in ([0] * 6, [3] * 6, [-1] * 6):
        value = term(Uniform(), pull=1.0, fill=1.0)(outputs_at(mean), torch.tensor(labels))
        assert value.item() == 0
        value.backward()
        assert mean.grad.isfinite().all()


def test_a_missing_pair_does_not_dilute_the_others():
    labels = torch.tensor([0, 8, 0, 8])
    value = term(Uniform(), (("0", "8"), ("3", "5")))(outputs_at(torch.randn(4, 2)), labels)
    assert value.item() == pytest.approx(math.log(10))


def test_pull_is_the_distance_between_the_two():
    mean = torch.tensor([[0.0, 0], [3, 4], [2, 0]], requires_grad=True)
    labels = torch.tensor([0, 8, 3])
    value = term(Uniform(), pull=0.5)(outputs_at(mean), labels)
    assert value.item() == pytest.approx(math.log(10) + 0.5 * 5)
    value.backward()
    # Both move towards each other, by the same amount whatever the distance.
    assert mean.grad[0].tolist() == pytest.approx([-0.3, -0.4])
    assert mean.grad[1].tolist() == pytest.approx([0.3, 0.4])
    assert mean.grad[2].tolist() == [0, 0]


def test_fill_asks_for_the_class_that_the_point_shall_belong_to():
    # Lines from 0 to 6 are 7/6 from a 0 in their first half (which lies at 0 or at 4, whichever is
    # nearer) and 3/2 from the 8 in their second; lines from 4 to 6 are 1/2 from either.
    mean = torch.tensor([[0.0, 0], [4, 0], [6, 0]])
    torch.manual_seed(0)
    border = term(Uniform(), fill=1.0, points=40_000)
    value = border(outputs_at(mean), torch.tensor([0, 0, 8])).item() - math.log(10)
    assert value == pytest.approx(((7 / 6 + 3 / 2) / 2 + 1 / 2) / 2, abs=0.02)


def test_fill_is_the_distance_to_the_nearest_mean():
    # A line of length 6 between the only two: 1.5 to the nearer end, on average. Class 3 lies on
    # the line, and does not count.
    mean = torch.tensor([[0.0, 0], [6, 0], [3, 0]], requires_grad=True)
    torch.manual_seed(0)
    border = term(Uniform(), fill=0.5, points=20_000)
    value = border(outputs_at(mean), torch.tensor([0, 8, 3]))
    assert value.item() == pytest.approx(math.log(10) + 0.5 * 1.5, abs=0.02)
    value.backward()
    # Each end is the nearest to half of the points, and moves towards them.
    torch.testing.assert_close(
        mean.grad, torch.tensor([[-0.25, 0], [0.25, 0], [0, 0]]), rtol=0.05, atol=1e-6
    )


def test_means_that_coincide_have_a_gradient():
    mean = torch.zeros(2, 2, requires_grad=True)
    term(Uniform(), pull=1.0, fill=1.0)(outputs_at(mean), torch.tensor([0, 8])).backward()
    assert mean.grad.tolist() == [[0, 0], [0, 0]]


def test_names_and_numbers_are_the_same():
    classes = ("shirt", "coat", "bag")
    by_name, by_number = Border(pairs=(("bag", "shirt"),)), Border(pairs=((2, 0),))
    assert by_name.named_pairs(classes) == by_number.named_pairs(classes) == ((0, 2),)


def test_each_pair_once():
    assert Border(pairs=(("0", "8"), ("8", "0"))).named_pairs(DIGITS) == ((0, 8),)


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match='no class "shrit", did you mean "shirt"'):
        Border(pairs=(("shrit", "bag"),)).build(model_with(Uniform(), classes=("shirt", "bag")))
    with pytest.raises(ValueError, match='no class "10"; known: 0, 1'):
        Border(pairs=((0, 10),)).build(model_with(Uniform()))


def test_a_class_has_no_border_with_itself():
    for pair in (("3", "3"), ("3", 3)):
        with pytest.raises(ValueError, match="no border with itself"):
            Border(pairs=(pair,)).build(model_with(Uniform()))


def test_borders_in_a_plane_are_a_planar_graph():
    five = list(itertools.combinations("01234", 2))
    with pytest.raises(ValueError, match=r"in a plane: 0-1, .*3-4; leave one of them out"):
        Border(pairs=tuple(five)).build(model_with(Uniform()))
    houses = list(itertools.product("012", "345"))
    with pytest.raises(ValueError, match="in a plane"):
        Border(pairs=tuple(houses)).build(model_with(Uniform()))
    Border(pairs=tuple(five[1:])).build(model_with(Uniform()))
    Border(pairs=tuple(five)).build(model_with(Uniform(), dim=3))


def test_borders_on_a_line_are_rows():
    row = model_with(Uniform(), dim=1)
    Border(pairs=(("0", "8"), ("8", "3"))).build(row)
    with pytest.raises(ValueError, match="two neighbours at most"):
        Border(pairs=(("0", "8"), ("8", "3"), ("8", "5"))).build(row)
    with pytest.raises(ValueError, match="on a line: 0-3, 0-8, 3-8"):
        Border(pairs=(("0", "8"), ("8", "3"), ("3", "0"))).build(row)


def test_it_needs_guidance():
    with pytest.raises(ValueError, match=r"add a \[guidance\] table"):
        Border(pairs=(("0", "8"),)).build(model_with(None))


def test_a_stranger_moves_out_of_the_way():
    """Three heaps of free points, the third between the first two; nothing but the losses act."""
    torch.manual_seed(0)
    labels = torch.arange(3).repeat_interleave(30)
    points = torch.tensor([[-2.0, 0], [2, 0], [0, 0.1]])[labels] + 0.3 * torch.randn(90, 2)
    points.requires_grad_()
    head = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
    model = model_with(head, classes=("a", "b", "c"))
    border = Border(pairs=(("a", "b"),)).build(model)
    optimizer = torch.optim.Adam([points, *head.parameters()], lr=0.02)

    def between():
        """The share of the way from a to b that is nearer to an image of c than to any other."""
        with torch.no_grad():
            t = torch.linspace(0, 1, 50)[:, None]
            line = (1 - t) * points[labels == 0].mean(0) + t * points[labels == 1].mean(0)
            return (labels[torch.cdist(line, points).argmin(dim=1)] == 2).float().mean().item()

    assert between() > 0.2
    for _ in range(400):
        guidance = nn.functional.cross_entropy(head(points), labels)
        loss = guidance + border(outputs_at(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert between() == 0


def test_a_recipe_with_an_impossible_border_says_where(recipe_file):
    path = recipe_file
    text = '[[terms]]\nname = "border"\npairs = [["nobody", 0]]\n'
    path.write_text(f"{path.read_text()}\n{text}")
    with pytest.raises(RecipeError, match=r'\[terms\.0\] there is no class "nobody"'):
        run_recipe(load_recipe(path), path.parent)
