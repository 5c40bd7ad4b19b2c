"""What a run was made with: versions, components and their distributions, machine, commit."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from dvae_core.errors import RunFolderError
from dvae_core.plugin.kinds import Component
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.plugin.registry import DISTRIBUTION, Provider, Registry
from dvae_core.recipe.recipe import Recipe

TIME = "%Y-%m-%dT%H:%M:%S%z"
"""How a time is written."""
FORMAT = 1
"""Of the run folder; a later program reads it or refuses it in words."""
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "matplotlib", "wandb")


NUMERICS = ("threads", "deterministic_algorithms", "tf32", "cudnn_benchmark")
"""What of an environment is chosen, and not installed."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Component(_Strict):
    kind: str
    name: str
    plugin: str
    distribution: str
    version: str


class _Loss(_Strict):
    terms: list[dict[str, Any]] = []


class _Plugin(_Strict):
    version: str
    source: str


class _Stopped(_Strict):
    reason: str
    restore_best: bool = False
    epoch: int = 0
    of: int = 0


class _Environment(_Strict):
    threads: int | None = None
    deterministic_algorithms: bool | None = None
    tf32: bool | None = None
    cudnn_benchmark: bool | None = None
    processor: str | None = None
    platform: str | None = None
    python: str | None = None
    versions: dict[str, str | None] = {}
    plugins: dict[str, _Plugin] = {}


class _Info(_Environment):
    """What this program reads of run.json; the rest is for people."""

    components: list[_Component]
    image_shape: list[PositiveInt] = Field(min_length=3, max_length=3)
    classes: list[str]
    memory: dict[str, Any] = {}
    name: str | None = None
    title: str | None = None
    status: str | None = None
    error: str | None = None
    started: str | None = None
    seed: int | None = None
    device: str | None = None
    data: str | None = None
    train_images: PositiveInt | None = None
    test_images: PositiveInt | None = None
    git_commit: str | None = None
    loss: _Loss | None = None
    stopped: _Stopped | None = None
    resumed: list[_Environment] = []


def check_info(path: Path, info: Any) -> None:
    """Raise RunFolderError where a run.json is of another format, or is not what was written."""
    if not isinstance(info, dict) or "format" not in info:
        raise RunFolderError(f"{path}: not a run folder: run.json says something else")
    if info["format"] != FORMAT:
        versions = info.get("versions")
        made_by = versions.get(DISTRIBUTION) if isinstance(versions, dict) else "unknown"
        raise RunFolderError(
            f"{path}: run format {info['format']!r}, and this version reads {FORMAT}; "
            f"it was made by {DISTRIBUTION} {made_by}"
        )
    try:
        _Info.model_validate(info)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise RunFolderError(f"{path}: damaged: run.json: {key}: {first['msg']}") from None


def provenance(
    name: str, recipe: Recipe, registry: Registry, data: LabelledImages
) -> dict[str, Any]:
    """What run.json says when a run starts. Beside the recipe, only these can change the bits."""
    held = data.validation_images
    validation = {} if held is None else {"validation_images": len(held)}
    return {
        "format": FORMAT,
        "name": name,
        "title": recipe.title,
        "status": "running",
        "told": 0,
        "started": time.strftime(TIME),
        "seed": recipe.seed,
        "image_shape": list(data.image_shape),
        "classes": list(data.classes),
        "train_images": len(data.train_images),
        "test_images": len(data.test_images),
        **validation,
        **environment(recipe, registry),
        "components": _components(recipe, registry),
        "git_commit": _git_commit(),
    }


def environment(recipe: Recipe, registry: Registry) -> dict[str, Any]:
    """What a run of the recipe is trained on and with, here and now."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "processor": platform.processor() or platform.machine(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in (DISTRIBUTION, *LIBRARIES)},
        "plugins": plugins(recipe, registry),
    }


def plugins(recipe: Recipe, registry: Registry) -> dict[str, dict[str, str]]:
    """Version and source, as a hash, of each distribution but our own that a recipe uses."""
    found: dict[str, dict[str, str]] = {}
    roots: dict[str, set[str]] = {}
    for component in recipe.components:
        provider = _provider(component, registry)
        if provider.distribution != DISTRIBUTION:
            found[provider.distribution] = {"version": provider.version}
            root = type(component).__module__.partition(".")[0]
            roots.setdefault(provider.distribution, set()).add(root)
    for name, own in roots.items():
        found[name]["source"] = _source_hash(own)
    return found


def _source_hash(modules: Iterable[str]) -> str:
    """SHA-256 of the Python files of some modules and packages, shortened."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        file = Path(getattr(sys.modules.get(name), "__file__", None) or "")
        inner = file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
        for source in sorted(inner):
            if source.is_file():
                digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two environments and can change the bits, a few words each."""
    found = [
        f"{name} {before[name]} before, {now[name]} now"
        for name in (*NUMERICS, "processor", "python")
        if name in before and before[name] != now[name]
    ]
    had = before.get("plugins") or {}
    for name, plugin in now.get("plugins", {}).items():
        was = had.get(name, plugin)
        if was["version"] == plugin["version"] and was["source"] != plugin["source"]:
            found.append(f"another source of {name} {plugin['version']}")
    old, new = before.get("versions") or {}, now["versions"]
    found += [f"{n} {old[n]} before, {new[n]} now" for n in new if n in old and old[n] != new[n]]
    return found


def _components(recipe: Recipe, registry: Registry) -> list[dict[str, str]]:
    rows = []
    for component in recipe.components:
        provider = _provider(component, registry)
        row = {
            "kind": component.kind,
            "name": component.name,
            "plugin": provider.plugin,
            "distribution": provider.distribution,
            "version": provider.version,
        }
        if row not in rows:
            rows.append(row)
    return rows


def _provider(component: Component, registry: Registry) -> Provider:
    return next(p for p in registry.providers if p.component is type(component))


def provides(registry: Registry, row: dict[str, str]) -> list[Provider]:
    """Who provides a component that a run names, from the same distribution."""
    return [
        p
        for p in registry.of_kind(row["kind"])
        if (p.name, p.distribution) == (row["name"], row["distribution"])
    ]


def what_to_install(path: Path, row: dict[str, str], registry: Registry) -> str:
    name, was = row["distribution"], row["version"]
    text = f'{path}: the run uses {row["kind"]} "{row["name"]}" of {name} {was}, '
    for broken in registry.broken:
        if broken.distribution == name:
            return f"{text}which is broken here: {broken.error}"
    try:
        now = version(name)
    except PackageNotFoundError:
        return f"{text}which is not installed: pip install {name}=={was}"
    return f"{text}which {name} {now} does not provide: pip install {name}=={was}"


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, if there is one."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the working directory, if it is in a git checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
