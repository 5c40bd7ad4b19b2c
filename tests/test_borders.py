"""The border suite on latent spaces whose areas, borders and paths one computes by hand."""

import copy
import itertools
import json
from types import SimpleNamespace

import networkx
import numpy as np
import pytest
from dvae_plugins.metrics import Borders
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dvae_core.latent.borders.judge import VOID, Judge
from dvae_core.latent.borders.paths import is_direct, paths, straight
from dvae_core.latent.borders.regions import Grid, ceiling, largest_pieces, regions_of
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.kept import save_details
from dvae_core.training.run import run_recipe

from .spaces import Space, snapshot_of


@pytest.fixture(scope="module")
def strips():
    """Three squares in a row."""
    return Space(lambda p: p[:, 0].astype(int), (0, 0), (3, 1), 3)


@pytest.fixture(scope="module")
def pie():
    """A disc in ten equal pieces."""

    def label(points):
        angle = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
        piece = (angle / (2 * np.pi) * 10).astype(int)
        return np.where(np.hypot(*points.T) <= 1, piece, -1)

    return Space(label, (-1, -1), (1, 1), 10, n=2**16)


def test_strips(strips):
    found = strips.regions
    assert found.space == "grid"
    np.testing.assert_allclose(found.area_share, 1 / 3, atol=0.01)
    assert found.area_evenness == pytest.approx(1, abs=0.001)
    # The judge's borders are ragged: a cell across may stand alone.
    assert found.wholeness == pytest.approx(1, abs=0.005)
    assert 200 <= found.borders[0, 1] < 300
    assert 200 <= found.borders[1, 2] < 300
    assert found.borders[0, 2] == 0
    assert found.adjacency == 2 / 3

    walked = strips.paths(lines=400)
    matrix = walked.direct_path
    assert matrix[0, 1] > 0.97
    assert matrix[1, 2] > 0.97
    assert matrix[0, 2] == 0
    assert np.isnan(matrix[0, 0])
    assert (matrix == matrix.T)[~np.isnan(matrix)].all()
    assert walked.direct_path_mean == pytest.approx(2 / 3, abs=0.02)
    # From strip 0 to 2: E[1 / (x2 - x0)] of the way lies in strip 1.
    expected = (3 * np.log(1.5) - np.log(2)) / 3
    assert walked.intrusion == pytest.approx(expected, abs=0.01)
    assert walked.void_rate < 0.01


def test_a_pie_of_ten(pie):
    found = pie.regions
    # Void begins a little outside the rim, by the distance of neighbours; within it all is exact.
    np.testing.assert_allclose(found.area_share, 0.1, atol=0.01)
    points = found.grid.points(2)
    inside = found.grid.verdicts.ravel()[np.hypot(*points.T) < 0.95 * np.abs(points).max()]
    np.testing.assert_allclose(np.bincount(inside) / len(inside), 0.1, atol=0.005)
    assert found.area_evenness == pytest.approx(1, abs=0.001)
    neighbours = {(c, (c + 1) % 10) for c in range(10)}
    adjacent = {(a, b) for a, b in itertools.permutations(range(10), 2) if found.adjacent[a, b]}
    assert adjacent == neighbours | {(b, a) for a, b in neighbours}
    assert found.adjacency == 10 / 24
    matrix = pie.paths().direct_path
    # Two pieces side by side are a convex piece of 72 degrees.
    assert np.mean([matrix[a, b] for a, b in neighbours]) > 0.93
    apart = [
        matrix[a, b] for a, b in itertools.combinations(range(10), 2) if (b - a) % 10 not in (1, 9)
    ]
    assert len(apart) == 35
    # A walk across the tip of a piece can step over it.
    assert np.mean(apart) < 0.01


def test_two_classes_in_two_pieces():
    def label(points):
        return np.select([points[:, 0] < 2, points[:, 0] < 3, points[:, 0] < 4], [0, 1, 0], 1)

    space = Space(label, (0, 0), (6, 1), 2)
    found = space.regions
    np.testing.assert_allclose(found.area_share, 1 / 2, atol=0.01)
    np.testing.assert_allclose(found.wholeness_of, 2 / 3, atol=0.02)
    # The largest pieces, from 0 to 2 and from 4 to 6, do not meet.
    assert found.borders[0, 1] == 0
    assert found.ceiling == 1
    assert found.adjacency == 0


