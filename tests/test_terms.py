"""The border term: what it asks for, and what it refuses."""

import dataclasses
import itertools
import math
import signal
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dvae_plugins.bordering import NEIGHBOURS, VOTERS, Voids
from dvae_plugins.terms import Aggregate, Border, Cells
from scipy.spatial import KDTree
from torch import nn

from dvae_core import pairs_of
from dvae_core.errors import Interrupted, RecipeError
from dvae_core.latent.borders import judge
from dvae_core.model.guided_vae import GuidedVAE, Outputs
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.stopping import request_stop
from dvae_core.training.run import resume_run, run_recipe

from .helpers import rows

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


def test_the_border_is_the_priors():
    model = model_with(Halves())
    border = Border(pairs=(("0", "8"),), pull=0.0, points=20_000, crossing="prior")
    with pytest.raises(ValueError, match="needs a prior with a mean for each class"):
        border.build(model)
    # The prior has its border at x = 1, as the head has; that lines are from 0 to 4 is all one.
    means = torch.zeros(10, 2)
    means[8, 0] = 2.0
    model.take_prior(SimpleNamespace(means=means))
    labels = torch.tensor([0, 0, 8, 8])
    mean = torch.tensor([[0.0, 0], [0, 1], [4, 0], [4, 1]])
    torch.manual_seed(0)
    assert border.build(model)(outputs_at(mean), labels).item() < 0.1
    means[8, 0] = 4.0
    value = border.build(model)(outputs_at(mean), labels).item()
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


class Thirds(nn.Module):
    """Class 0 left of x = 2, class 8 right of x = 4, class 3 between; each by 1 nat a unit."""

    def forward(self, z):
        logits = torch.full((len(z), 10), -1e4)
        logits[:, 0], logits[:, 3], logits[:, 8] = 2 - z[:, 0], 0, z[:, 0] - 4
        return logits


def sorted_by(means, labels):
    """What `sort` adds to the cost, and to the gradient of the means."""
    costs, grads = [], []
    for sort in (0.0, 1.0):
        means = means.detach().requires_grad_()
        torch.manual_seed(0)
        costs.append(term(Thirds(), sort=sort)(outputs_at(means), torch.tensor(labels)))
        costs[-1].backward()
        grads.append(means.grad)
    return (costs[1] - costs[0]).item(), grads[1] - grads[0]


def test_sort_is_for_images_beside_the_line_that_lie_in_another_class():
    # An 8 at x = 3, where the head says 3, costs log(1 + 2 / e) + 1, a third of it for each point,
    # for three images lie beside each. The two others are where the head has them.
    logits = torch.tensor([-1.0, 0, -1])
    own = (logits.logsumexp(0) - logits[2]).item()
    means = torch.tensor([[0.0, 0], [6, 0], [3, 0]])
    value, moved = sorted_by(means, [0, 8, 8])
    assert value == pytest.approx(own / 3, rel=1e-4)
    assert moved[2, 0] < 0  # downhill is to the right, to its own class
    assert moved[:2].abs().sum() == pytest.approx(0, abs=1e-6)
    # So does one of a class that is not of the pair, and not one whose label is hidden.
    wrong = torch.tensor([[0.0, 0], [6, 0], [1.5, 0]])
    logits = torch.tensor([0.5, 0, -2.5])
    assert sorted_by(wrong, [0, 8, 3])[0] == pytest.approx(logits.logsumexp(0).item() / 3, rel=1e-4)
    assert sorted_by(wrong, [0, 8, -1])[0] == 0
    assert sorted_by(means, [0, 8, 3])[0] == 0  # it lies between the two, and where it belongs


def test_sort_leaves_images_far_from_the_line():
    means = torch.tensor([[0.0, 0], [6, 0], [0.0, 0.1], [6, 0.1], [1, 0], [5, 0], [0, 90]])
    assert sorted_by(means, [0, 8, 0, 8, 0, 8, 3])[0] == 0
    means[6, 1] = 0
    assert sorted_by(means, [0, 8, 0, 8, 0, 8, 3])[0] > 0
    assert sorted_by(means[:2], [0, 8])[0] == 0  # a batch of fewer than lie beside a point


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


def test_two_pairs_of_one_name_are_refused():
    pairs = (("a-b", "c"), ("a", "b-c"))
    with pytest.raises(ValueError, match=r"\['a', 'b-c'\] are called \"a-b-c\" in figures"):
        pairs_of(pairs, ("a", "a-b", "b-c", "c"))
    assert pairs_of((*pairs[:1], ("c", "a-b")), ("a", "a-b", "c", "b-c")) == ((1, 2),)


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


# --- Whole classes, and what is measured of them.


def aggregate(means, memory=1):
    model = model_with(Uniform(), classes=DIGITS[: len(means)])
    model.take_prior(SimpleNamespace(means=torch.tensor(means)))
    return Aggregate(memory=memory).build(model)


