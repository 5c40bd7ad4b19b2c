"""A hook of mkdocs: pages that are made of the README, the notebook and the code."""

from __future__ import annotations

import inspect
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ("tour", "own_data", "own_plugin", "naming_borders")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand in no file of docs/."""
    from mkdocs.structure.files import File

    for path, made in PAGES.items():
        files.append(File.generated(config, path, content=made()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files that are in the repository and not on the site become their names."""

    def link(found: re.Match[str]) -> str:
        text, to = found[1], found[2]
        if to.startswith("../docs/"):  # from a notebook
            return f"[{text}]({to.removeprefix('../docs/')})"
        return f"{text} (`{to.lstrip('./')}`)" if to.startswith("../") else found[0]

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\)", link, markdown)


def _notebook(name: str) -> str:
    """A notebook: its text, and its code to copy."""
    notebook = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    return "\n\n".join(parts) + "\n"


def _live() -> str:
    """A page to explore, of a run that is trained for it; or a word that it is left out."""
    if not os.environ.get("DVAE_SITE_LIVE"):
        return "<!doctype html><title>dvae</title><p>Left out; <code>make site</code> has it."
    from dvae_core import explore_page, load_recipe, load_run, run_recipe

    digits = 'dataset={name="sklearn", which="digits", validation_fraction=0.1}'
    changes = [digits, "train.epochs=100", "evaluate.every=10"]
    pairs = 'pairs=[["0", "8"], ["3", "5"], ["4", "9"], ["1", "7"]]'
    recipe = load_recipe(ROOT / "recipes" / "borders.toml", [pairs, *changes])
    with tempfile.TemporaryDirectory() as folder:
        return explore_page(load_run(run_recipe(recipe, folder).path))


def _from_root(name: str) -> str:
    """A page of the repository's root, whose links start there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    text = re.sub(r"\]\(examples/(\w+).ipynb\)", r"](\1.md)", text)
    return re.sub(r"\]\((?=(?:examples/|recipes/|LICENSE|CONTRIBUTING|SECURITY))", "](../", text)


def _commands() -> str:
    """Every verb with its arguments, options and examples."""
    import typer

    from dvae_core.cli import app

    group: Any = typer.main.get_command(app)
    return "\n".join(["# Commands\n", *(_command(group.commands[n]) for n in group.commands)])


def _command(command: Any) -> str:
    lines = [f"## dvae {command.name}\n", f"{inspect.cleandoc(command.help or '')}\n"]
    rows = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
        else:
            name = ", ".join(parameter.opts)
            name += f" {parameter.metavar}" if parameter.metavar else ""
        text = " ".join((getattr(parameter, "help", None) or "").split())
        rows.append(f"| `{name}` | {_cell(text)} |")
    if rows:
        lines += ["| argument, option | |", "|---|---|", *rows, ""]
    examples = (command.epilog or "").split("\n\n")[1:]
    if examples:
        lines += ["```sh", *examples, "```", ""]
    return "\n".join(lines)


def _components() -> str:
    """Every built-in component and table: what it is, and its keys."""
    from dvae_core.plugin.keys import table_keys
    from dvae_core.plugin.registry import load_registry
    from dvae_core.recipe.recipe import TABLES

    own = [p for p in load_registry().providers if p.distribution == "dvae-core"]
    lines = ["# Components and their keys\n", "`dvae describe KIND NAME` says the same.\n"]
    lines.append("## The core's own tables\n")
    for name, table in TABLES.items():
        lines += [f"### `[{name}]`\n", f"{inspect.cleandoc(table.__doc__ or '')}\n"]
        lines += _keys(table_keys(table))
    for kind in dict.fromkeys(provider.kind for provider in own):
        lines.append(f"## {kind}\n")
        for provider in sorted((p for p in own if p.kind == kind), key=lambda p: p.name):
            lines += _component(provider.component)
    return "\n".join(lines)


def _component(component: Any) -> Iterator[str]:
    from dvae_core.plugin.keys import keys

    yield f"### {component.kind} `{component.name}`\n"
    yield f"{inspect.cleandoc(component.__doc__ or '')}\n"
    yield from _keys(keys(component))


def _keys(keys: list[Any]) -> Iterator[str]:
    if keys:
        yield "| key | type | default | |\n|---|---|---|---|"
        for key in keys:
            cells = f"`{key.name}`", key.type, f"`{key.default}`", key.help
            yield f"| {' | '.join(map(_cell, cells))} |"
        yield ""


def _python() -> str:
    """Every name that `dvae_core` offers."""
    import dvae_core

    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": [], "Types": []}
    for name in sorted(dvae_core.__all__):
        value = getattr(dvae_core, name)
        if inspect.isclass(value):
            kinds["Errors" if issubclass(value, Exception) else "Classes"].append(name)
        else:
            kinds["Functions" if inspect.isroutine(value) else "Types"].append(name)
    lines = ["# Python\n", "All of it is imported from `dvae_core`.\n"]
    for kind, names in kinds.items():
        if names:
            lines.append(f"## {kind}\n")
        lines += [f"::: {_place(name)}\n" for name in names]
    return "\n".join(lines)


def _place(name: str) -> str:
    """Where a name of `dvae_core` is defined."""
    import dvae_core

    value = getattr(dvae_core, name)
    module = getattr(value, "__module__", None)
    at_home = module and module.startswith("dvae_core") and getattr(value, "__name__", "") == name
    return f"{module}.{name}" if at_home else f"dvae_core.{name}"


class Doctests(griffe.Extension):
    """Shows the examples in docstrings as code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"(?ms)^>>> .*?(?=\n\n|\Z)", "```pycon\n\\g<0>\n```", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "index.md": partial(_from_root, "README.md"),
    **{f"{name}.md": partial(_notebook, name) for name in NOTEBOOKS},
    "changes.md": partial(_from_root, "CHANGELOG.md"),
    "live.html": _live,
    "reference/commands.md": _commands,
    "reference/components.md": _components,
    "reference/python.md": _python,
}
"""What each page is made of."""
