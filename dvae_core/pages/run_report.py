"""All of a run as one page: its latent space to explore, curves, figures, recipe, provenance."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from dvae_core.files import read_inside, small_text
from dvae_core.latent.loaded_run import LoadedRun
from dvae_core.pages.curves import Curve, chart
from dvae_core.pages.explore.content import Explored
from dvae_core.pages.explore.page import page
from dvae_core.pages.notebook import Page
from dvae_core.pages.sections import (
    anchors,
    cards,
    drawing,
    links,
    listing,
    provenance,
    table,
    value,
)
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.rows import SPLITS
from dvae_core.runs.watch import Watch

ABOUT = (
    "name", "title", "status", "started", "seed", "device", "threads", "deterministic_algorithms",
    "train_images", "validation_images", "test_images", "image_shape", "processor", "platform",
    "python", "git_commit",
)  # fmt: skip
"""Of run.json, what the table of provenance shows besides versions and components."""

BALANCE = {
    "beta": "KL against reconstruction (beta), each a sum",
    "beta_norm": "the same for means over dimensions and over pixels (beta_norm)",
    "no_bound": "There is no bound on the likelihood",
    "bound_on": "Reconstruction and KL at weight 1 give a bound on",
}


def run_report(run: LoadedRun, watch: Watch | None = None) -> Page:
    """The HTML of a page that says all of a run: its latent space, and what its folder holds.

    Args:
        run: what `load_run` gave.
        watch: who is told what goes on.

    Raises:
        DataError: the data cannot be had, or has no labels.
    """
    content = Explored(run, (), watch or Watch()).content()
    return page([content], sections_of(run.folder, run.epoch))


def sections_of(run: RunFolder, epoch: int) -> str:
    """The sections below the latent space, up to an epoch, each with an anchor."""
    sections = {
        "Curves": _curves(run.metrics(), epoch),
        "Figures": _figures(run, epoch),
        "Loss": _loss(run.info),
        "Recipe": _recipe(run),
        "Provenance": provenance([run.info], ABOUT),
    }
    sections = {name: body for name, body in sections.items() if body}
    return (
        f'<div class="report">{links({"Latent space": "runs"} | anchors(sections))}\n'
        f"{cards(sections)}\n</div>"
    )


def _curves(rows: Sequence[dict[str, Any]], epoch: int) -> str:
    rows = [row for row in rows if row["epoch"] <= epoch]
    parts = ("train/", *SPLITS)
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith(parts))
    names: dict[str, list[str]] = {}
    for key in keys:
        names.setdefault(key.partition("/")[2], []).append(key)
    charts = []
    for name, own in names.items():
        curves = [Curve.of(key.partition("/")[0], rows, key) for key in own]
        curves = [curve for curve in curves if curve.values]
        if any(len(set(curve.values)) > 1 for curve in curves) or not name.endswith("_weight"):
            charts.append(chart(name.replace("_", " "), curves))
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _figures(run: RunFolder, epoch: int) -> str:
    last: dict[str, tuple[int, bytes]] = {}
    for file in sorted((run.path / "figures").glob("epoch-*.png")):
        match = re.fullmatch(r"epoch-(\d+)-(.+)", file.stem)
        if match and int(match[1]) <= epoch:
            with contextlib.suppress(OSError):  # no picture of the run's, whatever it is
                last[match[2]] = (int(match[1]), read_inside(file, run.path))
    figures = [
        drawing(data, f"{name}, epoch {number}", f"{name} after epoch {number}")
        for name, (number, data) in last.items()
    ]
    return f'<div class="drawn">{"".join(figures)}</div>' if figures else ""


def _loss(info: dict[str, Any]) -> str:
    loss = info.get("loss") or {}
    columns = ("term", "component", "reduction", "unit", "weight")
    rows = [[value(term.get(key)) for key in columns] for term in loss.get("terms", ())]
    if not rows:
        return ""
    betas = "".join(
        f"<p>{said}: {escape(value(loss[name]))}</p>"
        for name, said in BALANCE.items()
        if loss.get(name)
    )
    return table("Terms of the loss", columns, rows) + betas


def _recipe(run: RunFolder) -> str:
    try:
        text = small_text(run.path / "recipe.toml")
    except (OSError, ValueError):
        return ""
    return listing("Recipe", text)
