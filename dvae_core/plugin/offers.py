"""What a plugin offers beside components, each by a name: recipes and commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


class BadPlugin(Exception):
    """A plugin breaks the contract."""


@dataclass(frozen=True)
class Offer:
    """A recipe or a command, and who provides it."""

    kind: str
    """recipe or command."""
    name: str
    value: Any
    """The path of the recipe's file, or the command's typer app."""
    plugin: str
    distribution: str
    version: str


def offers(kind: str, given: Iterable[Any], origin: tuple[str, str, str]) -> Iterator[Offer]:
    """What an implementation of a hook gave, checked.

    Raises:
        BadPlugin: it is not what the hook asks for, or has a name twice.
    """
    names = set()
    for value in given:
        name = NAME_OF[kind](value)
        if name in names:
            raise BadPlugin(f'register_{kind}s gave two {kind}s with the name "{name}"')
        names.add(name)
        yield Offer(kind, name, value, *origin)


def _recipe(path: Any) -> str:
    if not isinstance(path, Path):
        raise BadPlugin(f"register_recipes gave {path!r}, which is no Path")
    if path.suffix != ".toml" or not path.is_file():
        raise BadPlugin(f"register_recipes: {path} is not a recipe's file")
    if not re.fullmatch(NAME, path.stem):
        raise BadPlugin(f'register_recipes: a recipe cannot be called "{path.stem}"')
    return path.stem


def _command(app: Any) -> str:
    import typer

    if not isinstance(app, typer.Typer):
        raise BadPlugin(f"register_commands gave {app!r}, which is no typer.Typer")
    name = app.info.name
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise BadPlugin('register_commands: an app needs a name, as in typer.Typer(name="judge")')
    typer.main.get_command(app)  # what it raises is raised now, not when someone asks for help
    return name


NAME_OF: dict[str, Callable[[Any], str]] = {"recipe": _recipe, "command": _command}
"""How each kind of offer is checked and named."""
