"""`dvae list-plugins`: every component, who provides it, and what is broken."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import completing, streams
from dvae_core.cli.kinds import check_kind

if TYPE_CHECKING:
    from dvae_core.plugin.registry import Registry

EXAMPLES = (
    "dvae list-plugins",
    "dvae list-plugins --kind schedule",
    "dvae list-plugins --json",
)


def list_plugins(
    kind: Annotated[
        str | None, typer.Option(help="Only this kind.", autocompletion=completing.kinds)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show every component that recipes can name, what else plugins add, and broken plugins."""
    from dvae_core.plugin.registry import load_registry

    if kind is not None:
        check_kind(kind, "--kind: ")
    rows = _rows(load_registry(), kind)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)


def _rows(registry: Registry, kind: str | None) -> list[dict[str, Any]]:
    from dvae_core.plugin.kinds import KINDS
    from dvae_core.plugin.registry import SLOW

    rows = []
    for k in KINDS if kind is None else [kind]:
        providers = registry.of_kind(k)
        for p in providers:
            status, error = "ok", None
            if p.seconds > SLOW:
                status, error = "slow", f"took {p.seconds:.1f} s to load"
            if sum(other.name == p.name for other in providers) > 1:
                status, error = "clash", f'name it "{p.distribution}:{p.name}"'
            rows.append(
                {
                    "kind": p.kind,
                    "name": p.name,
                    "summary": p.component.summary(),
                    "plugin": p.plugin,
                    "distribution": p.distribution,
                    "version": p.version,
                    "status": status,
                    "error": error,
                }
            )
    for offer in registry.offers if kind is None else ():
        rows.append(
            {
                "kind": offer.kind,
                "name": offer.name,
                "summary": str(offer.value) if offer.kind == "recipe" else None,
                "plugin": offer.plugin,
                "distribution": offer.distribution,
                "version": offer.version,
                "status": "ok",
                "error": None,
            }
        )
    for b in registry.broken:
        rows.append(
            {
                "kind": None,
                "name": None,
                "summary": None,
                "plugin": b.plugin,
                "distribution": b.distribution,
                "version": b.version,
                "status": "broken",
                "error": b.error,
            }
        )
    return rows


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("kind", no_wrap=True, style="cyan")
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    table.add_column("plugin")
    table.add_column("from")
    before = None
    for row in rows:
        origin = f"{row['distribution']} {row['version']}"
        first = row["kind"] or "broken"
        if before not in (None, first):
            table.add_row()
        help_text = Text(row["summary"] or "")
        if row["error"]:
            help_text.append(f" [{row['error']}]" if row["summary"] else row["error"], style="red")
        # Text, because square brackets in a plugin's words are no markup.
        cells = [Text("" if first == before else first, style="red" if first == "broken" else "")]
        cells += [Text(row["name"] or ""), help_text, Text(row["plugin"]), Text(origin)]
        table.add_row(*cells)
        before = first
    width = None if sys.stdout.isatty() else streams.UNWRAPPED
    PlainConsole(width=width, highlight=False).print(table)
