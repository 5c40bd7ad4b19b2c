"""The model card of a run that is shown to others, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dvae_core.errors import printable
from dvae_core.runs.rows import SPLITS

HEAD = "---\nlibrary_name: dvae\ntags:\n- vae\n- latent-space\n---\n"
"""What the hub files it under."""
FACTS = (
    "started", "seed", "device", "train_images", "validation_images", "test_images", "data",
    "deterministic_algorithms", "processor", "platform", "python", "git_commit",
)  # fmt: skip
"""Of run.json, what is said beside the versions."""


def card(
    info: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    recipe: str,
    figures: Sequence[str],
    epoch: int,
    address: str,
) -> str:
    """The card of a run as of an epoch.

    All that a run says, such as the names of classes, is written so that it stays text.

    Args:
        info: of run.json.
        rows: of metrics.jsonl, up to the epoch.
        recipe: the text of recipe.toml.
        figures: the names of the files in figures/.
        address: where others find it, such as hf://user/name.
    """
    parts = _about(info, epoch), _use(info, address), _measured(rows, figures), _recipe(recipe)
    return "\n".join([HEAD, *(line for part in parts for line in part), *_provenance(info)])


def _about(info: dict[str, Any], epoch: int) -> Iterator[str]:
    names = list(map(str, info["classes"]))
    classes = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    shape = "x".join(map(str, info["image_shape"]))
    yield f"# {_text(info.get('title') or info['name'])}\n"
    yield (
        f"A variational autoencoder of images of {_text(shape)} (channels, height, width), whose "
        f"latent space labels may have guided. Classes: {_text(classes)}. It is the run "
        f"{_text(info['name'])} after epoch {epoch}, made with dvae.\n"
    )


def _use(info: dict[str, Any], address: str) -> Iterator[str]:
    wanted = ["dvae-core[hub]", *(f"{n}=={v}" for n, v in info.get("plugins", {}).items())]
    install = " ".join(f'"{name}"' for name in wanted)
    yield "## Look at it\n"
    yield f"```sh\npip install {_line(install)}\ndvae explore {address}\n```\n"
    yield (
        f'```python\nfrom dvae_core import load_run\n\nrun = load_run("{address}")\n'
        "mean, log_var = run.encode(images)  # [N, C, H, W], uint8 or float in [0, 1]\n```\n"
    )
    yield f"`dvae run {address}` trains it anew.\n"


def _measured(rows: Sequence[dict[str, Any]], figures: Sequence[str]) -> Iterator[str]:
    last = rows[-1] if rows else {}
    shown = {
        key: f"{value:.4g}"
        for key, value in last.items()
        if key.startswith(SPLITS) and isinstance(value, int | float)
    }
    if shown or figures:
        yield "## Figures\n"
    if shown:
        yield from _table(("figure", f"epoch {last['epoch']}"), shown.items())
    for name in figures:
        yield f"![{_text(name)}](figures/{name})\n"


def _recipe(recipe: str) -> Iterator[str]:
    # A fence is longer than all in what it holds.
    longest = max(map(len, re.findall("`+", recipe)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"## Recipe\n\n{fence}toml\n{recipe.rstrip()}\n{fence}\n"


def _provenance(info: dict[str, Any]) -> Iterator[str]:
    facts = {key: info[key] for key in FACTS if info.get(key) is not None}
    yield "## Where it comes from\n"
    yield from _table(
        ("", ""), {**facts, **info.get("versions", {}), **info.get("plugins", {})}.items()
    )


def _table(head: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |\n|---|---|"
    for key, value in rows:
        yield f"| {_text(key)} | {_text(value)} |"
    yield ""


def _line(value: Any) -> str:
    return " ".join(printable(str(value)).split())[:300]


def _text(value: Any) -> str:
    """Anything as a line of Markdown that says nothing but itself."""
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", _line(value))
