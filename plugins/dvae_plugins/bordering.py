"""What the terms of borders do with a batch. Import it inside `build` only: it needs torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Pairs = tuple[tuple[int, int], ...]

DIRECT = 0.95
"""The share of direct paths from which a pair needs no more."""
VOID_SHARE = 1 / 64
"""The share of a path that is void where void alone is why it is not direct."""
FASTER, SLOWER = 1.5, 0.8
"""What a pair's strength is multiplied by after an evaluation that finds it wanting, or good."""
WEAKEST, STRONGEST, FULLEST = 0.25, 4.0, 16.0
"""The bounds of the strengths, and how hard voids are filled at most."""

BESIDE = 3
"""Images nearest to a point of a line that lie beside it."""

MEMORY = 4096
"""The last means by which it is known where there are none."""
VOTERS, NEIGHBOURS = 20_000, 15
"""Of the judge: of so many means so many neighbours say how lonely a point is."""
LONELY, LONELIEST = 1.3, 3.3
"""Between these a void is filled the harder, the lonelier it is; the judge's limit is 2."""

DIRECTIONS = 16
"""In which the means of a class are compared with its cell, in a plane."""
SAMPLES = 4000
"""Points of each class that its cell is known by."""


class Lines(nn.Module):
    """The cost of random points on the lines between classes: see the term `border`.

    Args:
        pairs: the Q pairs a < b of class numbers.
        names: the name of each pair, as in `direct_path/<name>`.
        head: z [P, D] to class logits [P, K].
        points: on the lines of each pair, in a batch.
        pull: how much the length of the lines counts.
        fill: how much the distance to the nearest mean of the class asked for counts.
        sort: how much the images beside the lines count that the head takes for another class.
        centres: gives the prior's class means [K, D], of which the nearer one says which class of
            the two is asked for at a point; without it that is the one at the nearer end.
        voids: says how void points are, and fills them by that; without it all points count alike.
    """

    strengths: Tensor
    fills: Tensor

    def __init__(
        self,
        pairs: Pairs,
        names: tuple[str, ...],
        head: nn.Module,
        device: torch.device,
        *,
        points: int,
        pull: float,
        fill: float,
        sort: float,
        centres: Callable[[], Tensor] | None = None,
        voids: Voids | None = None,
    ) -> None:
        super().__init__()
        self.names = names
        self.voids = voids
        self.centres = centres
        self.head = (head,)  # in a tuple: its parameters are the model's
        self.points, self.pull, self.fill, self.sort = points, pull, fill, sort
        # [Q, 2]; a recipe says it again, so that checkpoints need not.
        self.register_buffer("pairs", torch.tensor(pairs, device=device), persistent=False)
        self.register_buffer("strengths", torch.ones(len(pairs), device=device))
        self.register_buffer("fills", torch.ones(len(pairs), device=device))
        self.register_load_state_dict_pre_hook(_read_one_strength)

    def forward(self, outputs: Any, labels: Tensor) -> Tensor:
        """The mean cost over the points of all pairs that the batch has images of."""
        pairs: Tensor = self.pairs  # type: ignore[assignment]
        members = (labels == pairs[..., None]).float()  # [Q, 2, B]
        possible = members.any(dim=2).all(dim=1)  # [Q]: both classes are in the batch
        # Shapes stay the same whatever the batch holds; impossible pairs are drawn from
        # everyone and count for nothing.
        chances = (members + ~possible[:, None, None]).flatten(0, 1)
        drawn = torch.multinomial(chances, self.points, replacement=True)
        means = outputs.mean[drawn].unflatten(0, (-1, 2))  # [Q, 2, points, D]
        t = torch.rand(len(pairs), self.points, device=pairs.device)
        z = torch.lerp(means[:, 0], means[:, 1], t[..., None])  # [Q, points, D]
        first = t < 0.5 if self.centres is None else self._nearer(z, self.centres()[pairs])
        wanted = torch.where(first, pairs[:, :1], pairs[:, 1:])
        logits = self.head[0](z.flatten(0, 1)).float()
        cost = F.cross_entropy(logits, wanted.flatten(), reduction="none").view_as(t)
        # The smallest of numbers keeps the gradients of the distances finite at 0.
        if self.pull:
            gap = (means[:, 0] - means[:, 1]).square().sum(dim=-1)
            cost = cost + self.pull * (gap + 1e-12).sqrt()
        if self.sort or self.fill:
            apart = (z.detach()[:, :, None] - outputs.mean).square().sum(dim=-1)  # [Q, points, B]
        if self.sort:
            beside = apart.detach().topk(min(BESIDE, len(labels)), largest=False).indices
            cost = cost + self.sort * self._astray(outputs.mean, labels)[beside].mean(dim=-1)
        cost = cost * self.strengths[:, None]
        if self.fill:
            own = torch.where(first[..., None], members[:, :1], members[:, 1:]) > 0
            nearest = apart.where(own, torch.inf).amin(dim=-1)  # [Q, points]
            nearest = nearest.where(possible[:, None], 0.0)
            fills = self.fills[:, None]
            if self.voids is not None:
                fills = fills * self.voids(z.flatten(0, 1), outputs.mean).view_as(t)
            cost = cost + self.fill * fills * (nearest + 1e-12).sqrt()
        counted = possible[:, None].expand_as(cost).float()
        return (cost * counted).sum() / counted.sum().clamp(min=1)

    def _astray(self, means: Tensor, labels: Tensor) -> Tensor:
        """[B]: the cross-entropy of the images that the head takes for another class, 0 of others
        and of those without a label."""
        logits = self.head[0](means).float()
        cost = F.cross_entropy(logits, labels.clamp(min=0), reduction="none")
        return cost.where((labels >= 0) & (logits.argmax(dim=1) != labels), 0.0)

    @staticmethod
    def _nearer(z: Tensor, centres: Tensor) -> Tensor:
        """bool [Q, P]: where points [Q, P, D] are nearer to the first of two centres [Q, 2, D]."""
        apart = (z[:, :, None] - centres[:, None]).square().sum(dim=-1)
        return apart[..., 0] < apart[..., 1]