def test_an_empty_ring():
    def label(points):
        r = np.hypot(*points.T)
        return np.select([r < 1, (r > 2) & (r < 3)], [0, 1], -1)

    space = Space(label, (-3, -3), (3, 3), 2, n=2**17)
    found = space.regions
    assert found.borders.sum() == 0
    assert found.adjacency == 0
    np.testing.assert_allclose(found.area_share, [1 / 6, 5 / 6], atol=0.01)
    x, y = np.meshgrid(found.grid.x, found.grid.y)
    r = np.hypot(x, y)
    assert (found.grid.verdicts[(r > 1.15) & (r < 1.85)] == VOID).all()
    assert (found.grid.verdicts[r < 0.9] == 0).all()
    walked = space.paths()
    assert walked.direct.sum() == 0
    assert (walked.verdicts == VOID).any(axis=2).all()
    assert walked.intrusion == 0


def test_a_line_has_a_row_of_regions():
    def label(points):
        # Sparse outskirts, which take the one test image in a hundred that is void.
        sparse = (points[:, 0] >= 4) & (np.arange(len(points)) % 21 > 0)
        return np.where(sparse, -1, np.minimum(points[:, 0].astype(int), 3))

    space = Space(label, (0,), (6,), 4)
    found = space.regions
    assert found.grid.verdicts.shape == (1, 200)
    assert found.ceiling == 3
    assert found.adjacency == 1
    assert [found.adjacent[a, a + 1] for a in range(3)] == [True] * 3
    assert space.paths().direct_path[0, 1] > 0.97
    assert space.paths().direct_path[0, 2] == 0


def test_three_dimensions_are_a_graph():
    space = Space(lambda p: p[:, 0].astype(int), (0, 0, 0), (3, 1, 1), 3)
    found = space.regions
    assert (found.space, found.grid, found.ceiling) == ("graph", None, 3)
    np.testing.assert_allclose(found.area_share, 1 / 3, atol=0.02)
    assert found.wholeness == 1
    assert found.adjacent[0, 1]
    assert found.adjacent[1, 2]
    assert not found.adjacent[0, 2]
    assert found.adjacency == 2 / 3


def test_the_graph_finds_pieces():
    def label(points):
        return np.select([points[:, 0] < 2, points[:, 0] < 3], [0, 1], 0)

    found = Space(label, (0, 0, 0), (4, 1, 1), 2).regions
    np.testing.assert_allclose(found.wholeness_of, [2 / 3, 1], atol=0.02)


def map_of(verdicts):
    verdicts = np.array(verdicts)
    rows, columns = verdicts.shape
    return Grid(verdicts, np.arange(columns, dtype=float), np.arange(rows, dtype=float))


def test_borders_by_hand():
    # Class 0 has a cell at the right, and 2 one at the left: there alone they meet.
    grid = map_of([
        [0, 0, 1, 1, 2, 2],
        [0, 0, 1, 1, 2, 2],
        [0, 0, 1, 1, 2, 2],
        [2, 0, 1, 1, 2, 0],
    ])  # fmt: skip
    found = regions_of(grid, 3)
    assert found.areas.tolist() == [8, 8, 8]
    assert found.largest.tolist() == [7, 8, 7]
    assert found.borders.tolist() == [[0, 4, 0], [4, 0, 4], [0, 4, 0]]
    assert found.around.tolist() == [12, 12, 12]
    np.testing.assert_allclose(found.border_share[1], [1 / 3, 0, 1 / 3])
    assert found.adjacency == 2 / 3
    assert (found.adjacency_from(0.3), found.adjacency_from(0.4)) == (2 / 3, 0)
    assert largest_pieces(grid).verdicts[3].tolist() == [VOID, 0, 1, 1, 2, VOID]


@pytest.mark.parametrize("finer", [1, 3])
@pytest.mark.parametrize(("touching", "adjacent"), [(1, False), (2, True)])
def test_how_much_border_makes_neighbours_does_not_hang_on_the_cells(touching, adjacent, finer):
    """Two squares of 10 x 10, which share one or two of the 40 edges around each."""
    verdicts = np.full((20, 20), VOID)
    verdicts[:10, :10] = 0
    verdicts[10 - touching : 20 - touching, 10:] = 1
    found = regions_of(map_of(np.kron(verdicts, np.ones((finer, finer), dtype=int))), 2)
    assert found.border_share[0, 1] == touching / 40
    assert found.adjacency == adjacent


