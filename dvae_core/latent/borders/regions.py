"""Regions: how much of latent space each class owns, in how many pieces, and who borders whom."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from scipy import ndimage, sparse
from scipy.spatial import KDTree

from dvae_core.latent.borders.judge import VOID, Judge

CELLS = 200
"""Cells along each side of the grid."""
ADJACENT = 0.03
"""Two classes are adjacent where they share so much of the border of the one that has less.

A convention, set where the count hangs least on the number of cells. Below it lie tips that touch,
which no straight line crosses; above .1, borders that most lines between two classes cross.
"""
BAND = (0.01, 0.02, 0.03, 0.05, 0.1)
"""Shares from which on classes might as well be called adjacent."""

Counts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""`areas`, `largest`, `borders` and `around` of `Regions`."""
Segments = list[list[tuple[float, float]]]
"""Lines in the plane, each by its two ends."""


@dataclass(frozen=True)
class Grid:
    """The judge's map of a latent plane (or line)."""

    KEPT: ClassVar = ("region_map", "region_x", "region_y")
    """The names under which a run folder keeps verdicts, x and y."""

    verdicts: np.ndarray
    """int [rows, columns]: a class or VOID; row 0 is the lowest z₂. One row for a line."""
    x: np.ndarray
    """[columns]: z₁ at the cells' centres."""
    y: np.ndarray
    """[rows]: z₂ at the cells' centres."""

    def points(self, dim: int) -> np.ndarray:
        """The centres [rows * columns, D] in a latent space of one or two dimensions."""
        return cell_points(self.x, self.y, dim)

    @property
    def area(self) -> float:
        """Of what is not void, in latent units squared; the length of it on a line."""
        cell = np.diff(self.x[:2]).sum() * (np.diff(self.y[:2]).sum() if len(self.y) > 1 else 1.0)
        return float((self.verdicts != VOID).sum() * cell)

    def kept(self) -> dict[str, np.ndarray]:
        """The map as details of a metric: the pages show what a run folder keeps of it."""
        return dict(zip(self.KEPT, (self.verdicts, self.x, self.y), strict=True))


@dataclass(frozen=True)
class Regions:
    """What each class owns."""

    space: Literal["grid", "graph"]
    """A grid over the latent plane, or the neighbour graph of the test means where there are more
    than two dimensions: areas are then shares of images, not of space."""
    areas: np.ndarray
    """int [K]: cells (or images) judged to be each class's; void is nobody's."""
    largest: np.ndarray
    """int [K]: those in the largest connected piece of each."""
    borders: np.ndarray
    """int [K, K], symmetric: pairs of neighbouring cells (or images), one in the largest piece of
    the one class and one in that of the other."""
    around: np.ndarray
    """int [K]: pairs of neighbouring cells (or images), one in the largest piece of the class and
    one outside, whatever lies there: another piece, void, or what is beyond the map."""
    present: np.ndarray
    """bool [K]: the classes that there are images of."""
    ceiling: int
    """How many pairs of classes can be adjacent at most."""
    grid: Grid | None
    """The map, up to two dimensions."""
    edges: np.ndarray | None
    """int [2, E]: the edges of the graph, each once, beyond two dimensions."""

    @property
    def area_share(self) -> np.ndarray:
        """[K]: each class's share of what is not void."""
        return self.areas / max(self.areas.sum(), 1)

    @property
    def area_evenness(self) -> float:
        """Entropy of the shares / log K: 1 when all classes own alike."""
        shares = self.area_share[self.area_share > 0]
        classes = int(self.present.sum())
        if classes < 2:
            return 1.0
        return float(-(shares * np.log(shares)).sum() / np.log(classes))

    @property
    def wholeness_of(self) -> np.ndarray:
        """[K]: the largest piece of each class / all that it owns; 0 where it owns nothing."""
        return self.largest / np.maximum(self.areas, 1)

    @property
    def wholeness(self) -> float:
        """The mean of `wholeness_of` over the classes that there are images of."""
        return float(self.wholeness_of[self.present].mean()) if self.present.any() else math.nan

    @property
    def border_share(self) -> np.ndarray:
        """[K, K], symmetric: `borders` / `around` of the one of the two that has less around it."""
        less = np.minimum.outer(self.around, self.around)
        share: np.ndarray = self.borders / np.maximum(less, 1)
        return share

    @property
    def adjacent(self) -> np.ndarray:
        """bool [K, K]: the pairs of classes whose largest pieces share a border worth the name."""
        return self.border_share >= ADJACENT

    @property
    def adjacency(self) -> float:
        """Adjacent pairs / `ceiling`. Largest pieces are connected, so that it cannot pass 1."""
        return self.adjacency_from(ADJACENT)

    def adjacency_from(self, share: float) -> float:
        """`adjacency` were classes adjacent from this share of the border on."""
        return float(np.triu(self.border_share >= share, 1).sum() / max(self.ceiling, 1))

    @property
    def adjacency_band(self) -> dict[str, float]:
        """How much `adjacency` hangs on that share: for each of several, what it would be."""
        return {f"{share:g}": self.adjacency_from(share) for share in BAND}


