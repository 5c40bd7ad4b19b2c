"""A dvae plugin: whole methods, each a file of at most sixty lines and a recipe."""

from pathlib import Path

from dvae_core import hookimpl

from dvae_methods.acai import Interpolations
from dvae_methods.centre_loss import CentreLoss
from dvae_methods.factor_vae import TotalCorrelation
from dvae_methods.hierarchical import HierarchicalKL
from dvae_methods.iwae import ImportanceWeighted
from dvae_methods.vq import Commitment, VectorQuantised


@hookimpl
def register_terms():
    return [Interpolations, CentreLoss, TotalCorrelation, ImportanceWeighted, Commitment]


@hookimpl
def register_posteriors():
    return [VectorQuantised]


@hookimpl
def register_kls():
    return [HierarchicalKL]


@hookimpl
def register_recipes():
    return sorted(Path(__file__).with_name("recipes").glob("*.toml"))