def test_classes_that_lie_as_the_prior_has_them_cost_nothing():
    means = [[0.0, 0], [6, 0]]
    term = aggregate(means, memory=2560)
    torch.manual_seed(0)
    labels = torch.arange(2).repeat(5000)
    mean = torch.tensor(means)[labels] + 0.8 * torch.randn(10_000, 2)
    outputs = dataclasses.replace(
        outputs_at(mean), log_var=torch.full_like(mean, math.log(1 - 0.8**2))
    )
    assert term(outputs, labels).item() == pytest.approx(0, abs=0.01)


def test_it_is_the_divergence_of_the_moments():
    term = aggregate([[1.0, 0], [0, 3]], memory=2)
    labels = torch.tensor([0, 0, 0, 1])
    mean = torch.randn(4, 2, generator=torch.Generator().manual_seed(3))
    var = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])
    outputs = dataclasses.replace(outputs_at(mean), log_var=var.log())
    value = term(outputs, labels).item()
    # One image a class is remembered, which the prior stands for at first.
    expected = 0.0
    for c, centre in enumerate(torch.tensor([[1.0, 0], [0, 3]])):
        own, n = mean[labels == c], (labels == c).sum()
        first = (own.sum(dim=0) + centre) / (n + 1)
        square = own.T @ own + torch.diag(var[labels == c].sum(dim=0))
        square = (square + torch.outer(centre, centre) + torch.eye(2)) / (n + 1)
        spread = square - torch.outer(first, first) + 1e-4 * torch.eye(2)
        expected += torch.distributions.kl_divergence(
            torch.distributions.MultivariateNormal(first, spread),
            torch.distributions.MultivariateNormal(centre, torch.eye(2)),
        ).item()
    # The mean over two classes; the batch of 4 has 4 of the 6 images, and counts for all.
    assert value == pytest.approx(expected / 2 * (1 + 2 / 4), rel=1e-4)


def test_hidden_labels_move_no_moment():
    term = aggregate([[0.0, 0], [6, 0]])
    mean = torch.randn(6, 2, requires_grad=True)
    before = {name: value.clone() for name, value in term.state_dict().items()}
    term(outputs_at(mean), torch.full((6,), -1)).backward()
    assert mean.grad.abs().sum() == 0
    for name, value in term.state_dict().items():
        assert torch.equal(value, before[name]), name
    term.eval()
    term(outputs_at(mean), torch.zeros(6, dtype=torch.int64))
    assert torch.equal(term.first, before["first"])
    term.train()
    term(outputs_at(mean), torch.zeros(6, dtype=torch.int64))
    assert not torch.equal(term.first[0], before["first"][0])
    assert torch.equal(term.first[1], before["first"][1])


def test_it_needs_a_prior_with_places():
    with pytest.raises(ValueError, match="needs a prior with a mean for each class, such as"):
        Aggregate().build(model_with(Uniform()))


def cells(means, memory=200):
    model = model_with(Uniform(), classes=DIGITS[: len(means)])
    model.take_prior(SimpleNamespace(means=torch.tensor(means)))
    return Cells(memory=memory).build(model)


