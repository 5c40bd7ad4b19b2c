"""dvae: label-guided, disentangled VAE latent spaces, made of plugins.

What a plugin author needs, and what a notebook needs. Names are resolved on first use, so that
importing this package loads neither torch nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvae_core.borders.drawing import draw_regions as draw_regions
    from dvae_core.borders.walk import walk as walk
    from dvae_core.borders.walk_picture import draw_walk as draw_walk
    from dvae_core.comparison import compare_runs as compare_runs
    from dvae_core.components import KL as KL
    from dvae_core.components import Callback as Callback
    from dvae_core.components import Dataset as Dataset
    from dvae_core.components import Decoder as Decoder
    from dvae_core.components import Encoder as Encoder
    from dvae_core.components import Head as Head
    from dvae_core.components import Launcher as Launcher
    from dvae_core.components import Metric as Metric
    from dvae_core.components import Plot as Plot
    from dvae_core.components import RecipePath as RecipePath
    from dvae_core.components import Reconstruction as Reconstruction
    from dvae_core.components import Schedule as Schedule
    from dvae_core.components import Term as Term
    from dvae_core.errors import DataError as DataError
    from dvae_core.errors import DvaeError as DvaeError
    from dvae_core.errors import RecipeError as RecipeError
    from dvae_core.explore.page import explore_page as explore_page
    from dvae_core.hookspecs import hookimpl as hookimpl
    from dvae_core.labelled_images import LabelledImages as LabelledImages
    from dvae_core.labelled_images import class_number as class_number
    from dvae_core.labelled_images import short_name as short_name
    from dvae_core.loaded_run import load_run as load_run
    from dvae_core.recipe import load_recipe as load_recipe
    from dvae_core.run_folder import RunFolder as RunFolder
    from dvae_core.snapshot import Snapshot as Snapshot
    from dvae_core.sweep.driver import run_sweep as run_sweep
    from dvae_core.sweep.folder import SweepFolder as SweepFolder
    from dvae_core.sweep.jobs import Job as Job
    from dvae_core.sweep.jobs import keep_busy as keep_busy
    from dvae_core.sweep.jobs import run_job as run_job
    from dvae_core.train import resume_run as resume_run
    from dvae_core.train import run_recipe as run_recipe

_HOMES = {
    "borders.drawing": ("draw_regions",),
    "borders.walk": ("walk",),
    "borders.walk_picture": ("draw_walk",),
    "components": (
        "Encoder",
        "Decoder",
        "Reconstruction",
        "KL",
        "Head",
        "Term",
        "Schedule",
        "Dataset",
        "Metric",
        "Plot",
        "Callback",
        "Launcher",
        "RecipePath",
    ),
    "comparison": ("compare_runs",),
    "errors": ("DvaeError", "DataError", "RecipeError"),
    "explore.page": ("explore_page",),
    "hookspecs": ("hookimpl",),
    "labelled_images": ("LabelledImages", "class_number", "short_name"),
    "loaded_run": ("load_run",),
    "recipe": ("load_recipe",),
    "run_folder": ("RunFolder",),
    "snapshot": ("Snapshot",),
    "sweep.driver": ("run_sweep",),
    "sweep.folder": ("SweepFolder",),
    "sweep.jobs": ("Job", "keep_busy", "run_job"),
    "train": ("run_recipe", "resume_run"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dvae-core")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
