"""Terms: extra summands of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from dvae_core import Term, class_number, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from dvae_core import Model

Class = Annotated[str | int, Field(union_mode="left_to_right")]


class Border(Term):
    """Classes that shall share a border, so that walking across it mixes the two.

    For each pair (a, b): z = (1 - t) mean_a + t mean_b, with random means of the two classes in
    the batch and t uniform in [0, 1]. The guidance head is asked for a where t < 1/2 and for b
    from there on: mean cross-entropy, in nats. Its gradient moves the head and, through the
    means, the encoder: whatever lies between the two moves out of the way.

    Guidance keeps classes apart, and a strip without images, a void, opens between them. Two keys
    close it, both in latent units. `pull` adds the distance |mean_a - mean_b|: like the KL with
    |mean|, a pull that does not grow with the distance, and it moves all of both classes. `fill`
    adds the distance from z to the nearest mean, in the batch, of the class that is asked for: its
    gradient moves that nearest mean alone, towards z, so that the rims of the two regions grow
    together, and all else stays where the other terms want it.
    """

    name = "border"
    example = {"pairs": [[0, 1]]}

    pairs: tuple[tuple[Class, Class], ...] = Field(min_length=1)
    """The pairs, by class name or number, such as [["0", "8"], ["3", "5"]]."""
    points: int = Field(default=16, ge=1)
    """Random points between the classes of each pair, in a batch."""
    pull: float = Field(default=0.1, ge=0)
    """How much the distance between the two counts beside the cross-entropy."""
    fill: float = Field(default=0.0, ge=0)
    """How much the distance to the nearest mean counts beside the cross-entropy."""

    def named_pairs(self, classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        named = []
        for pair in self.pairs:
            a, b = sorted(class_number(c, classes) for c in pair)
            if a == b:
                raise ValueError(f"a class has no border with itself: {list(pair)}")
            named.append((a, b))
        return tuple(dict.fromkeys(named))

    def build(self, model: Model) -> Callable[[Any, Tensor], Tensor]:
        import torch
        from torch.nn import functional

        head = model.head
        if head is None:
            raise ValueError('the term "border" asks the guidance head; add a [guidance] table')
        named = self.named_pairs(model.classes)
        _check_possible(named, model.classes, model.latent_dim)
        device = next(model.parameters()).device
        pairs = torch.tensor(named, device=device)  # [Q, 2]

        def border(outputs: Any, labels: Tensor) -> Tensor:
            members = (labels == pairs[..., None]).float()  # [Q, 2, B]
            possible = members.any(dim=2).all(dim=1)  # [Q]: both classes are in the batch
            # Shapes stay the same whatever the batch holds; impossible pairs are drawn from
            # everyone and count for nothing.
            chances = (members + ~possible[:, None, None]).flatten(0, 1)
            drawn = torch.multinomial(chances, self.points, replacement=True)
            means = outputs.mean[drawn].unflatten(0, (-1, 2))  # [Q, 2, points, D]
            t = torch.rand(len(pairs), self.points, device=device)
            z = torch.lerp(means[:, 0], means[:, 1], t[..., None])  # [Q, points, D]
            wanted = torch.where(t < 0.5, pairs[:, :1], pairs[:, 1:])
            logits = head(z.flatten(0, 1)).float()
            cost = functional.cross_entropy(logits, wanted.flatten(), reduction="none")
            cost = cost.view_as(t)
            # The smallest of numbers keeps the gradients of the distances finite at 0.
            if self.pull:
                gap = (means[:, 0] - means[:, 1]).square().sum(dim=-1)
                cost = cost + self.pull * (gap + 1e-12).sqrt()
            if self.fill:
                apart = (z.detach()[:, :, None] - outputs.mean).square().sum(dim=-1)
                own = torch.where(t[..., None] < 0.5, members[:, :1], members[:, 1:]) > 0
                nearest = apart.where(own, torch.inf).amin(dim=-1)  # [Q, points]
                nearest = nearest.where(possible[:, None], 0.0)
                cost = cost + self.fill * (nearest + 1e-12).sqrt()
            counted = possible[:, None].expand_as(cost).float()
            return (cost * counted).sum() / counted.sum().clamp(min=1)

        return border


def _check_possible(pairs: tuple[tuple[int, int], ...], classes: tuple[str, ...], dim: int) -> None:
    """Refuse what no arrangement of connected regions can give.

    Regions in the plane and their borders form a planar graph, regions on a line a row.

    Raises:
        ValueError: names the pairs that are in each other's way.
    """
    import networkx

    graph = networkx.Graph(pairs)
    if dim == 1:
        crowded = [c for c, partners in graph.degree if partners > 2]
        if crowded:
            raise ValueError(
                f'on a line a class has two neighbours at most, and "{classes[crowded[0]]}" is to '
                "have more; use latent.dim = 2"
            )
        if networkx.cycle_basis(graph):
            in_the_way = networkx.Graph(networkx.find_cycle(graph))
        else:
            return
    elif dim == 2:
        planar, in_the_way = networkx.check_planarity(graph, counterexample=True)
        if planar:
            return
    else:
        return
    named = ", ".join(
        f"{classes[a]}-{classes[b]}" for a, b in sorted(map(sorted, in_the_way.edges))
    )
    where = "on a line" if dim == 1 else "in a plane"
    raise ValueError(
        f"these borders cannot all be had {where}: {named}; leave one of them out, or use "
        f"latent.dim = {dim + 1}"
    )


@hookimpl
def register_terms() -> list[type[Term]]:
    return [Border]
