"""`dvae describe`: one component in full."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import completing
from dvae_core.cli.kinds import check_kind
from dvae_core.errors import RecipeError

if TYPE_CHECKING:
    from dvae_core.plugin.keys import Key
    from dvae_core.plugin.registry import Provider


EXAMPLES = (
    "dvae describe schedule sigmoid",
    "dvae describe dataset npz",
    "dvae describe train",
    "dvae describe metric borders --json",
)


def describe(
    kind: Annotated[
        str,
        typer.Argument(
            help="Such as schedule or dataset; or train, a table.",
            autocompletion=completing.kinds_and_tables,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            help="The component's name in recipes; none for a table.",
            autocompletion=completing.components,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a component: its help, its keys, who provides it, and a piece of recipe to paste.

    Without a name: the keys of the table latent, optimizer, train or evaluate.
    """
    from dvae_core.plugin.keys import keys, snippet, table_keys
    from dvae_core.recipe.recipe import TABLES

    if kind in TABLES:
        if name is not None:
            raise RecipeError(f"{kind} is a table: dvae describe {kind} shows all of it")
        table = TABLES[kind]
        rows = table_keys(table)
        if as_json:
            _print_json(kind, None, table.__doc__, rows)
        else:
            _print(f"[{kind}]", "a table of the core", table.__doc__, rows)
        return
    from dvae_core.plugin.registry import UnknownComponent, load_registry

    check_kind(kind, known=TABLES)
    if name is None:
        names = ", ".join(sorted({p.name for p in load_registry().of_kind(kind)}))
        raise RecipeError(f"dvae describe {kind} needs a name: {names}")
    try:
        provider = load_registry().provider(kind, name)
    except UnknownComponent as error:
        raise RecipeError(str(error)) from None
    cls = provider.component
    paste = snippet(cls, name)
    explains, better = getattr(cls, "explains", {}), getattr(cls, "directions", {})
    if as_json:
        figures = [
            {"name": figure, "better": better.get(figure), "help": text}
            for figure, text in explains.items()
        ]
        _print_json(kind, provider, cls.__doc__, keys(cls), paste, figures)
        return
    origin = f"from plugin {provider.plugin}, {provider.distribution} {provider.version}"
    _print(f"{kind} {provider.name}", origin, cls.__doc__, keys(cls), paste)
    if explains:
        _print_figures(explains, better)


def _print_json(
    kind: str,
    provider: Provider | None,
    text: str | None,
    rows: list[Key],
    paste: str | None = None,
    figures: Sequence[Any] = (),
) -> None:
    origin = ("name", "plugin", "distribution", "version")
    found = {
        "kind": kind,
        **{name: getattr(provider, name, None) for name in origin},
        "help": inspect.cleandoc(text or ""),
        "keys": [asdict(key) for key in rows],
        "recipe": paste,
        "figures": list(figures),
    }
    print(json.dumps(found, indent=2))


def _print(title: str, origin: str, text: str | None, rows: list[Key], paste: str = "") -> None:
    from rich.table import Table
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole

    console = PlainConsole(highlight=False, soft_wrap=True)
    console.print(Text(title, style="bold"))
    console.print(Text(origin, style="dim"))
    console.print(Text(f"\n{inspect.cleandoc(text or '')}\n"))
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in ("key", "type", "default", "what it is"):
        table.add_column(column, overflow="fold")
    for key in rows:
        table.add_row(*map(Text, (key.name, key.type, key.default, " ".join(key.help.split()))))
    if rows:
        PlainConsole(highlight=False).print(table)
    else:
        console.print("It has no keys.")
    if paste:
        console.print(Text(f"\n{paste}", style="green"))


def _print_figures(explains: Mapping[str, str], directions: Mapping[str, str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in ("figure", "better", "what it means"):
        table.add_column(column, overflow="fold")
    for name, text in explains.items():
        table.add_row(Text(name), directions.get(name, ""), Text(text))
    PlainConsole(highlight=False).print("", table)
