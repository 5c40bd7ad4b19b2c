"""A plan: what a prior with a place for each class intends, seen as a run is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.latent.borders.drawing import draw_regions
from dvae_core.latent.borders.judge import Judge
from dvae_core.latent.borders.paths import Paths, paths
from dvae_core.latent.borders.regions import Regions, regions
from dvae_core.latent.colours import class_colours
from dvae_core.model.data import visible_labels
from dvae_core.model.objective import build_kl
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.randomness import seed_everything
from dvae_core.recipe.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = 1500
"""Points that stand for each class's images."""


@dataclass(frozen=True)
class Plan:
    """Where classes are to lie, and what the judge would see were each of them N(m_c, 1)."""

    classes: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    """Those that the recipe names."""
    means: np.ndarray
    """[K, D]"""
    regions: Regions
    paths: Paths

    @property
    def direct(self) -> dict[tuple[int, int], float]:
        """The share of direct paths that each named pair can expect."""
        return {pair: float(self.paths.direct_path[pair]) for pair in self.pairs}


def plan_of(recipe: Recipe, data: LabelledImages) -> Plan:
    """What the recipe's prior intends for the classes of these data, before a step is taken.

    Raises:
        RecipeError: the prior does not fit the classes, the latent space or the pairs.
        DvaeError: the prior has no places for classes.
    """
    classes = data.classes
    pairs = recipe.named_pairs(classes)
    pairs += tuple(p for term in recipe.terms for p in term.component.named_pairs(classes))
    seed_everything(recipe.seed, "start")
    try:
        kl = build_kl(
            recipe.kl.component,
            recipe.latent.dim,
            classes,
            pairs=pairs,
            images=data.train_images,
            labels=visible_labels(recipe, data)[0],
        )
    except ValueError as error:
        raise RecipeError(f"{recipe.origin(('kl', 'name'))}: [kl] {error}") from error
    if getattr(kl, "means", None) is None:
        raise DvaeError(
            f'kl "{recipe.kl.component.name}" has no places for classes to plan; '
            'kl.name = "class_prior" with means = "planned" has'
        )
    means = kl.means.detach().double().numpy()
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(classes)), IMAGES)
    points, others = means[labels] + random.standard_normal((2, len(labels), means.shape[1]))
    judge = Judge(points, labels, others, len(classes))
    # Void is closed by training; what is planned is that no third class lies between.
    nowhere_void = Judge(points, labels, others, len(classes), void=np.inf)
    return Plan(
        classes,
        tuple(dict.fromkeys(pairs)),
        means,
        regions(judge, points, others, labels),
        paths(nowhere_void, others, labels, random),
    )


def draw_plan(plan: Plan) -> Figure:
    """The regions that are planned, and the pairs that shall share a border."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    axes = figure.subplots()
    colours = class_colours(len(plan.classes))
    draw_regions(axes, plan.regions, plan.classes, colours, plan.pairs, plan.means)
    if plan.regions.grid is not None:
        axes.set(xlabel="z₁", ylabel="z₂" if plan.means.shape[1] > 1 else "", aspect="equal")
    axes.set_title("The plan, before training")
    return figure
