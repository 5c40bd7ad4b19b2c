"""A run as it is shown to others: its recipe, figures and weights, and a card that tells of them.

<folder>/
  README.md              the model card
  recipe.toml, run.json, metrics.jsonl
  weights.safetensors    of one epoch: tensors and no code
  figures/               those of that epoch
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvae_core.errors import RunFolderError
from dvae_core.files import read_inside, small_text
from dvae_core.runs.card import card
from dvae_core.runs.checkpoints import WEIGHTS, Epoch
from dvae_core.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED = ("README.md", "recipe.toml", "run.json", "metrics.jsonl", WEIGHTS, "figures/*.png")
PRIVATE = frozenset({"memory"})
"""Of run.json, what callbacks keep for themselves, such as their names for the run."""


def publish(run: RunFolder, folder: Path, epoch: Epoch | None = None, *, address: str) -> str:
    """Write a run into an empty folder, as of one epoch.

    Args:
        epoch: which one; that of the newest good checkpoint if left out.
        address: where others will find it.

    Returns:
        What it is, in a few words.

    Raises:
        RunFolderError: the checkpoint cannot be had, or holds more than tensors.
    """
    state, _ = run.load_checkpoint(epoch)
    rows = [row for row in run.metrics() if row["epoch"] <= state["epoch"]]
    recipe = small_text(run.recipe_file, run.path)
    info = {key: value for key, value in run.info.items() if key not in PRIVATE}
    (folder / WEIGHTS).write_bytes(_weights(run, state))
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(info, indent=2) + "\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "figures").mkdir()
    figures = run.figures(state["epoch"]).values()
    for figure in figures:
        (folder / "figures" / figure.name).write_bytes(read_inside(figure, run.path))
    text = card(info, rows, recipe, [f.name for f in figures], state["epoch"], address)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return f"{run.name}, epoch {state['epoch']}"


def _weights(run: RunFolder, state: dict[str, Any]) -> bytes:
    from safetensors.torch import save
    from torch import Tensor

    tensors: dict[str, Tensor] = {}
    for part in ("model", "objective"):
        for name, value in state.get(part, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{part}.{name}"] = value.detach().clone().contiguous()
            elif part == "model" or name.startswith("kl."):  # the rest is for training alone
                raise RunFolderError(
                    f"{run.path}: the {part}'s {name} is a {type(value).__name__}, and what is "
                    "shown to others holds tensors alone"
                )
    return save(tensors, metadata={"format": "pt", "epoch": str(state["epoch"])})
