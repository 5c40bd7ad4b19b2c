"""Layouts: where classes can lie so that named pairs are neighbours with nobody between them.

Import it inside `build` only: it needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dvae_core import pair_name

STARTS = 64
"""Layouts that the search starts from, at random, in the plane; a quarter of them beyond it, where
one can go around what is in the way."""
SPACINGS = (3.5, 4.25, 5.0, 6.0)
"""In standard deviations of a class. Tight ones leave no void, wide ones nobody between."""
SPILL = 12.0
"""Nats by which a class is likelier on a line than it looks, for each unit of its affinity to one
of the line's two: it will not stay within N(m_c, 1)."""
MIXED = 0.05
"""The affinity from which classes lie not only beside each other."""
PROMISED = 0.95
"""The planned share of direct paths of every pair that is worth no more room."""
KEPT = 8
"""Those of them that are worth a second look."""
ENOUGH = 0.7
"""From this planned share of direct paths on a pair counts as one that can be had."""
MOST_DIMENSIONS = 9
"""Where the search for a dimension that holds all pairs ends; K - 1 always do (a simplex)."""

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layout:
    """Class means, and what they promise."""

    means: Tensor
    """[K, D], float32, around their centre."""
    direct: tuple[float, ...]
    """For each pair the share of direct paths between images of classes that are N(mean, 1)."""
    spacing: float
    """That the means were to keep."""


def roomy(classes: int, dim: int, pairs: Pairs, affinity: Tensor | None = None) -> Layout:
    """The tightest plan that promises enough, or the one that promises most."""
    best: Layout | None = None
    for spacing in SPACINGS:
        found = plan(classes, dim, pairs, spacing, affinity)
        if best is None or min(found.direct, default=1) > min(best.direct, default=1):
            best = found
        if min(best.direct, default=1) >= PROMISED:
            break
    assert best is not None
    return best


def plan(
    classes: int, dim: int, pairs: Pairs, spacing: float, affinity: Tensor | None = None
) -> Layout:
    """Class means for which straight lines between named classes meet these two alone.

    Were every class N(m_c, 1) and judged by the nearest mean, then on a line from an image of a to
    one of b no third class should be likelier than these two. The search lowers -log p(a or b | z)
    on such lines, while pairs are to be no more than a `spacing` apart and all classes at least
    one, by gradient descent from many random starts. It looks at whole classes, not at their means
    alone: a third one may be no nearer than their spread allows. Beside that, the sum of the
    distances of classes, in spacings, by their `affinity` [K, K], is to be small: what the data has
    together costs least where it lies together; but no line is to pass by what is taken for one of
    its two classes, which spills over, nor between classes that mix. The same arguments give the
    same layout.
    """
    draw = torch.Generator().manual_seed(0)
    starts = STARTS if dim <= 2 else STARTS // 4
    means = 1.2 * spacing * torch.randn(starts, classes, dim, generator=draw)
    with _one_thread():
        cost = _Cost(pairs, spacing, affinity, _Lines(32, pairs, dim, draw))
        means = _descend(means, cost, steps=250, pace=1.0)
        cost = replace(cost, lines=_Lines(128, pairs, dim, draw))
        means = _descend(means[cost(means).argsort()[:KEPT]], cost, steps=150, pace=0.3)
        best = cost(means).argmin()
        found = means[best] - means[best].mean(dim=0)
        return Layout(found, tuple(_direct(found, pair) for pair in pairs), spacing)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums on any machine; and threads cost more than they give where there is little."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def refuse_crowds(layout: Layout, pairs: Pairs, names: tuple[str, ...]) -> None:
    """Refuse a layout in which some pair has a third class between.

    Raises:
        ValueError: which pairs, by how much, and what would help.
    """
    bad = [q for q, share in enumerate(layout.direct) if share < ENOUGH]
    if not bad:
        return
    classes, dim = layout.means.shape
    told = ", ".join(
        f"{pair_name(pair, names)} ({100 * share:.0f} % of the paths direct)"
        for pair, share in zip(pairs, layout.direct, strict=True)
        if share < ENOUGH
    )
    ways = [f"leave out {_named(_too_many(layout, pairs), names)}"]
    for more in range(dim + 1, min(classes - 1, MOST_DIMENSIONS) + 1):
        if min(plan(classes, more, pairs, layout.spacing).direct) >= ENOUGH:
            ways.append(f"use latent.dim = {more}")
            break
    ways.append("say allow_crowded = true to go on all the same")
    raise ValueError(
        f"no layout in {dim} dimension{'s' * (dim > 1)} was found that gives all these pairs a "
        f"border without a third class between; the best plan misses {told}: {', or '.join(ways)}"
    )


def _too_many(layout: Layout, pairs: Pairs) -> Pairs:
    """Pairs without which the others can be had: the worst ones, one by one."""
    classes, dim = layout.means.shape
    dropped: Pairs = ()
    while pairs and min(layout.direct) < ENOUGH:
        worst = min(range(len(pairs)), key=layout.direct.__getitem__)
        dropped += (pairs[worst],)
        pairs = pairs[:worst] + pairs[worst + 1 :]
        shorter = replace(layout, direct=layout.direct[:worst] + layout.direct[worst + 1 :])
        # Often the same layout serves the others; a new one is made only where it does not.
        again = pairs and min(shorter.direct) < ENOUGH
        layout = plan(classes, dim, pairs, layout.spacing) if again else shorter
    return dropped