def test_an_island_is_its_surroundings_neighbour():
    verdicts = np.zeros((30, 30), dtype=int)
    verdicts[14:16, 14:16] = 1
    assert regions_of(map_of(verdicts), 2).border_share[0, 1] == 1


MAPS = st.integers(3, 9).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        arrays(
            int,
            st.tuples(st.integers(1, 12), st.integers(2, 12)),
            elements=st.integers(VOID, classes - 1),
        ),
    )
)


@given(MAPS)
def test_no_map_passes_the_planar_ceiling(case):
    classes, verdicts = case
    found = regions_of(map_of(verdicts), classes)
    pairs = np.argwhere(np.triu(found.borders, 1))
    assert networkx.check_planarity(networkx.Graph(pairs.tolist()))[0]
    assert len(pairs) <= found.ceiling
    assert 0 <= found.adjacency <= 1
    assert (found.around >= found.borders.sum(axis=1)).all()


def test_fragments_make_no_neighbours():
    """Any piece counted, ten classes at random would have all 45 borders, of 24."""
    verdicts = np.random.default_rng(0).integers(0, 10, (200, 200))
    beside = {(a, b) for a, b in zip(verdicts[:, :-1].flat, verdicts[:, 1:].flat) if a < b}  # noqa: B905
    assert len(beside) == 45
    assert regions_of(map_of(verdicts), 10).adjacency < 0.5


def test_connected_regions_come_near_the_planar_ceiling():
    rng = np.random.default_rng(0)
    cells = np.stack(np.meshgrid(*[np.arange(60)] * 2), axis=-1).reshape(-1, 1, 2)
    most = 0
    for _ in range(60):
        classes = int(rng.integers(3, 12))
        centres = rng.uniform(0, 60, (classes, 2))
        # Voronoi cells are convex, so every region is connected.
        verdicts = np.linalg.norm(cells - centres, axis=2).argmin(axis=1).reshape(60, 60)
        most = max(most, regions_of(map_of(verdicts), classes).adjacency)
    assert 0.7 < most <= 1


@pytest.mark.parametrize(
    ("classes", "dim", "expected"),
    [(10, 2, 24), (10, 3, 45), (10, 1, 9), (3, 2, 3), (4, 2, 6), (2, 2, 1), (1, 2, 0), (5, 2, 9)],
)
def test_the_ceiling(classes, dim, expected):
    assert ceiling(classes, dim) == expected


def test_names_do_not_matter(pie):
    numbers = np.random.default_rng(3).permutation(10)
    renamed = pie.renamed(numbers)
    before, after = pie.regions, renamed.regions
    assert after.area_evenness == pytest.approx(before.area_evenness)
    assert after.wholeness == pytest.approx(before.wholeness)
    np.testing.assert_array_equal(after.borders[np.ix_(numbers, numbers)], before.borders)
    walked, again = pie.paths(), renamed.paths()
    np.testing.assert_array_equal(again.direct_path[np.ix_(numbers, numbers)], walked.direct_path)
    assert again.intrusion == pytest.approx(walked.intrusion)


def test_turning_the_space_changes_little(pie):
    turned = pie.turned(31)
    before, after = pie.regions, turned.regions
    np.testing.assert_allclose(after.area_share, before.area_share, atol=0.02)
    assert after.adjacency == before.adjacency
    assert after.wholeness == pytest.approx(before.wholeness, abs=0.01)
    assert turned.paths().direct_path_mean == pytest.approx(pie.paths().direct_path_mean, abs=0.005)


def test_ties_go_to_the_nearer_voters():
    means = np.array([[1.0], [2.0], [3.0], [4.0]])
    for labels in ([0, 1, 1, 0], [1, 0, 0, 1]):
        labels = np.array(labels)
        judge = Judge(means, labels, means, 2, k=4)
        assert judge.verdicts(np.array([[1.1]])) == labels[0]


