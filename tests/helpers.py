"""What several files of tests use: plugins to install, and what to ask of runs and sweeps."""

from __future__ import annotations

import importlib
from pathlib import Path

from dvae_core.plugin.kinds import Schedule
from dvae_core.plugin.registry import _load_registry, load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.sweep.plan import Plan
from dvae_core.sweep.sweep_file import load_sweep
from dvae_core.sweep.watch import SweepWatch

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "recipes"
SHIPPED = sorted(RECIPES.glob("*.toml"))
OLD_RUN = Path(__file__).parent / "fixtures" / "run-format-1"

# --- Plugins.

INLINE = """
from dvae_core import Launcher, hookimpl, run_job

class Inline(Launcher):
    "One run after the other, in this process."
    name = "inline"

    def launch(self, jobs):
        for job in jobs:
            run_job(job)
            yield

    def at_once(self, runs):
        return 1

@hookimpl
def register_launchers():
    return [Inline]
"""

HALVING = """
from dvae_core import Schedule, hookimpl

class Halving(Schedule):
    "Halves the weight every so often."

    name = "halving"
    start: float = 8.0
    every: float = 10.0

    def value(self, t):
        return self.start * 0.5 ** (t / self.every)

@hookimpl
def register_schedules():
    return [Halving]
"""


def forget_plugins():
    """Have installed packages looked for again."""
    importlib.invalidate_caches()
    _load_registry.cache_clear()


# --- Runs.


def short_recipe(path, *changes):
    """A shipped recipe that may end before its schedules do."""
    whole = load_recipe(path)
    tables = {"kl": whole.kl, "guidance": whole.guidance}
    tables |= {f"terms.{i}": term for i, term in enumerate(whole.terms)}
    unfinished = [
        f"{key}.weight.allow_unfinished=true"
        for key, table in tables.items()
        if table is not None and isinstance(table.weight, Schedule)
    ]
    # Borders by name leave a choice open.
    named = ['pairs=[["0", "8"], ["3", "5"]]'] if path.stem.startswith("borders") else []
    return load_recipe(path, [*changes, *named, *unfinished])


TIMES = ("seconds", "images_per_second")


def rows(run):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in run.metrics()]


def same_state(a, b):
    """Whether two checkpoints hold the same values, tensors bit for bit."""
    import torch

    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def state(run):
    return run.load_checkpoint()[0]


class Heard(Watch):
    """Keeps what a run warns of."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


# --- Sweeps.

GRID = """\
recipe = "small.toml"
seeds = 2
goal = "highest test/knn_accuracy forced"

[grid]
"kl.name" = ["square", "abs"]

[launcher]
name = "inline"
"""


class SweepHeard(SweepWatch):
    """Keeps how a sweep's runs end, and what it warns of."""

    def __init__(self):
        self.ends, self.warnings = [], []

    def ended(self, name, status, detail, progress):
        self.ends.append((name, status))

    def warn(self, text):
        self.warnings.append(text)


def runs_in(folder):
    return sorted(file.parent.name for file in folder.glob("*/run.json"))


def plan_of(file, overrides=()):
    return Plan(load_sweep(file, load_registry()), overrides, load_registry())


# --- Pages.


def check_accessible(page):
    """Raises an AssertionError that names what axe-core finds amiss on a page of a browser."""
    from axe_playwright_python.sync_playwright import Axe

    found = [
        f"{violation['help']}: {node['target']} {node['failureSummary']}"
        for violation in Axe().run(page).response["violations"]
        for node in violation["nodes"]
    ]
    assert not found, "\n".join(found)
