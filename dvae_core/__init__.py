"""dvae: label-guided VAE latent spaces, made of plugins.

What a plugin author needs, and what a notebook needs. Names are resolved on first use, so that
importing this package loads neither torch nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dvae_core import moved

if TYPE_CHECKING:
    from dvae_core.errors import DataError as DataError
    from dvae_core.errors import DvaeError as DvaeError
    from dvae_core.errors import RecipeError as RecipeError
    from dvae_core.latent.borders.drawing import draw_regions as draw_regions
    from dvae_core.latent.loaded_run import load_run as load_run
    from dvae_core.latent.morph import morph as morph
    from dvae_core.latent.morph_picture import draw_morph as draw_morph
    from dvae_core.latent.snapshot import Snapshot as Snapshot
    from dvae_core.pages.explore.page import explore_page as explore_page
    from dvae_core.pages.run_report import run_report as run_report
    from dvae_core.pages.sweep_report import sweep_report as sweep_report
    from dvae_core.plugin.given import Job as Job
    from dvae_core.plugin.given import Jobs as Jobs
    from dvae_core.plugin.given import Model as Model
    from dvae_core.plugin.given import Outputs as Outputs
    from dvae_core.plugin.given import Run as Run
    from dvae_core.plugin.given import Sweep as Sweep
    from dvae_core.plugin.hookspecs import hookimpl as hookimpl
    from dvae_core.plugin.kinds import KL as KL
    from dvae_core.plugin.kinds import Callback as Callback
    from dvae_core.plugin.kinds import Dataset as Dataset
    from dvae_core.plugin.kinds import Decoder as Decoder
    from dvae_core.plugin.kinds import Encoder as Encoder
    from dvae_core.plugin.kinds import Head as Head
    from dvae_core.plugin.kinds import Launcher as Launcher
    from dvae_core.plugin.kinds import Metric as Metric
    from dvae_core.plugin.kinds import Plot as Plot
    from dvae_core.plugin.kinds import RecipePath as RecipePath
    from dvae_core.plugin.kinds import Reconstruction as Reconstruction
    from dvae_core.plugin.kinds import Schedule as Schedule
    from dvae_core.plugin.kinds import Term as Term
    from dvae_core.plugin.labelled_images import LabelledImages as LabelledImages
    from dvae_core.plugin.labelled_images import class_number as class_number
    from dvae_core.plugin.labelled_images import short_name as short_name
    from dvae_core.recipe.recipe import load_recipe as load_recipe
    from dvae_core.runs.comparison import compare_runs as compare_runs
    from dvae_core.runs.comparison_table import Comparison as Comparison
    from dvae_core.runs.folder import RunFolder as RunFolder
    from dvae_core.runs.sweep_folder import SweepFolder as SweepFolder
    from dvae_core.stopping import request_stop as request_stop
    from dvae_core.sweep.driver import run_sweep as run_sweep
    from dvae_core.sweep.jobs import keep_busy as keep_busy
    from dvae_core.sweep.jobs import run_job as run_job
    from dvae_core.training.run import resume_run as resume_run
    from dvae_core.training.run import run_recipe as run_recipe

_HOMES = {
    "errors": "DvaeError DataError RecipeError",
    "latent.borders.drawing": "draw_regions",
    "latent.loaded_run": "load_run",
    "latent.morph": "morph",
    "latent.morph_picture": "draw_morph",
    "latent.snapshot": "Snapshot",
    "pages.explore.page": "explore_page",
    "pages.run_report": "run_report",
    "pages.sweep_report": "sweep_report",
    "plugin.given": "Job Jobs Model Outputs Run Sweep",
    "plugin.hookspecs": "hookimpl",
    "plugin.kinds": "Encoder Decoder Reconstruction KL Head Term Schedule Dataset Metric Plot "
    "Callback Launcher RecipePath",
    "plugin.labelled_images": "LabelledImages class_number short_name",
    "recipe.recipe": "load_recipe",
    "runs.comparison": "compare_runs",
    "runs.comparison_table": "Comparison",
    "runs.folder": "RunFolder",
    "runs.sweep_folder": "SweepFolder",
    "stopping": "request_stop",
    "sweep.driver": "run_sweep",
    "sweep.jobs": "keep_busy run_job",
    "training.run": "run_recipe resume_run",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dvae-core")
    if name in moved.NAMES:
        return moved.name(name)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