def test_void_is_beyond_the_data(strips):
    judge = strips.judge
    assert (judge.verdicts(np.array([[50.0, 0], [0, -9]])) == VOID).all()
    assert judge.verdicts(np.array([[1.5, 0.5]])) == 1
    assert (judge.test_verdicts == VOID).mean() < 0.001


@pytest.mark.parametrize("n", [1_500, 6_000, 60_000])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_gap_is_void_whatever_the_scale_and_number(n, scale):
    """A dense square beside one a hundred times as thin, and a gap between two dense ones."""
    random = np.random.default_rng(0)
    dense, thin, other = (
        random.uniform(low, high, (m, 2))
        for low, high, m in (
            ((0, 0), (1, 1), n),
            ((1, 0), (11, 10), n),
            ((-1.6, 0), (-0.6, 1), n),
        )
    )
    means = scale * np.concatenate([dense, thin, other])
    judge = Judge(means, np.repeat([0, 1, 2], n), means[::7], 3)
    within_thin = scale * random.uniform((3, 2), (9, 8), (500, 2))
    assert (judge.verdicts(within_thin) == 1).mean() > 0.99
    gap = scale * random.uniform((-0.35, 0.2), (-0.25, 0.8), (500, 2))
    assert (judge.verdicts(gap) == VOID).all()
    assert (judge.verdicts(scale * dense[:500]) == VOID).mean() < 0.01


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("aabb", True),
        ("abbb", True),
        ("aaaa", False),
        ("aacb", False),
        ("abab", False),
        ("aa.b", False),
        ("bbaa", False),
        (32 * "a" + 32 * "b", True),
        (30 * "a" + "b" + "a" + 32 * "b", True),  # a flicker of 1/64
        (30 * "a" + "bb" + "aa" + 30 * "b", False),
        (31 * "a" + "c" + 32 * "b", True),
        (30 * "a" + "cc" + 32 * "b", False),
        (10 * "a" + "." + 21 * "a" + 32 * "b", True),
        (120 * "a" + "cc" + 134 * "b", True),  # the same at four times as many steps
        (120 * "a" + 5 * "c" + 131 * "b", False),
        ("c" + 31 * "a" + 32 * "b", False),
        (32 * "a" + 31 * "b" + "c", False),
    ],
)
def test_what_a_direct_line_is(verdicts, expected):
    seen = np.array([{"a": 4, "b": 2, "c": 0, ".": VOID}[v] for v in verdicts])
    assert is_direct(seen, 4, 2) == expected


def test_a_straight_line_has_its_ends():
    line = straight(np.array([1.0, 2.0]), np.array([3.0, -2.0]), 5)
    np.testing.assert_allclose(line, [[1, 2], [1.5, 1], [2, 0], [2.5, -1], [3, -2]])


def test_intervals_hold_the_share(strips):
    walked = strips.paths()
    low, high = walked.direct_path_interval
    share = walked.direct_path
    # None of 100, by Wilson: up to z^2 / (n + z^2).
    z = 1.959964
    assert (low[0, 2], high[0, 2]) == pytest.approx((0, z**2 / (100 + z**2)))
    assert low[0, 1] <= share[0, 1] <= high[0, 1]
    low, high = walked.direct_path_mean_interval
    assert low - 1e-9 <= walked.direct_path_mean <= high + 1e-9
    assert high - low < 0.1


def test_a_class_without_right_images_has_no_direct_path():
    means = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]] * 10)
    judge = Judge(means, np.zeros(40, int), means, 2)
    walked = paths(judge, means, np.arange(40) % 2, np.random.default_rng(0))
    assert walked.direct_path[0, 1] == 0
    # What nobody walks is neither void nor anyone's, and says nothing of how sure one is.
    assert np.isnan([walked.void_rate, walked.intrusion, walked.void_rates[0, 1]]).all()
    assert np.isnan(walked.direct_path_interval).all()


def test_lines_that_use_an_image_again_count_once(strips):
    """Of five right images a class, five lines have ends that no other has."""
    few = np.concatenate([np.flatnonzero(strips.test_labels == c)[:5] for c in (0, 1)])
    images, labels = strips.test[few], strips.test_labels[few]
    judge = Judge(strips.train, strips.train_labels, images, 3)
    walked = paths(judge, images, labels, np.random.default_rng(0))
    assert walked.direct_path[0, 1] == 1
    low, high = walked.direct_path_interval
    z = 1.959964
    assert (low[0, 1], high[0, 1]) == pytest.approx((5 / (5 + z**2), 1))
    assert walked.direct_path_mean_interval is None


