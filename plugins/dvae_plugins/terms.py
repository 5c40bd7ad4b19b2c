"""Terms: extra summands of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from dvae_core import Term, hookimpl, pair_name, pairs_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dvae_core import Model

Class = Annotated[str | int, Field(union_mode="left_to_right")]


class Border(Term):
    """Classes that shall share a border, so that walking across it mixes the two.

    For each pair (a, b): z = (1 - t) mean_a + t mean_b, with random means of the two classes in
    the batch and t uniform in [0, 1]. The guidance head is asked for a up to the crossing and for b
    from there on: mean cross-entropy, in nats. Its gradient moves the head and, through the
    means, the encoder: whatever lies between the two moves out of the way.

    The crossing is halfway, or, with `crossing = "prior"`, where the prior's means of a and b are
    equally near. Halfway asks too much: a line from an a beside the border to a b far behind it has
    its middle deep within b, and a is asked for there, so that the two mix.

    Guidance keeps classes apart, and a strip without images, a void, opens between them. Two keys
    close it, both in latent units. `pull` adds the distance |mean_a - mean_b|: like the KL with
    |mean|, a pull that does not grow with the distance, and it moves all of both classes. `fill`
    adds the distance from z to the nearest mean, in the batch, of the class that is asked for: its
    gradient moves that nearest mean alone, towards z, so that the rims of the two regions grow
    together, and all else stays where the other terms want it. Along whole lines it draws images
    that need not move, and piles them up beside the strip, which is the more void for it: with
    `fill_where = "void"` points count by how void they are among the last 4,096 means, from nothing
    at a local outlier factor of 1.3 to twice at 3.3.

    `sort` is for images that lie on the way and should not, such as shirts between T-shirts and
    pullovers: of the three means in the batch that are nearest to z, whatever their classes, those
    that the head takes for another class count by the cross-entropy of their own (hard examples,
    as in Shrivastava et al., arXiv:1604.03540). An image that is on its own side is left alone,
    however near, for stronger guidance of all opens voids. So does this where little lies astray:
    take it where paths are lost to a third class (docs/borders.md).
    """

    name = "border"
    example = {"pairs": [[0, 1]]}

    pairs: tuple[tuple[Class, Class], ...] = ()
    """The pairs, by class name or number, such as [["0", "8"], ["3", "5"]]; the recipe's own
    `pairs` where there are none here."""
    points: int = Field(default=16, ge=1)
    """Random points between the classes of each pair, in a batch."""
    pull: float = Field(default=0.1, ge=0)
    """How much the distance between the two counts beside the cross-entropy."""
    fill: float = Field(default=0.0, ge=0)
    """How much the distance to the nearest mean counts beside the cross-entropy."""
    fill_where: Literal["everywhere", "void"] = "everywhere"
    """Whether all points of the lines are filled, or those that are void, by how void they are."""
    sort: float = Field(default=0.0, ge=0)
    """How much the images beside a line that the head takes for another class count beside the
    cross-entropy."""
    crossing: Literal["middle", "prior"] = "middle"
    """Where a line passes from a to b: halfway, or where the prior has the border."""
    attentive: bool = False
    """After each evaluation press harder for pairs whose `val/direct_path/...` is below 0.95, and
    less for the others: fill harder where `val/void_rate/...` says that void is why, and ask the
    head harder where it is not. It needs validation images and the metric `borders`."""

    def named_pairs(self, classes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
        return pairs_of(self.pairs, classes)

    def build(
        self, model: Model, images: np.ndarray | None = None
    ) -> Callable[[Any, Tensor], Tensor]:
        from dvae_plugins.bordering import VOTERS, AttentiveLines, Lines, Voids

        head = model.head
        if head is None:
            raise ValueError('the term "border" asks the guidance head; add a [guidance] table')
        named = self.named_pairs(model.classes) or model.pairs
        if not named:
            raise ValueError(
                'no borders are named; add pairs = [["a class", "another"], ...] at the top of the '
                'recipe, or --set \'pairs=[["a class", "another"]]\''
            )
        _check_possible(named, model.classes, model.latent_dim)
        centres = None
        if self.crossing == "prior":
            centres = _class_means(model, 'crossing = "prior" of the term "border"')
        device = next(model.parameters()).device
        voids = None
        if self.fill_where == "void":
            voids = Voids(model.latent_dim, VOTERS if images is None else len(images), device)
        lines = (AttentiveLines if self.attentive else Lines)(
            named,
            tuple(pair_name(pair, model.classes) for pair in named),
            head,
            device,
            points=self.points,
            pull=self.pull,
            fill=self.fill,
            sort=self.sort,
            centres=centres,
            voids=voids,
        )
        # Without a state of its own it is a plain function: checkpoints know no more of it.
        return lines if self.attentive or voids else lines.forward


class Aggregate(Term):
    """Classes that, as a whole, lie where the prior has them, and as wide.

    The KL looks at one image at a time, and lets a class that another force has drawn out or pushed
    aside lie there. This looks at its aggregated posterior, the mean of q(z | x) over the images x
    of the class, as Makhzani et al. (arXiv:1511.05644) and Zhao et al. (InfoVAE, arXiv:1706.02262)
    do for all images together: with its mean m and covariance S, the mean over classes c of
    KL(N(m, S) || N(m_c, 1)), in nats. What happens within a class it leaves to the other terms.

    The moments are moving ones, over the last `memory` images; of these only the batch has a
    gradient, which counts for all of them. The prior must have a mean for each class, as
    `class_prior` has.
    """

    name = "aggregate"

    memory: int = Field(default=2560, ge=1)
    """Images, of all classes together, that the moments go back."""

    def build(self, model: Model) -> Callable[[Any, Tensor], Tensor]:
        from dvae_plugins.bordering import Whole

        return Whole(_class_means(model, 'the term "aggregate"'), self.memory)


class Cells(Term):
    """Classes that fill their cells of the prior, up to the borders and not beyond.

    The cell of class c is the even mixture of all N(m_c, 1) where m_c is the nearest mean. Guidance
    leaves a strip empty along each border, and images that are drawn towards it pile up beside it;
    this wants the means of each class's images to lie as densely as its cell, all the way. It is
    the sliced Wasserstein distance between the two (Kolouri et al., arXiv:1804.01947): along each
    of 16 directions (16 (D - 1) random ones in D dimensions, D > 2) the squared distance between an
    image's mean and the quantile of the cell that has its rank among the last `memory` images of
    the class.

    The prior's means must be fixed, as those of `class_prior` are that are given or planned.
    """

    name = "cells"

    memory: int = Field(default=200, ge=10)
    """Images of each class that ranks go by."""

    def build(self, model: Model) -> Callable[[Any, Tensor], Tensor]:
        from dvae_plugins.bordering import Cells as Module

        who = 'the term "cells"'
        means = _class_means(model, who)
        if means().requires_grad:
            raise ValueError(f'{who} needs means that stay, not kl.means = "learned"')
        return Module(means, self.memory)


def _class_means(model: Model, who: str) -> Callable[[], Tensor]:
    """The prior's class means [K, D], as they are when asked.

    Raises:
        ValueError: it has none.
    """
    if model.class_means is None:
        raise ValueError(
            f'{who} needs a prior with a mean for each class, such as kl.name = "class_prior"'
        )
    return lambda: cast("Tensor", model.class_means)


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
    named = ", ".join(pair_name((a, b), classes) for a, b in sorted(map(sorted, in_the_way.edges)))
    where = "on a line" if dim == 1 else "in a plane"
    raise ValueError(
        f"these borders cannot all be had {where}: {named}; leave one of them out, or use "
        f"latent.dim = {dim + 1}"
    )


@hookimpl
def register_terms() -> list[type[Term]]:
    return [Border, Aggregate, Cells]