def regions(judge: Judge, means: np.ndarray, test_means: np.ndarray, labels: np.ndarray) -> Regions:
    """The regions that a judge sees.

    Up to two dimensions on a grid of 200 cells a side over the 0.5-99.5 % box of the training
    means, cells being neighbours where they share an edge. Beyond that on the graph of the
    test means, each joined with its nearest others (as many as vote).

    Args:
        judge: who judges.
        means: the training means [N, D], which set the grid's box.
        test_means: [M, D], the nodes of the graph.
        labels: labels of either, for which classes there are.
    """
    present = np.isin(np.arange(judge.classes), labels)
    dim = means.shape[1]
    if dim <= 2:
        return regions_of(grid_over(judge, means), judge.classes, present)
    edges = _graph_edges(test_means, judge.k)
    most = ceiling(int(present.sum()), dim)
    return Regions("graph", *_of_graph(judge, edges), present, most, None, edges)


def regions_of(grid: Grid, classes: int, present: np.ndarray | None = None) -> Regions:
    """The regions of a map that has been drawn before, such as one that a run has kept.

    Args:
        grid: the map.
        classes: how many classes there are.
        present: bool [K], the classes that there are images of; all if left out.
    """
    present = np.ones(classes, dtype=bool) if present is None else present
    most = ceiling(int(present.sum()), 1 if len(grid.y) == 1 else 2)
    return Regions("grid", *_of_grid(grid, classes), present, most, grid, None)


def largest_pieces(grid: Grid) -> Grid:
    """The map with the largest connected piece of each class alone; all else is void."""
    kept = np.full_like(grid.verdicts, VOID)
    for c in np.unique(grid.verdicts[grid.verdicts >= 0]):
        pieces, _ = ndimage.label(grid.verdicts == c)
        kept[pieces == np.bincount(pieces.ravel())[1:].argmax() + 1] = c
    return replace(grid, verdicts=kept)


def border_points(
    judge: Judge, regions: Regions, test_means: np.ndarray, a: int, b: int
) -> np.ndarray:
    """Latent points [P, D] where two classes meet: midway between cells (or images).

    Any of their pieces: a way over a smaller one is a way.
    """
    if regions.grid is None:
        assert regions.edges is not None
        one, other = regions.edges
        ends = np.sort(judge.test_verdicts[[one, other]], axis=0)
        across = (ends == np.sort([a, b])[:, None]).all(axis=0)
        middle: np.ndarray = (test_means[one[across]] + test_means[other[across]]) / 2
        return middle
    points = np.array(border_segments(regions.grid, (a, b))).reshape(-1, 2, 2).mean(axis=1)
    return points[:, : test_means.shape[1]]


def border_segments(grid: Grid, pair: tuple[int, int] | None = None) -> Segments:
    """The edges between cells of two classes (of a pair of classes), as pairs of ends."""
    v = grid.verdicts
    (left, right, dx), (low, high, dy) = cell_edges(grid.x), cell_edges(grid.y)
    segments: Segments = []
    for row, column in np.argwhere(_across(v[:, :-1], v[:, 1:], pair)):
        x = grid.x[column] + dx / 2
        segments.append([(x, low[row]), (x, high[row])])
    for row, column in np.argwhere(_across(v[:-1], v[1:], pair)):
        y = grid.y[row] + dy / 2
        segments.append([(left[column], y), (right[column], y)])
    return segments


def cell_points(x: np.ndarray, y: np.ndarray, dim: int) -> np.ndarray:
    """The points [rows * columns, D], row by row, of a grid with these coordinates."""
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)[:, :dim]