def cost_of_normal(term, centres, std, batches=40):
    """The mean cost of classes that are N(centre, std), once the memory knows them."""
    torch.manual_seed(0)
    costs = []
    for _ in range(batches):
        labels = torch.arange(len(centres)).repeat(50)
        mean = torch.tensor(centres)[labels] + std * torch.randn(len(labels), 2)
        costs.append(term(outputs_at(mean), labels).item())
    return statistics.fmean(costs[batches // 2 :])


@pytest.mark.parametrize("std", [1.0, 0.6, 0.2])
def test_a_class_alone_is_to_be_as_wide_as_its_prior(std):
    """Along each direction an image at std x is wanted at x, and the mean of x^2 is 1."""
    far = [[0.0, 0], [30, 0]]
    assert cost_of_normal(cells(far), far, std) == pytest.approx((1 - std) ** 2, abs=0.04)


def test_a_class_ends_where_the_next_one_begins():
    near = [[0.0, 0], [2, 0]]
    term = cells(near)
    _, quantiles = term._planned()
    assert quantiles[0, :, 0].max() < 1.0 < quantiles[1, :, 0].min()  # along the first axis
    # The two reach the border with twice the density that either would have alone.
    share = (quantiles[0, :, 0] > 0.8).float().mean().item()
    normal = torch.distributions.Normal(0.0, 1.0)
    own, others = (
        (normal.cdf(torch.tensor(1.0 - m)) - normal.cdf(torch.tensor(0.8 - m))) for m in (0, 2)
    )
    assert share == pytest.approx((own + others).item(), abs=0.02)
    assert cost_of_normal(term, near, 1.0) > 0.05


def test_cells_remember_the_latest_images_with_a_label():
    term = cells([[0.0, 0], [30, 0]], memory=10)
    term(outputs_at(torch.zeros(2, 2)), torch.full((2,), -1))
    assert term.written.tolist() == [0, 0]
    mean = torch.arange(14.0)[:, None].repeat(1, 2).requires_grad_()
    labels = torch.tensor([0] * 12 + [1, -1])
    term(outputs_at(mean), labels).backward()
    assert term.written.tolist() == [12, 1]
    assert sorted(term.past[:10, 0].tolist()) == list(range(2, 12))
    assert term.past[10].tolist() == [12, 12]
    assert mean.grad[-1].abs().sum() == 0
    assert (mean.grad[:-1].abs().sum(dim=1) > 0).all()


def test_cells_need_places_that_stay(recipe_file, tmp_path):
    learned = 'kl={name="class_prior", means="learned"}'
    recipe = load_recipe(recipe_file, [learned, 'terms=[{name="cells", weight=1.0}]'])
    with pytest.raises(RecipeError, match="needs means that stay, not"):
        run_recipe(recipe, tmp_path)


def void_by_definition(points, means, k=judge.K):
    """What the simplified local outlier factor is above 1.3, up to 3.3."""
    points, means = points.numpy(), means.numpy()
    tree = KDTree(means)
    reach = tree.query(means, k + 1)[0][:, -1]
    far, near = tree.query(points, k)
    return (far[:, -1] / reach[near].mean(axis=1)).clip(1.3, 3.3) - 1.3


def two_clouds(images, gap=2.0):
    means = torch.randn(images, 2, generator=torch.Generator().manual_seed(0))
    means[:, 0] = means[:, 0].abs() + gap / 2
    means[::2, 0] *= -1
    return means


def test_voids_are_where_the_local_outlier_factor_is_high():
    means, points = two_clouds(600), torch.randn(500, 2) * 2
    voids = Voids(2, 600, torch.device("cpu"))
    # How far neighbours are is looked up when each comes, the first time among fewer.
    for batch in [*means.split(100), *means.split(100)]:
        seen = voids(points, batch).numpy()
    assert seen == pytest.approx(void_by_definition(points, means), abs=1e-3)
    assert (seen == 0).any()
    assert (seen == 2).any()
    gap, within = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.5, 0.0]])
    assert voids.eval()(gap, means[:100]).item() > 1
    assert voids(within, means[:100]).item() == 0


def test_what_was_an_epoch_before_is_forgotten():
    means, points = two_clouds(100), torch.randn(200, 2)
    voids = Voids(2, 100, torch.device("cpu"))
    for _ in range(3):
        for batch in means.split(25):
            seen = voids(points, batch)
    # Copies of an image would be each other's nearest neighbours, and all else void.
    assert seen.numpy() == pytest.approx(void_by_definition(points, means), abs=1e-3)


@pytest.mark.parametrize("images", [1, 2, 7, 30_000])
def test_voids_of_few_images_and_of_many(images):
    voids = Voids(3, images, torch.device("cpu"))
    batch = torch.randn(min(images, 9000), 3)
    for _ in range(2):
        seen = voids(torch.randn(50, 3), batch)
        assert seen.isfinite().all()
        assert ((seen >= 0) & (seen <= 2)).all()
    # Of 20,000 voters the judge asks 15.
    assert (VOTERS, NEIGHBOURS) == (judge.VOTERS, judge.K)
    assert voids.k == {1: 1, 2: 1, 7: 3, 30_000: math.ceil(15 * 4096 / 20_000)}[images]


def test_images_that_coincide_are_no_void():
    voids = Voids(2, 100, torch.device("cpu"))
    assert voids(torch.zeros(10, 2), torch.zeros(100, 2)).tolist() == [0] * 10


def test_only_what_is_void_is_filled():
    means = two_clouds(400, gap=3.0).requires_grad_()
    labels = torch.where(means[:, 0] < 0, 0, 8)
    border = Border(pairs=(("0", "8"),), pull=0.0, points=500, fill=1.0, fill_where="void")
    model, images = model_with(Uniform()), np.zeros((400, 1, 2, 2), np.uint8)
    border.build(model, images)(outputs_at(means), labels).backward()
    force = means.grad.norm(dim=1)
    rim = means[:, 0].abs() < 2.5
    assert force[rim].sum() > 0.95 * force.sum() > 0
    # Towards the gap.
    moved = rim & (force > 0)
    assert (means.grad[moved][:, 0].sign() == means[moved][:, 0].sign()).all()
    close = two_clouds(400, gap=0.0).requires_grad_()
    labels = torch.where(close[:, 0] < 0, 0, 8)
    filled = term(Uniform(), fill=1.0, points=500)(outputs_at(close), labels) - math.log(10)
    less = border.build(model, images)
    assert less(outputs_at(close), labels) - math.log(10) < 0.2 * filled


