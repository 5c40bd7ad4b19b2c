"""The command `dvae`: one file a verb. Data goes to stdout, talk and progress to stderr."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dvae_core.cli import (
    check_plugin,
    compare,
    copy,
    decode,
    describe,
    doctor,
    encode,
    evaluate,
    explore,
    export,
    list_plugins,
    morph,
    new_plugin,
    plan,
    push,
    recipes,
    report,
    run,
    sample,
    schema,
    show,
    streams,
    sweep,
    validate,
)
from dvae_core.cli.plugin_commands import WithPlugins
from dvae_core.errors import DvaeError, printable, reason, text_of
from dvae_core.training.ranks.torchrun import Process

app = typer.Typer(
    name="dvae",
    cls=WithPlugins,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:\n\ndvae run quick\n\ndvae list-plugins --kind schedule",
)
for module in (
    run, sweep, recipes, copy, list_plugins, describe, validate, show, plan, schema, evaluate,
    compare, morph, explore, encode, decode, sample, report, export, push, new_plugin, check_plugin,
    doctor,
):  # fmt: skip
    # A verb is a module with a function of its name, and the examples that end its help.
    verb = module.__name__.rpartition(".")[2]
    epilog = "\n\n".join(["Examples:", *module.EXAMPLES])
    app.command(verb.replace("_", "-"), epilog=epilog)(getattr(module, verb))

ANYWHERE = ("--debug", "--no-plugins")
"""Options of `dvae` itself that may also stand after the verb."""


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    no_plugins: Annotated[
        bool,
        typer.Option(
            "--no-plugins",
            help="Use built-in components only. DVAE_PLUGINS=a,b chooses plugins by name.",
        ),
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Label-guided VAE latent spaces, made of plugins."""


def main() -> None:
    """Run the command, and turn every error into a message and an exit code."""
    streams.prepare()
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(version("dvae-core"))
        return
    first = [a for a in arguments if a in ANYWHERE]
    arguments = [*first, *(a for a in arguments if a not in ANYWHERE)]
    if "--no-plugins" in first:  # before plugins are asked for their commands
        os.environ["DVAE_PLUGINS"] = ""
    try:
        try:
            app(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        streams.leave_unread()
    except Exception as error:
        if "--debug" in first:
            raise
        rank = Process.here().rank
        who = f"rank {rank}: " if rank else ""
        if isinstance(error, DvaeError):
            if text_of(error):
                print(f"{who}{printable(text_of(error))}", file=sys.stderr)
            sys.exit(error.exit_code)
        said = printable(reason(error))
        print(f"{who}dvae failed: {said} (--debug shows where)", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
