"""`dvae check-plugin`: does a plugin keep the contract?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvae_core.errors import DvaeError, RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from dvae_core.testing import Outcome

STYLES = {"passed": "green", "note": "cyan", "failed": "red", "not checked": "yellow"}

EXAMPLES = (
    "dvae check-plugin dvae-staircase",
    "dvae check-plugin my_package.schedules",
)


def check_plugin(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE_OR_DISTRIBUTION",
            help="An installed distribution or plugin, or a module that can be imported from here.",
        ),
    ],
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List passed checks too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, with every check.")
    ] = False,
) -> None:
    """Run the conformance checks on every component that a plugin registers."""
    from dvae_core.plugin.registry import Registry

    points = _points(target)
    registry = Registry(points)
    if registry.broken:
        reasons = [f"{b.plugin}: broken: {b.error}" for b in registry.broken]
        raise DvaeError("\n".join(reasons))
    recipes = [offer.value for offer in registry.offered("recipe")]
    if not registry.providers and not recipes and not as_json:
        listens = any(c.get_hookimpls() for c in registry.manager.hook.__dict__.values())
        word = "listens to runs and " if listens else ""
        print(f"{target} {word}registers no components: nothing to check")
        return

    from rich.text import Text

    from dvae_core.cli.console import PlainConsole
    from dvae_core.testing import check

    console = PlainConsole(highlight=False, soft_wrap=True, quiet=as_json)
    found = []
    for provider in registry.providers:
        print(f"checking {provider.kind} {provider.name}", file=sys.stderr)
        outcomes = check(provider.component)
        found.append((provider, outcomes))
        _tell(console, f"{provider.kind} {provider.name}", outcomes, verbose)
    problems = {file.stem: _problem(file, points) for file in recipes}
    for name, problem in problems.items():
        console.print(Text(f"recipe {name}: {problem or 'can be read'}", style="bold"))
    statuses = [outcome.status for _, outcomes in found for outcome in outcomes]
    statuses += ["failed" if problem else "passed" for problem in problems.values()]
    counts = {status: statuses.count(status) for status in STYLES}
    console.print(", ".join(f"{n} {status}" for status, n in counts.items() if n))
    if as_json:
        components = [
            {"kind": p.kind, "name": p.name, "checks": [asdict(outcome) for outcome in outcomes]}
            for p, outcomes in found
        ]
        print(json.dumps({"plugin": target, "components": components, "recipes": problems}))
    if counts["failed"]:
        raise typer.Exit(1)


def _tell(console: Console, component: str, outcomes: Sequence[Outcome], verbose: bool) -> None:
    from rich.text import Text

    failed = sum(outcome.status == "failed" for outcome in outcomes)
    many = f"{failed} of {len(outcomes)} checks failed" if failed else f"{len(outcomes)} checks"
    console.print(Text(f"{component}: {many}", style="bold"))
    for outcome in outcomes:
        if verbose or outcome.status != "passed":
            line = Text(f"  {outcome.status:<12}", style=STYLES[outcome.status])
            line.append(f"{outcome.check.replace('_', ' ')}", style="default")
            line.append(f": {outcome.reason}" if outcome.reason else "", style="default")
            console.print(line)


def _problem(recipe: Path, points: list[EntryPoint]) -> str | None:
    """What is wrong with a plugin's recipe or sweep, which may use any installed component."""
    from dvae_core.plugin.registry import GROUP, Registry
    from dvae_core.recipe.recipe import load_recipe
    from dvae_core.recipe.source import read_source
    from dvae_core.sweep.sweep_file import load_sweep

    registry = Registry({*entry_points(group=GROUP), *points})
    try:
        if "recipe" in read_source(recipe).table:
            recipe = load_sweep(recipe, registry).recipe
        load_recipe(recipe, registry=registry)
    except RecipeError as error:
        return str(error)
    return None


def _points(target: str) -> list[EntryPoint]:
    """The entry points of an installed distribution or plugin, or one made for a module."""
    from importlib.util import find_spec

    from dvae_core.plugin.registry import GROUP

    installed = entry_points(group=GROUP)
    wanted = target.replace("_", "-").lower()
    for label in ("distribution", "plugin"):
        points = [
            p
            for p in installed
            if wanted
            == ((p.dist.name if p.dist else "") if label == "distribution" else p.name)
            .replace("_", "-")
            .lower()
        ]
        if points:
            return points
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = find_spec(target)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise RecipeError(
            f"{target}: neither an installed plugin or distribution, nor a module that can be "
            "imported from here"
        )
    return [EntryPoint(name=target, value=target, group=GROUP)]
