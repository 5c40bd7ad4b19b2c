"""The recipe that a run follows, read again with the plugins that are installed now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvae_core.errors import RecipeError, RunFolderError
from dvae_core.files import is_inside
from dvae_core.plugin.given import Run
from dvae_core.plugin.places import LISTED, remove
from dvae_core.plugin.registry import Registry
from dvae_core.recipe.recipe import BUILT_IN_TERMS, Recipe, build_recipe, load_recipe
from dvae_core.recipe.source import read_source
from dvae_core.runs.provenance import provides, what_to_install


def file_of(run: Run) -> Path:
    """recipe.toml.

    Raises:
        RunFolderError: it leads out of the folder.
    """
    file = run.path / "recipe.toml"
    if not is_inside(file, run.path):
        raise RunFolderError(f"{file}: leads out of the run's folder")
    return file


def own_recipe(run: Run, registry: Registry, overrides: Sequence[str] = ()) -> Recipe:
    """With changes laid over it.

    Raises:
        RecipeError: a component's plugin is missing, with what to install; or as load_recipe.
    """
    _check_installed(run, _missing(run, registry), registry)
    try:
        return load_recipe(file_of(run), overrides, registry)
    except RecipeError as error:  # a plugin's other version may know other keys
        raise RecipeError([*error.problems, *version_warnings(run, registry)]) from error


def own_recipe_to_look(run: Run, registry: Registry) -> tuple[Recipe, list[str]]:
    """Without what is not installed and not needed to look.

    Metrics, plots, callbacks and terms are left out; a schedule becomes the last weight.

    Returns:
        The recipe, and a line about what was left out, if anything was.

    Raises:
        RecipeError: as `own_recipe`, for what is needed even to look.
    """
    missing = _missing(run, registry)
    needed = [row for row in missing if row["kind"] not in (*LISTED, "schedule")]
    _check_installed(run, needed, registry)
    source = read_source(file_of(run))
    for row in missing:
        if row["kind"] == "schedule":
            _fix_weights(source.table, row["name"], (run.metrics() or [{}])[-1])
        else:
            remove(source.table, row["kind"], row["name"])
    left_out = ", ".join(f'{r["kind"]} "{r["name"]}" of {r["distribution"]}' for r in missing)
    warnings = [f"{run.path}: looked at without what is not installed: {left_out}"]
    return build_recipe(source, "recipe", registry), warnings if missing else []


def version_warnings(run: Run, registry: Registry) -> list[str]:
    """A line for each plugin of the run that is installed in another version now."""
    changed = {}
    for row in run.info["components"]:
        now = {p.version for p in provides(registry, row)}
        if now and row["version"] not in now:
            changed[row["distribution"]] = (row["version"], " or ".join(sorted(now)))
    return [
        f"{run.path}: the run used {name} {was}, and {now} is installed"
        for name, (was, now) in changed.items()
    ]


def _missing(run: Run, registry: Registry) -> list[dict[str, str]]:
    return [row for row in run.info["components"] if not provides(registry, row)]


def _check_installed(run: Run, missing: Sequence[dict[str, str]], registry: Registry) -> None:
    if missing:
        raise RecipeError([what_to_install(run.path, row, registry) for row in missing])


def _fix_weights(table: dict[str, Any], schedule: str, last: dict[str, Any]) -> None:
    """Put the last epoch's weights in the place of a schedule."""
    lr = table.get("optimizer", {}).get("lr")
    if isinstance(lr, dict) and lr.get("schedule") == schedule:
        table["optimizer"]["lr"] = last.get("train/lr", 1e-3)
    terms = {name: table[name] for name in BUILT_IN_TERMS if name in table}
    terms |= {term["name"]: term for term in table.get("terms", ())}
    for name, term in terms.items():
        weight = term.get("weight")
        if isinstance(weight, dict) and weight.get("schedule") == schedule:
            term["weight"] = last.get(f"train/{name}_weight", 1.0)