def test_a_border_that_goes_by_voids_presses_no_less_than_it_was_told():
    border = term(Uniform(), attentive=True, fill=1.0, fill_where="void")
    for _ in range(20):
        border.measured({"val/direct_path/0-8": 1.0, "val/void_rate/0-8": 0.0})
    assert border.fills.tolist() == [1]
    for _ in range(20):
        border.measured({"val/direct_path/0-8": 0.5, "val/void_rate/0-8": 0.5})
    assert border.fills.tolist() == [4]


def test_an_attentive_border_presses_where_validation_finds_a_pair_wanting():
    border = term(Uniform(), (("0", "8"), ("3", "5")), attentive=True)
    labels = torch.tensor([0, 8, 3, 5])
    outputs = outputs_at(torch.randn(4, 2))
    assert border(outputs, labels).item() == pytest.approx(math.log(10))
    border.measured({"val/direct_path/0-8": 0.5, "test/direct_path/3-5": 0.0})
    assert border.strengths.tolist() == pytest.approx([1.5, 1])
    assert border.fills.tolist() == pytest.approx([0.8, 1])
    assert border(outputs, labels).item() == pytest.approx(1.25 * math.log(10))
    # Half of the paths cross void, by two steps of 64 each.
    void = {"val/direct_path/0-8": 0.5, "val/void_rate/0-8": 0.5 * 2 / 64}
    border.measured(void)
    assert border.strengths.tolist() == pytest.approx([1.2, 1])
    assert border.fills.tolist() == pytest.approx([1.2, 1])
    for _ in range(20):
        border.measured(void | {"val/direct_path/3-5": 0.95, "val/void_rate/3-5": 0.05})
    assert border.strengths.tolist() == [0.25, 0.25]
    assert border.fills.tolist() == [16, 0.25]
    for _ in range(20):
        border.measured({"val/direct_path/0-8": 0.5, "val/void_rate/0-8": 0.001})
    assert border.strengths.tolist() == [4, 0.25]


def test_a_border_presses_and_fills_by_strengths_of_their_own():
    border = term(Uniform(), (("0", "8"),), attentive=True, fill=2.0)
    labels, outputs = torch.tensor([0, 8]), outputs_at(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))

    def cost():
        torch.manual_seed(0)
        return border(outputs, labels).item()

    filling = cost() - math.log(10)
    border.fills.fill_(3)
    border.strengths.fill_(0.5)
    assert cost() == pytest.approx(3 * filling + 0.5 * math.log(10))
    state = {"strengths": torch.tensor([2.0])}  # as checkpoints were
    border.load_state_dict(state)
    assert border.fills.tolist() == [2]


def test_a_run_with_terms_that_listen_goes_on_as_if_it_had_not_stopped(recipe_file, tmp_path):
    recipe = load_recipe(
        recipe_file,
        [
            'pairs=[["0", "2"]]',
            'kl={name="class_prior", means="planned", weight=0.5}',
            'terms=[{name="aggregate", weight=1.0}, {name="cells", weight=1.0}, '
            '{name="border", attentive=true, fill=1.0, fill_where="void", weight=1.0}]',
            "dataset.validation_fraction=0.25",
            'evaluate.metrics=["borders"]',
            "train.labels_until=0.7",
        ],
    )
    whole = run_recipe(recipe, tmp_path / "whole")

    class Stopper(Watch):
        def epoch_finished(self, row):
            if row["epoch"] == 2:
                request_stop(signal.SIGINT)

    with pytest.raises(Interrupted):
        run_recipe(recipe, tmp_path / "stopped", watch=Stopper())
    (stopped,) = (tmp_path / "stopped").iterdir()
    done = resume_run(stopped)
    assert rows(done) == rows(whole)
    one, other = (torch.load(r.last_checkpoint(), weights_only=True) for r in (whole, done))
    kept = [
        key for key in one["objective"] if key.endswith(("strengths", "first", "second", "reach"))
    ]
    assert len(kept) == 4
    assert all(torch.equal(one["objective"][key], other["objective"][key]) for key in kept)


def test_labels_that_are_let_go_guide_nothing(recipe_file, tmp_path):
    changes = ['kl={name="class_prior", means="ring", weight=0.5}', "train.epochs=4"]
    shown = rows(run_recipe(load_recipe(recipe_file, changes), tmp_path / "shown"))
    gone = [*changes, "train.labels_until=0.5"]
    hidden = rows(run_recipe(load_recipe(recipe_file, gone), tmp_path / "hidden"))
    assert hidden[:2] == shown[:2]
    for row in hidden[2:]:
        assert row["train/guidance"] == 0
        assert row["train/guidance_accuracy"] == 0
    assert all(row["train/guidance"] > 0 for row in shown)
