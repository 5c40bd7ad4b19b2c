"""A dvae plugin: a schedule that falls in steps, and a data set of drawn staircases."""

from dvae_core import hookimpl

from dvae_staircase.dataset import Staircases
from dvae_staircase.schedule import Staircase


@hookimpl
def register_schedules():
    return [Staircase]


@hookimpl
def register_datasets():
    return [Staircases]
