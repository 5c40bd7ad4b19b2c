"""`dvae doctor`: what a bug report needs, in one paste."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dvae_core.plugin.registry import Registry

EXAMPLES = ("dvae doctor", "dvae doctor --full", "dvae doctor --json")

OPTIONAL = (
    "onnx", "optuna", "pandas", "pyarrow", "ray", "safetensors", "submitit", "tensorboard",
)  # fmt: skip
"""Packages that extras bring, by distribution."""

Facts = dict[str, str]


def doctor(
    full: Annotated[
        bool, typer.Option("--full", help="Load torch, and look at devices and precision.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what dvae runs on and with, and which plugins are broken; exit code 1 if any is."""
    from dvae_core.plugin.registry import load_registry

    registry = load_registry()
    found = {
        "versions": _versions(),
        "machine": _machine(),
        "folders": _folders(),
        "loggers": _loggers(),
        "plugins": _plugins(registry),
        **dict(_told_by_plugins(registry)),
    }
    if full:
        found["torch"] = _torch()
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    if registry.broken:
        raise typer.Exit(1)


def _versions() -> Facts:
    from dvae_core.plugin.registry import DISTRIBUTION
    from dvae_core.runs.provenance import LIBRARIES, version_of

    names = (DISTRIBUTION, *LIBRARIES, "pluggy", "pydantic", "rich", "typer")
    told = {name: version_of(name) or "not installed" for name in names}
    extras = {name: version_of(name) or "not installed (optional)" for name in OPTIONAL}
    return {"python": platform.python_version(), **told, **extras}


def _machine() -> Facts:
    chosen = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
              if name in os.environ}  # fmt: skip
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()),
        **chosen,
    }


def _folders() -> Facts:
    from dvae_core.files import cache_folder

    cache = cache_folder()
    kept = sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []
    return {
        "here": _space(Path.cwd()),
        "cache": _space(cache),
        "in the cache": ", ".join(kept) or "nothing yet",
    }


def _space(folder: Path) -> str:
    from dvae_core.files import nearest_folder

    there = nearest_folder(folder)
    free = shutil.disk_usage(there).free / 1e9
    writable = "" if os.access(there, os.W_OK) else ", not writable"
    return f"{folder}, {free:,.1f} GB free{writable}"


def _loggers() -> Facts:
    key = "WANDB_API_KEY" in os.environ
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        key = key or "wandb" in (Path.home() / ".netrc").read_text()
    return {
        "W&B mode": os.environ.get("WANDB_MODE", "online"),
        "W&B key": "there" if key else "none: runs are logged to disk alone",
    }


def _plugins(registry: Registry) -> Facts:
    counts: dict[str, int] = {}
    for provider in registry.providers:
        name = f"{provider.distribution} {provider.version}"
        counts[name] = counts.get(name, 0) + 1
    broken = {f"{b.distribution} {b.version}": f"broken: {b.error}" for b in registry.broken}
    return {name: f"{count} components" for name, count in counts.items()} | broken


def _told_by_plugins(registry: Registry) -> Iterator[tuple[str, Facts]]:
    """What plugins say of themselves, by distribution."""
    from dvae_core.errors import text_of

    for told in registry.manager.hook.doctor_facts.get_hookimpls():
        plugin = registry.manager.get_name(told.plugin) or told.plugin_name
        try:
            given: Any = told.function()
            facts = {str(name): str(value) for name, value in dict(given).items()}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's; it costs itself alone
            facts = {"doctor_facts": f"failed: {text_of(error)}"}
        yield plugin, facts


def _torch() -> Facts:
    import torch

    from dvae_core.model.device import device_of

    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "built for": f"CUDA {torch.version.cuda}" if torch.version.cuda else "processors alone",
        "device of train.device = auto": str(device_of("auto")),
        "GPUs": ", ".join(gpus) or "none",
        "threads": str(torch.get_num_threads()),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        **({"bfloat16 on the GPU": str(torch.cuda.is_bf16_supported())} if gpus else {}),
    }


def _print(found: dict[str, Facts]) -> None:
    from dvae_core.errors import printable

    wide = max(len(name) for facts in found.values() for name in facts)
    for title, facts in found.items():
        print(printable(title))
        for name, value in facts.items():
            print(printable(f"  {name:<{wide}}  {value}"))