def test_where_all_would_vote_half_do():
    """Five images, and a class that is told apart by its place."""
    means = np.array([[0.0, 0], [0, 0.1], [0.1, 0], [5, 5], [5, 5.1]])
    labels = np.array([0, 0, 0, 1, 1])
    judge = Judge(means, labels, means, 2)
    assert (judge.k, judge.voters) == (2, 5)
    assert judge.accuracy(labels) == 1


def test_a_single_test_image_in_three_dimensions(strips):
    means = np.random.default_rng(0).normal(size=(30, 3))
    snapshot = snapshot_of(means, np.arange(30) % 2, means[:1], np.array([0]))
    assert snapshot.regions.borders.sum() == 0


def test_what_there_are_no_images_for_is_left_out(strips):
    """A pair of a class that is in no test image, and labels that no test image has."""
    names, pairs = ("left", "mid", "right"), ((0, 1), (1, 2))
    there = strips.test_labels < 2
    snapshot = borders_snapshot(strips, names, named_pairs=pairs, independent_posterior=False)
    snapshot.__dict__ |= {
        "test_means": snapshot.test_means[there],
        "test_labels": strips.test_labels[there],
        "_recipe": SimpleNamespace(weights={}),
        "_timeline": SimpleNamespace(values=lambda weights, step: {}),
    }
    measured = Borders().measure(snapshot)
    assert "direct_path/left-mid" in measured
    assert "direct_path/mid-right" not in measured
    assert "area_in_posteriors" not in measured  # of posteriors that are no boxes
    snapshot = copy.copy(snapshot)
    snapshot.__dict__ |= {"test_labels": np.full(there.sum(), -1), "_paths": {}}
    measured = Borders().measure(snapshot)
    assert set(measured) == {"area_evenness", "wholeness", "adjacency"}
    with pytest.raises(ValueError, match="a class has no border with itself"):
        Borders(pairs=[["left", 0]]).measure(snapshot)


def borders_snapshot(space, names, **facts):
    snapshot = snapshot_of(space.train, space.train_labels, space.test, space.test_labels, names)
    # All posteriors are 0.1 wide in each direction.
    log_vars = np.full(space.test.shape, 2 * np.log(0.1))
    snapshot.__dict__ |= {
        "history": [],
        "_paths": {},
        "named_pairs": (),
        "test_log_vars": log_vars,
        "independent_posterior": True,
        "step": 400,
        "labelled_steps": 400,
        **facts,
    }
    return snapshot


def test_the_metric_has_flat_keys_and_names_pairs(strips, monkeypatch):
    from dvae_core.latent.snapshot import Snapshot

    monkeypatch.setattr(Snapshot, "weights", {"guidance": 2.0})
    curves = {"guidance": (np.arange(3), np.array([20.0, 20.0, 2.0]))}
    monkeypatch.setattr(Snapshot, "weight_curves", lambda self, points: curves)
    rows = [(20.0, 0.5), (19.9, 0.8), (3.0, 0.9)]
    history = [
        {"step": 100 * (n + 1), "train/guidance_weight": w, "test/knn_accuracy": a}
        for n, (w, a) in enumerate(rows)
    ]
    names = ("left", "mid", "right")
    snapshot = borders_snapshot(strips, names, named_pairs=((0, 2),), history=history)
    measured = Borders(pairs=[["mid", 0]]).measure(snapshot)
    assert list(measured) == [
        "knn_accuracy", "area_evenness", "wholeness", "adjacency", "area_in_posteriors",
        "direct_path_mean", "intrusion", "void_rate", "direct_path/left-right",
        "void_rate/left-right", "direct_path/left-mid", "void_rate/left-mid",
        "knn_accuracy_full", "retention",
    ]  # fmt: skip
    assert measured["knn_accuracy"] > 0.98
    # The strips are 3 by 1, of which the map shows 0.99 in each direction.
    expected = 3 * 0.99**2 / (2 * np.pi * 0.1**2)
    assert measured["area_in_posteriors"] == pytest.approx(expected, rel=0.01)
    assert measured["direct_path/left-right"] == 0
    assert measured["direct_path/left-mid"] > 0.95
    assert measured["void_rate/left-mid"] == pytest.approx(0, abs=0.01)
    # 0.8 was measured in the last epoch of (nearly) full weight.
    assert measured["knn_accuracy_full"] == 0.8
    assert measured["retention"] == pytest.approx(measured["knn_accuracy"] / 0.8)

    def retained(history):
        measured = Borders().measure(borders_snapshot(strips, names, history=history))
        return "retention" in measured or "knn_accuracy_full" in measured

    # 3 is the highest that was measured, and not the highest.
    assert not retained(history[2:])
    monkeypatch.setattr(Snapshot, "weights", {"kl": 0.5})
    assert not retained(history)
    # Nothing guides after labels have been let go, whatever the weight.
    monkeypatch.setattr(Snapshot, "weights", {"guidance": 20.0})
    curves["guidance"] = (np.arange(3), np.full(3, 20.0))
    let_go = {"history": history[:1], "labelled_steps": 100, "step": 200}
    measured = Borders().measure(borders_snapshot(strips, names, **let_go))
    assert measured["knn_accuracy_full"] == 0.5
    let_go["labelled_steps"] = 200
    measured = Borders().measure(borders_snapshot(strips, names, **let_go))
    assert measured["retention"] == 1
    # A head that nothing listens to guides nothing.
    monkeypatch.setattr(Snapshot, "weights", {"guidance": 0.0})
    curves["guidance"] = (np.arange(3), np.zeros(3))
    assert not retained([])


