"""`dvae recipes`: what can be run by name."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from dvae_core.cli.streams import UNWRAPPED

EXAMPLES = ("dvae recipes", "dvae recipes --json")


def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the recipes and sweeps that come with dvae and with plugins."""
    from rich.table import Table
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole
    from dvae_core.cli.sweep_progress import duration
    from dvae_core.recipe.shelf import shelf

    rows = shelf()
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("kind", style="cyan")
    table.add_column("name", no_wrap=True)
    table.add_column("title")
    table.add_column("needs")
    if ran := any(row.seconds is not None for row in rows):
        table.add_column("took here", no_wrap=True)
    for row in rows:
        said = Text(row.error, style="red") if row.error else Text(row.title)
        took = [] if not ran else [duration(row.seconds) if row.seconds is not None else ""]
        table.add_row(row.kind, Text(row.name), said, Text(", ".join(row.needs)), *took)
    width = None if sys.stdout.isatty() else UNWRAPPED
    PlainConsole(width=width, highlight=False).print(table)