def cell_edges(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The lower and upper edges of cells, and their width."""
    width = float(centres[1] - centres[0]) if len(centres) > 1 else 1.0
    return centres - width / 2, centres + width / 2, width


def _across(one: np.ndarray, other: np.ndarray, pair: tuple[int, int] | None) -> np.ndarray:
    different: np.ndarray = (one != other) & (one != VOID) & (other != VOID)
    if pair is None:
        return different
    return different & np.isin(one, pair) & np.isin(other, pair)


def ceiling(classes: int, dim: int) -> int:
    """How many pairs of so many connected regions can share a border.

    On a line each region has two neighbours at most: K - 1. In the plane connected regions and
    their borders form a planar graph, which has at most 3K - 6 edges (Euler, for K >= 3). From
    three dimensions on every pair can.
    """
    pairs = classes * (classes - 1) // 2
    if dim == 1:
        return max(classes - 1, 0)
    return min(pairs, 3 * classes - 6) if dim == 2 and classes >= 3 else pairs


def grid_over(judge: Judge, means: np.ndarray, beyond: float = 0.005, around: float = 0.0) -> Grid:
    """A judge's map of a box around means [N, D], up to two dimensions.

    Args:
        beyond: the share of the means that is beyond the box on each of its sides.
        around: how much more is shown on each side, as a share of it.
    """
    low, high = np.quantile(means, (beyond, 1 - beyond), axis=0)
    high = np.maximum(high, low + 1e-6)
    low, high = low - around * (high - low), high + around * (high - low)
    edges = [
        np.linspace(a, b, CELLS, endpoint=False) + (b - a) / CELLS / 2
        for a, b in zip(low, high, strict=True)
    ]
    x, y = edges[0], edges[1] if len(edges) == 2 else np.zeros(1)
    points = cell_points(x, y, means.shape[1])
    return Grid(judge.verdicts(points).reshape(len(y), len(x)), x, y)


def _of_grid(grid: Grid, classes: int) -> Counts:
    main = largest_pieces(grid).verdicts
    areas, largest = (np.bincount(v[v >= 0], minlength=classes) for v in (grid.verdicts, main))
    beyond = np.pad(main, 1, constant_values=VOID)
    if len(grid.y) == 1:
        beyond = beyond[1:-1]
    one = np.concatenate([beyond[:, :-1].ravel(), beyond[:-1].ravel()])
    other = np.concatenate([beyond[:, 1:].ravel(), beyond[1:].ravel()])
    return areas, largest, *_count_borders(one, other, classes)


def _graph_edges(means: np.ndarray, k: int) -> np.ndarray:
    """The two ends [2, E] of each edge between points and their k nearest others, once each."""
    n = len(means)
    if n < 2:
        return np.empty((2, 0), dtype=np.int64)
    ranks = np.arange(2, min(k + 1, n) + 1)  # the first neighbour is the point itself
    _, neighbours = KDTree(means).query(means, k=ranks, workers=-1)
    ends = np.stack([np.repeat(np.arange(n), len(ranks)), neighbours.ravel()])
    edges: np.ndarray = np.unique(np.sort(ends, axis=0), axis=1)
    return edges


def _of_graph(judge: Judge, edges: np.ndarray) -> Counts:
    verdicts, classes, n = judge.test_verdicts, judge.classes, len(judge.test_verdicts)
    one, other = edges
    inside = (verdicts[one] == verdicts[other]) & (verdicts[one] >= 0)
    graph = sparse.coo_array((np.ones(inside.sum()), (one[inside], other[inside])), shape=(n, n))
    _, pieces = sparse.csgraph.connected_components(graph, directed=False)
    main = np.full(n, VOID)
    for c in np.unique(verdicts[verdicts >= 0]):
        main[(verdicts == c) & (pieces == np.bincount(pieces[verdicts == c]).argmax())] = c
    areas, largest = (np.bincount(v[v >= 0], minlength=classes) for v in (verdicts, main))
    return areas, largest, *_count_borders(main[one], main[other], classes)


def _count_borders(
    one: np.ndarray, other: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """`borders` and `around` of neighbours, whose largest pieces (or VOID) are one and other."""
    counts = np.zeros((classes + 1, classes + 1), dtype=int)  # VOID is the last
    np.add.at(counts, (one, other), 1)
    counts += counts.T
    np.fill_diagonal(counts, 0)
    return counts[:classes, :classes], counts[:classes].sum(axis=1)
