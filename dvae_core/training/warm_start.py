"""Starts a model with the weights of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dvae_core.errors import RecipeError
from dvae_core.model.guided_vae import read_old_names
from dvae_core.runs.folder import RunFolder


def start_from(model: nn.Module, path: Path) -> dict[str, Any]:
    """Give a model the newest weights of a run: those of its layers whose names and shapes agree.

    What KLs, reconstructions and terms have learned stays behind: it belongs to their recipe.

    Args:
        path: the run's folder.

    Returns:
        What run.json says of it: the run, its epoch and data, and the names of the weights that
        were `taken` from it and of those that were `not_taken`.

    Raises:
        RunFolderError: there is no such run, or it has no checkpoint.
        RecipeError: nothing agrees.
    """
    run = RunFolder.open(path)
    state, _ = run.load_checkpoint()
    given = dict(state["model"])
    read_old_names(model, given, "")
    own = model.state_dict()
    # A layer's weights go together.
    other = {_layer(name) for name, value in own.items() if not _agrees(given.get(name), value)}
    taken = [name for name in own if _layer(name) not in other]
    if not taken:
        raise RecipeError(f"train.start_from: no weights of {path} fit this model")
    model.load_state_dict({name: given[name] for name in taken}, strict=False)
    return {
        "run": str(run.path),
        "epoch": state["epoch"],
        "data": run.info.get("data"),
        "taken": taken,
        "not_taken": [name for name in own if name not in taken],
    }


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _agrees(given: Any, own: torch.Tensor) -> bool:
    return isinstance(given, torch.Tensor) and given.shape == own.shape and given.dtype == own.dtype


def told(facts: dict[str, Any]) -> str:
    """What `start_from` did, in a line."""
    parts = dict.fromkeys(name.partition(".")[0] for name in facts["taken"])
    text = f"starts from {facts['run']}, epoch {facts['epoch']}: {', '.join(parts)}"
    return f"{text}; not {', '.join(facts['not_taken'])}" if facts["not_taken"] else text