def _read_one_strength(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Older checkpoints have one strength for both."""
    if f"{prefix}strengths" in state:
        state.setdefault(f"{prefix}fills", state[f"{prefix}strengths"].clone())


class AttentiveLines(Lines):
    """`Lines` that press harder where an evaluation has found a pair wanting, and less elsewhere.

    How: what is void is filled, and where a third class or flicker is in the way the head is asked.
    Either makes the other worse, for the head drives classes apart, and filling draws them into
    each other. It goes by the validation images alone: what is chosen on test images says nothing
    of them.
    """

    def measured(self, row: Mapping[str, Any]) -> None:
        for q, name in enumerate(self.names):
            direct = row.get(f"val/direct_path/{name}")
            if direct is None:
                continue
            void = row.get(f"val/void_rate/{name}", 0.0) >= (1 - direct) * VOID_SHARE
            self.strengths[q] *= FASTER if direct < DIRECT and not void else SLOWER
            self.fills[q] *= FASTER if direct < DIRECT and void else SLOWER
        self.strengths.clamp_(WEAKEST, STRONGEST)
        # What goes by voids is weak by itself where there are none.
        bounds = (WEAKEST, FULLEST) if self.voids is None else (1.0, STRONGEST)
        self.fills.clamp_(*bounds)


class Voids(nn.Module):
    """How void the latent space is at points, by the means of the last batches.

    As the judge of borders sees it: by the simplified local outlier factor (Schubert, Zimek and
    Kriegel, Data Mining and Knowledge Discovery 28, 2014), how far a point's k-th neighbour is over
    how far that of its neighbours is on average, about 1 within data. k is such that the k-th
    neighbour is about as far as the judge's.

    Args:
        dim: D.
        images: how many training images there are. Of less than the memory holds no more than
            these count, for the copies of an epoch before would look like neighbours.
    """

    past: Tensor
    reach: Tensor
    written: Tensor

    def __init__(self, dim: int, images: int, device: torch.device) -> None:
        super().__init__()
        self.window = min(MEMORY, images)
        k = math.ceil(NEIGHBOURS * self.window / min(images, VOTERS))
        self.k = min(k, max(1, self.window // 2))
        self.register_buffer("past", torch.zeros(MEMORY, dim, device=device))
        self.register_buffer("reach", torch.zeros(MEMORY, device=device))
        self.register_buffer("written", torch.zeros((), dtype=torch.long, device=device))

    @torch.no_grad()
    def forward(self, points: Tensor, means: Tensor) -> Tensor:
        """[P], from 0 to 2: by how much the factor at points [P, D] is above 1.3; remembers the
        batch's means [B, D]."""
        if self.training:
            self._remember(means[-MEMORY:].to(self.past))
        far, near = self._nearest(points.to(self.past), self.k)
        factor = (far + 1e-12) / (self.reach[near].mean(dim=1) + 1e-12)
        return factor.nan_to_num().clamp(LONELY, LONELIEST) - LONELY

    def _remember(self, means: Tensor) -> None:
        """Write means over the oldest ones, and how far the k-th neighbour of each is."""
        slots = (self.written + torch.arange(len(means), device=means.device)) % MEMORY
        self.past.index_copy_(0, slots, means)
        self.written.add_(len(means))
        self.reach.index_copy_(0, slots, self._nearest(means, self.k + 1)[0])  # the first is itself

    def _nearest(self, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """How far the k-th neighbour [P] of points [P, D] is, and which [P, k] the nearest are."""
        age = (self.written - 1 - torch.arange(MEMORY, device=points.device)) % MEMORY
        known = age < self.written.clamp(max=self.window)
        # By differences: products lose what is nearer than a thousandth of the coordinates.
        apart = torch.cdist(points, self.past, compute_mode="donot_use_mm_for_euclid_dist")
        far, near = apart.where(known, torch.inf).topk(k, largest=False)
        return far[:, -1], near


class Whole(nn.Module):
    """How far each class's aggregated posterior is from its prior: see the term `aggregate`.

    Args:
        means: gives the prior's class means [K, D].
        memory: how many images, of all classes together, the moments of classes remember.
    """

    first: Tensor
    second: Tensor

    def __init__(self, means: Callable[[], Tensor], memory: int) -> None:
        super().__init__()
        self.means = means
        start = means().detach().clone()
        self.memory = memory / len(start)
        square = start[:, :, None] * start[:, None]
        self.register_buffer("first", start)
        self.register_buffer("second", square + torch.eye(start.shape[1]).to(start))

    def forward(self, outputs: Any, labels: Tensor) -> Tensor:
        """The mean over classes of KL(N(m, S) || N(m_c, 1)), in nats, for one batch's worth."""
        centres = self.means()
        classes, dim = centres.shape
        mean, var = outputs.mean, outputs.log_var.exp()
        members = (labels[:, None] == torch.arange(classes, device=labels.device)).to(
            mean
        )  # [B, K]
        n = members.sum(dim=0)[:, None]
        share = members / n.clamp(min=1).T
        first = share.T @ mean
        second = torch.einsum("bk,bi,bj->kij", share, mean, mean) + torch.diag_embed(share.T @ var)
        # Moving moments, in which each image counts alike; only the batch's have a gradient.
        new = n / (n + self.memory)
        first = torch.lerp(self.first, first, new)
        second = torch.lerp(self.second, second, new[..., None])
        if self.training:
            self.first.copy_(first.detach())
            self.second.copy_(second.detach())
        spread = second - first[:, :, None] * first[:, None]
        spread = spread + 1e-4 * torch.eye(dim, device=spread.device)
        trace = spread.diagonal(dim1=1, dim2=2).sum(dim=1)
        off = (first - centres).square().sum(dim=1)
        divergence = 0.5 * (trace + off - dim - torch.logdet(spread))
        # The batch is but a part of the moments, and its gradient as much too small.
        whole: Tensor = divergence.mean() * (1 + self.memory * classes / len(labels))
        return whole


class Cells(nn.Module):
    """How far each class's means are from filling its cell of the prior: see the term `cells`.

    Args:
        means: gives the prior's class means [K, D], which stay as they are.
        memory: how many images of each class are remembered.
    """

    past: Tensor
    written: Tensor

    def __init__(self, means: Callable[[], Tensor], memory: int) -> None:
        super().__init__()
        self.means = means
        self.memory = memory
        centres = means().detach()
        classes, dim = centres.shape
        # The last row is nobody's: what is not to be remembered is written there.
        self.register_buffer("past", centres.new_zeros(classes * memory + 1, dim))
        self.register_buffer("written", torch.zeros(classes, dtype=torch.long).to(centres.device))
        self.plan: tuple[Tensor, Tensor] | None = None

    def forward(self, outputs: Any, labels: Tensor) -> Tensor:
        """The mean over the batch's labelled images, in squared latent units for one direction."""
        if self.plan is None:
            self.plan = self._planned()
        directions, quantiles = self.plan
        classes = len(quantiles)
        own, known = labels.clamp(min=0), labels >= 0
        seen = outputs.mean @ directions  # [B, P]
        past = (self.past[:-1] @ directions).unflatten(0, (classes, self.memory))[own]
        rank = (past < seen.detach()[:, None]).sum(dim=1)  # [B, P]
        wanted = quantiles[own].gather(1, rank[:, None])[:, 0]
        apart = (seen - wanted).square().mean(dim=1) * known
        if self.training:
            self._remember(outputs.mean.detach(), own, known)
        return apart.sum() / known.sum().clamp(min=1)

    def _planned(self) -> tuple[Tensor, Tensor]:
        """Directions [D, P], and along each the quantiles [K, memory + 1, P] of a class's cell.

        Where there is no memory yet, it is filled with what the plan has there.
        """
        centres = self.means().detach().cpu().double()
        classes, dim = centres.shape
        random = torch.Generator().manual_seed(0)
        if dim == 2:  # evenly all round
            angles = torch.arange(DIRECTIONS) * (torch.pi / DIRECTIONS)
            directions = torch.stack([angles.cos(), angles.sin()]).double()
        else:
            drawn = torch.randn(dim, DIRECTIONS * max(1, dim - 1), generator=random).double()
            directions = F.normalize(drawn, dim=0)
        drawn = torch.randn(classes, SAMPLES, dim, generator=random).double() + centres[:, None]
        points = drawn.flatten(0, 1)
        seen = points @ directions
        number = torch.arange(classes)[:, None]
        own = number == number.repeat_interleave(SAMPLES)  # [K, points]
        members = number == torch.cdist(points, centres).argmin(dim=1)
        crowded = members.sum(dim=1, keepdim=True) < self.memory  # it has hardly a place of its own
        members = own.where(crowded, members)
        levels = (torch.arange(self.memory + 1) + 0.5) / (self.memory + 1)
        quantiles, start = [], []
        # Shapes that no number decides, so that a step on any device needs no wait.
        for mine in members:
            ordered = seen.where(mine[:, None], torch.inf).sort(dim=0).values
            quantiles.append(ordered[(levels * mine.sum()).long()])
            some = torch.rand(len(points), generator=random).where(mine, 2.0).argsort()
            start.append(points[some[: self.memory]])
        begun = torch.cat(start).to(self.past)
        self.past[:-1] = self.past[:-1].where(self.written.any(), begun)
        return directions.to(self.past), torch.stack(quantiles).to(self.past)

    def _remember(self, means: Tensor, own: Tensor, known: Tensor) -> None:
        """Write means [B, D] over the oldest ones of their classes."""
        classes = len(self.written)
        members = (own[:, None] == torch.arange(classes, device=own.device)) & known[:, None]
        order = (members.cumsum(dim=0) * members).sum(dim=1) - 1  # [B], within the class
        count = members.sum(dim=0)
        latest = known & (order >= count[own] - self.memory)
        slot = own * self.memory + (self.written[own] + order) % self.memory
        self.past[slot.where(latest, classes * self.memory)] = means.to(self.past)
        self.written.add_(count)
