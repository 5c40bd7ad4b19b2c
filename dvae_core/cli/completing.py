"""What the shell offers when a word is completed. Loads no torch, and reads no more than names."""

from __future__ import annotations

from pathlib import Path

import typer


def runs(incomplete: str) -> list[str]:
    """Run folders, and folders that may lead to them."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    try:
        folders = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    except OSError:
        return []
    found = [str(p) if (p / "run.json").exists() else f"{p}/" for p in folders]
    return [text for text in found if text.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Kinds of component."""
    from dvae_core.plugin.kinds import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def kinds_and_tables(incomplete: str) -> list[str]:
    """Those, and the core's own tables of a recipe."""
    from dvae_core.recipe.recipe import TABLES

    return [*kinds(incomplete), *(table for table in TABLES if table.startswith(incomplete))]


def components(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Components of the kind that stands before, with what they are."""
    return _of_kind(str(context.params.get("kind")), incomplete)


def metrics(incomplete: str) -> list[tuple[str, str]]:
    """Metrics by name."""
    return _of_kind("metric", incomplete)


def _of_kind(kind: str, incomplete: str) -> list[tuple[str, str]]:
    from dvae_core.plugin.registry import load_registry

    found = {p.name: p.component.summary() for p in load_registry().of_kind(kind)}
    return [(name, text) for name, text in found.items() if name.startswith(incomplete)]