def test_a_run_not_measured_at_full_guidance_has_no_retention(recipe_file, tmp_path):
    """The weight falls from 5 over the first of its epochs, and the second is measured."""
    changes = ["train.epochs=2", "evaluate.metrics=['borders']", "evaluate.plots=[]"]
    seldom, often = (
        run_recipe(load_recipe(recipe_file, [*changes, f"evaluate.every={n}"]), tmp_path)
        for n in (2, 1)
    )
    assert "test/knn_accuracy" in seldom.metrics()[-1]
    assert "test/retention" not in seldom.metrics()[-1]
    weights = [row["train/guidance_weight"] for row in often.metrics()]
    assert max(weights) < 0.99 * 5
    assert "test/retention" not in often.metrics()[-1]


def test_what_is_kept_of_what_guidance_won():
    def kept(now, full, plain):
        measured = {"knn_accuracy": now, "knn_accuracy_full": full}
        return Borders.against_plain(measured, {"knn_accuracy": plain})

    # A ratio of .88, where of the .12 that were won .16 are left.
    assert kept(0.6192, 0.72, 0.60) == {"kept_guidance": pytest.approx(0.16)}
    assert kept(0.72, 0.72, 0.60) == {"kept_guidance": pytest.approx(1)}
    assert kept(0.59, 0.70, 0.60) == {"kept_guidance": pytest.approx(-0.1)}
    assert kept(0.60, 0.60, 0.60) == kept(0.60, 0.50, 0.60) == {}  # nothing was won
    assert Borders.against_plain({"knn_accuracy": 0.9}, {"knn_accuracy": 0.5}) == {}
    assert Borders.against_plain({"knn_accuracy": 0.9, "knn_accuracy_full": 0.9}, {}) == {}


def test_an_unknown_class_is_an_error_with_a_hint(strips):
    snapshot = borders_snapshot(strips, ("left", "mid", "right"))
    with pytest.raises(ValueError, match='no class "lift", did you mean "left"'):
        Borders(pairs=[["lift", "mid"]]).details(snapshot)


def test_details_are_json_and_npz(strips, tmp_path):
    details = Borders().details(borders_snapshot(strips, ("left", "mid", "right")))
    save_details(tmp_path, 3, "borders", details)
    read = json.loads((tmp_path / "evaluation/epoch-0003-borders.json").read_text())
    assert read["epoch"] == 3
    assert read["space"] == "grid"
    assert read["direct_path"][0][0] is None
    assert read["direct_path"][0][2] == 0
    assert "region_map" not in read
    with np.load(tmp_path / "evaluation/epoch-0003-borders.npz") as arrays:
        assert arrays["region_map"].shape == (200, 200)
        np.testing.assert_allclose(arrays["area_share"], read["area_share"])
