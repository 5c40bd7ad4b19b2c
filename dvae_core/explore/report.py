"""What a report says below the page: curves, figures, recipe, provenance, as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from dvae_core.explore.curves import Curve, chart
from dvae_core.explore.sections import anchors, cards, drawing, links, table, value
from dvae_core.files import small_text
from dvae_core.run_folder import RunFolder

ABOUT = (
    "name", "title", "status", "started", "seed", "device", "threads", "deterministic_algorithms",
    "train_images", "test_images", "image_shape", "processor", "platform", "python", "git_commit",
)  # fmt: skip
"""Of run.json, what the table of provenance shows besides versions and components."""

BALANCE = {
    "beta": "KL against reconstruction (beta), each a sum",
    "beta_norm": "the same for means over dimensions and over pixels (beta_norm)",
    "no_bound": "There is no bound on the likelihood",
}


def report(run: RunFolder, epoch: int) -> str:
    """The sections of a report up to an epoch, each with an anchor, as HTML."""
    sections = {
        "Curves": _curves(run.metrics(), epoch),
        "Figures": _figures(run, epoch),
        "Loss": _loss(run.info),
        "Recipe": _recipe(run),
        "Provenance": _provenance(run.info),
    }
    sections = {name: body for name, body in sections.items() if body}
    return (
        f'<div class="report">{links({"Latent space": "runs"} | anchors(sections))}\n'
        f"{cards(sections)}\n</div>"
    )


def _curves(rows: Sequence[dict[str, Any]], epoch: int) -> str:
    rows = [row for row in rows if row["epoch"] <= epoch]
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith(("train/", "test/")))
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
            last[match[2]] = (int(match[1]), file.read_bytes())
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
    return table(columns, rows) + betas


def _recipe(run: RunFolder) -> str:
    try:
        text = small_text(run.path / "recipe.toml")
    except (OSError, ValueError):
        return ""
    return f"<pre>{escape(text)}</pre>"


def _provenance(info: dict[str, Any]) -> str:
    facts = [[key, value(info[key])] for key in ABOUT if info.get(key) is not None]
    versions = [[name, value(version)] for name, version in info.get("versions", {}).items()]
    columns = ("kind", "name", "plugin", "distribution", "version")
    parts = [[value(row.get(key)) for key in columns] for row in info.get("components", ())]
    return (
        table(("run", ""), facts)
        + table(("version of", ""), versions)
        + table(("component", "name", "plugin", "distribution", "version"), parts)
    )
