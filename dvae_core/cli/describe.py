"""`dvae describe`: one component in full."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from dvae_core.cli.kinds import check_kind
from dvae_core.errors import RecipeError


def add_to(app: typer.Typer) -> None:
    app.command(
        "describe",
        epilog="Examples:\n\ndvae describe schedule sigmoid\n\ndvae describe dataset npz",
    )(describe)


def describe(
    kind: Annotated[str, typer.Argument(help="Such as schedule or dataset.")],
    name: Annotated[str, typer.Argument(help="The component's name in recipes.")],
) -> None:
    """Show a component: its help, its keys, who provides it, and a piece of recipe to paste."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dvae_core.plugin.keys import keys, snippet
    from dvae_core.plugin.registry import UnknownComponent, load_registry

    check_kind(kind)
    try:
        provider = load_registry().provider(kind, name)
    except UnknownComponent as error:
        raise RecipeError(str(error)) from None
    cls = provider.component
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{kind} {provider.name}", style="bold"))
    origin = f"plugin {provider.plugin}, {provider.distribution} {provider.version}"
    console.print(Text(f"from {origin}", style="dim"))
    console.print(Text(f"\n{inspect.cleandoc(cls.__doc__ or '')}\n"))
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in ("key", "type", "default", "what it is"):
        table.add_column(column, overflow="fold")
    rows = keys(cls)
    for key in rows:
        table.add_row(*map(Text, (key.name, key.type, key.default, " ".join(key.help.split()))))
    if rows:
        Console(highlight=False).print(table)
    else:
        console.print("It has no keys.")
    console.print(Text(f"\n{snippet(cls, name)}", style="green"))