def _named(pairs: Pairs, names: tuple[str, ...]) -> str:
    return " and ".join(pair_name(pair, names) for pair in pairs)


class _Lines:
    """Where lines between two standard normal classes start, end, and are looked at."""

    def __init__(self, lines: int, pairs: Pairs, dim: int, draw: torch.Generator) -> None:
        half = torch.randn(len(pairs), lines // 2, 2, dim, generator=draw)
        self.ends = torch.cat([half, -half], dim=1)
        """[Q, L, 2, D], around the two means"""
        self.at = (torch.randperm(lines, generator=draw) + 0.5) / lines
        """[L]: a place on each line, 0 at its start and 1 at its end"""

    def points(self, start: Tensor, end: Tensor) -> Tensor:
        """[S, Q, L, D] of means [S, Q, D]."""
        ends = self.ends
        return torch.lerp(
            start[:, :, None] + ends[:, :, 0], end[:, :, None] + ends[:, :, 1], self.at[:, None]
        )


@dataclass(frozen=True)
class _Cost:
    """What is wrong with layouts."""

    pairs: Pairs
    spacing: float
    affinity: Tensor | None
    lines: _Lines

    def __call__(self, means: Tensor) -> Tensor:
        """[S] of layouts [S, K, D]."""
        # The smallest of numbers keeps the gradients of the distances finite at 0.
        apart = ((means[:, :, None] - means[:, None]).square().sum(dim=-1) + 1e-9).sqrt()
        itself = torch.eye(means.shape[1], dtype=torch.bool)
        near = (self.spacing - apart).clamp(min=0).square().masked_fill(itself, 0)
        cost = 0.5 * near.sum(dim=(1, 2)) + 0.003 * means.square().sum(dim=(1, 2))
        if self.affinity is not None:
            cost = cost + (self.affinity * apart / self.spacing).sum(dim=(1, 2))
        if self.pairs:
            two = torch.tensor(self.pairs)
            third = self._third(means, two)
            far = (apart[:, two[:, 0], two[:, 1]] - self.spacing).clamp(min=0).square()
            cost = cost + 4 * third.mean(dim=2).sum(dim=1) + 0.3 * far.sum(dim=1)
        return cost

    def _third(self, means: Tensor, two: Tensor) -> Tensor:
        """[S, Q, L]: -log p(a or b | z) on the lines between pairs [Q, 2]."""
        points = self.lines.points(means[:, two[:, 0]], means[:, two[:, 1]])
        likely = -0.5 * (points[:, :, :, None] - means[:, None, None]).square().sum(dim=-1)
        own = two[None, :, None].expand(len(means), -1, likely.shape[2], -1)
        wanted = likely.gather(-1, own).logsumexp(dim=-1)
        if self.affinity is not None:
            alike = torch.maximum(*self.affinity[two].unbind(dim=1)).scatter(1, two, 0)  # [Q, K]
            likely = likely + SPILL * alike[:, None]
            likely = torch.cat([likely, self._mixed(means, two, points)], dim=-1)
        return likely.logsumexp(dim=-1) - wanted

    def _mixed(self, means: Tensor, two: Tensor, points: Tensor) -> Tensor:
        """[S, Q, L, 3 A]: how likely points [S, Q, L, D] are to be of what the data mixes.

        The images of two classes that are alike lie all the way from the one to the other, by as
        much as they are alike: at three places for each of A such pairs. Those of a pair [Q, 2]
        whose line is asked are no strangers there, and those of one of its two by half.
        """
        assert self.affinity is not None
        one, other = (self.affinity.tril() > MIXED).nonzero().T
        t = torch.tensor([0.25, 0.5, 0.75])[:, None, None]
        places = torch.lerp(means[:, None, one], means[:, None, other], t).flatten(1, 2)
        ends = torch.stack([one, other]).repeat(1, 3)  # [2, 3 A]
        shared = (ends == two[:, :, None, None]).sum(dim=(1, 2))  # [Q, 3 A]
        strange = torch.tensor([1.0, 0.5, 0.0])[shared] * self.affinity[*ends]
        apart = (points[:, :, :, None] - places[:, None, None]).square().sum(dim=-1)
        return strange.log()[:, None] - 0.5 * apart


def _descend(means: Tensor, cost: _Cost, *, steps: int, pace: float) -> Tensor:
    means = means.clone().requires_grad_()
    optimizer = torch.optim.Adam([means])
    with torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.05 * cost.spacing * pace * (1 - step / steps)
            optimizer.zero_grad()
            cost(means).sum().backward()
            optimizer.step()
    return means.detach()


def _direct(means: Tensor, pair: tuple[int, int], lines: int = 1000, steps: int = 64) -> float:
    """The share of lines between two classes on which no third mean is ever the nearest.

    Lines join draws from the two classes that are judged right.
    """
    draw = torch.Generator().manual_seed(1)
    offsets = torch.randn(2, lines, means.shape[1], generator=draw)
    ends = offsets + means[list(pair), None]
    right = (torch.cdist(ends, means).argmin(dim=-1) == torch.tensor(pair)[:, None]).all(dim=0)
    at = torch.linspace(0, 1, steps)[:, None, None]
    nearest = torch.cdist(torch.lerp(ends[0, right], ends[1, right], at), means).argmin(dim=-1)
    alone = ((nearest == pair[0]) | (nearest == pair[1])).all(dim=0)
    return float(alone.float().mean()) if len(alone) else 0.0
