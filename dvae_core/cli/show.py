"""`dvae show`: a recipe in full, where each value comes from, and the weights over the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli.recipe_file import RecipeFile
from dvae_core.cli.run import Overrides

if TYPE_CHECKING:
    from dvae_core.recipe.recipe import Recipe

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 60
UNKNOWN = "?"


EXAMPLES = (
    "dvae show recipes/mnist_abs.toml",
    "dvae show recipes/mnist_abs.toml --set kl.name=square",
    "dvae show mnist_abs --json",
)


def show(
    recipe: RecipeFile,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the resolved recipe as TOML, each value with its origin, and draw its weights."""
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole
    from dvae_core.recipe.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    if as_json:
        _print_json(loaded)
        return
    lines = list(_table_lines(loaded, loaded.to_table(), ()))
    width = max(len(text) for text, origin in lines if origin)
    console = PlainConsole(highlight=False, soft_wrap=True)
    for text, origin in lines:
        line = Text(text, style="bold" if text.startswith("[") else "")
        if origin:
            line.pad_right(width - len(text) + 2)
            line.append(f"# {origin}", style="dim")
        console.print(line)
    for text in (*loss_lines(loaded), *weight_lines(loaded)):
        console.print(Text(text), soft_wrap=True)


def _print_json(recipe: Recipe) -> None:
    from dvae_core.recipe.balance import balance

    table = recipe.to_table()
    loss = balance(recipe, recipe.train_images, recipe.dataset.image_shape())
    found = {"recipe": table, "origins": dict(_origins(recipe, table, ())), "loss": asdict(loss)}
    print(json.dumps(found, indent=2, default=str))  # a date is no JSON


def _origins(recipe: Recipe, table: Any, at: tuple) -> Iterator[tuple[str, str]]:
    """The origin of each value, by its place."""
    items = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in items:
        nested = isinstance(value, dict) or (
            value and isinstance(value, list) and isinstance(value[0], dict)
        )
        if nested:
            yield from _origins(recipe, value, (*at, key))
        else:
            yield ".".join(map(str, (*at, key))), recipe.origin((*at, key))


def _table_lines(recipe: Recipe, table: dict[str, Any], at: tuple) -> Iterator[tuple[str, str]]:
    """Lines of TOML, each with the origin of its value."""
    from dvae_core.plugin.keys import inline, toml_key

    tables = {k: v for k, v in table.items() if isinstance(v, dict)}
    lists = {k: v for k, v in table.items() if v and isinstance(v, list) and isinstance(v[0], dict)}
    for key, value in table.items():
        if key not in tables and key not in lists:
            yield f"{toml_key(key)} = {inline(value)}", recipe.origin((*at, key))
    for key, value in tables.items():
        yield "", ""
        yield f"[{'.'.join(toml_key(k) for k in (*at, key))}]", ""
        yield from _table_lines(recipe, value, (*at, key))
    for key, items in lists.items():
        for index, item in enumerate(items):
            yield "", ""
            yield f"[[{'.'.join(toml_key(k) for k in (*at, key))}]]", ""
            yield from _table_lines(recipe, item, (*at, key, index))


def loss_lines(recipe: Recipe) -> Iterator[str]:
    """What the terms of the loss weigh, as TOML comments."""
    from dvae_core.recipe.balance import balance

    size, shape = recipe.train_images, recipe.dataset.image_shape()
    loss = balance(recipe, size, shape)
    rows = [("term", "component", "reduction", "unit", "weight")]
    rows += [(t.term, t.component, t.reduction, t.unit, _span(t.weight)) for t in loss.terms]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield ""
    yield "# The loss is the sum of its terms, each times its weight:"
    for row in rows:
        yield "# " + "  ".join(map(str.ljust, row, widths)).rstrip()
    beta, beta_norm = _span(loss.beta), _span(loss.beta_norm)
    width = max(len(beta), len(beta_norm))
    yield f"# beta       {beta:{width}}  KL against reconstruction, each a sum, as here"
    yield f"# beta_norm  {beta_norm:{width}}  the same for means over dimensions and over pixels"
    if size is None or shape is None:
        yield f"# {UNKNOWN} shows once the data is loaded, and then in run.json."
    if loss.no_bound:
        yield f"# There is no bound on the likelihood: {loss.no_bound}."
    else:
        yield f"# Reconstruction and KL at weight 1 give a bound on {loss.bound_on}."


def _span(span: tuple[float, float] | None) -> str:
    if span is None:
        return UNKNOWN
    start, end = (f"{value:.4g}" for value in span)
    return start if start == end else f"{start} → {end}"


def weight_lines(recipe: Recipe) -> Iterator[str]:
    """What is scheduled of weights and learning rate, each a line over the run, as comments."""
    from dvae_core.plugin.kinds import Schedule

    values_of = recipe.weights | {"lr": recipe.optimizer.lr}
    scheduled = {n: w for n, w in values_of.items() if isinstance(w, Schedule)}
    if not scheduled:
        return
    size = recipe.train_images
    yield ""
    if size is None:
        yield "# How long the run is shows once the data is loaded; the plot `weights` draws them."
        return
    timeline = recipe.timeline(size)
    yield f"# Weights over the run's {timeline.total:,} steps:"
    name_width = max(map(len, scheduled))
    for name, weight in scheduled.items():
        last = timeline.total - 1
        values = [timeline.value(weight, round(i * last / (COLUMNS - 1))) for i in range(COLUMNS)]
        low, high = min(values), max(values)
        scale = (len(BARS) - 1) / (high - low) if high > low else 0
        bars = "".join(BARS[round((v - low) * scale)] for v in values)
        yield f"# {name:{name_width}}  {values[0]:8.4g} {bars} {values[-1]:.4g}"
