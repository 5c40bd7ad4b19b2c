"""The commands that plugins add to `dvae`. They are asked for only where no own one answers."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class WithPlugins(TyperGroup):
    """Our own commands, and those of plugins behind them.

    Contexts and commands are click's, or those of the copy of click that newer typers have.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return own + sorted({*_apps()} - {*own})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        app = _apps().get(cmd_name)
        return None if app is None else typer.main.get_command(app)


def _apps() -> dict[str, typer.Typer]:
    """Each app by its name, and by "distribution:name" where two have the same one."""
    from dvae_core.plugin.registry import load_registry

    commands = load_registry().offered("command")
    names = [command.name for command in commands]
    return {
        c.name if names.count(c.name) == 1 else f"{c.distribution}:{c.name}": c.value
        for c in commands
    }
