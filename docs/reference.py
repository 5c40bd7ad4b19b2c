"""Writes the reference of kinds and hooks in docs/plugins.md from the code.

python docs/reference.py
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import dvae_core
from dvae_core.plugin import given, hookspecs
from dvae_core.plugin.keys import field_help, table_keys
from dvae_core.plugin.kinds import KINDS, Component
from dvae_core.recipe.recipe import TABLES
from dvae_core.runs import comparison_table

PAGE = Path(__file__).with_name("plugins.md")
MARK = "<!-- reference -->\n"
PYTHONS = ("__iter__", "__next__", "__len__")
GIVEN = {
    "What metrics and plots are given: `Snapshot`": dvae_core.Snapshot,
    "What callbacks are given: `Run`": dvae_core.Run,
    "What callbacks are given of a sweep: `Sweep`": dvae_core.Sweep,
    "A sweep's `comparison`, which `compare_runs` gives: `Comparison`": dvae_core.Comparison,
    "What is in its `rows`: `Row`": comparison_table.Row,
    "What is in a row's `runs`: `Run`": comparison_table.Run,
    "What is in a row's `metrics`: `Estimate`": comparison_table.Estimate,
    "What terms are built on: `Model`": dvae_core.Model,
    "What terms are called with: `Outputs`": dvae_core.Outputs,
    "What launchers are given: `Jobs`": dvae_core.Jobs,
    "What is in them: `Job`": dvae_core.Job,
    "What data sets give: `LabelledImages`": dvae_core.LabelledImages,
}
"""What stands in the page; the rest of a run's folder, say, is the core's own."""


def reference() -> str:
    """The part of the page below the mark."""
    return "\n".join([*_kinds(), *_tables(), *_classes(), *_hooks()])


def _kinds() -> Iterator[str]:
    yield "## The kinds\n"
    yield (
        "Shapes: B images in a batch, C channels, H x W pixels, D latent dimensions, F features, "
        "K classes.\n"
    )
    for kind, base in KINDS.items():
        yield f"### {kind}: `dvae_core.{base.__name__}`\n"
        yield f"{inspect.cleandoc(base.__doc__ or '')}\n"
        yield f"Registered by `register_{kind}s`.\n"
        for name, attribute in base.__annotations__.items():
            if "ClassVar" in str(attribute) and name not in Component.__annotations__:
                default = getattr(base, name)
                yield f"- class attribute `{name} = {default!r}`"
        for name, field in base.model_fields.items():
            yield f"- key `{name}`, default `{field.default!r}`: {field_help(base)[name]}"
        for name, method in vars(base).items():
            if not name.startswith("_") and getattr(method, "__module__", "") == base.__module__:
                duty = "" if getattr(method, "__isabstractmethod__", False) else " (optional)"
                if isinstance(method, classmethod):
                    method, duty = method.__func__, " (optional, a class method)"
                yield f"- `{name}{_signature(method)}`{duty}\n"
                yield _indented(method)


def _tables() -> Iterator[str]:
    """The keys that are the core's own."""
    yield "## The core's tables\n"
    for name, table in TABLES.items():
        yield f"### `[{name}]`\n"
        yield f"{inspect.cleandoc(table.__doc__ or '')}\n"
        for key in table_keys(table):
            yield f"- key `{key.name}`, {key.type}, default `{key.default}`: {key.help}"
        yield ""


def _classes() -> Iterator[str]:
    """What components are handed, and what data sets hand over."""
    for title, cls in GIVEN.items():
        yield f"## {title}\n"
        yield f"{inspect.cleandoc(cls.__doc__ or '')}\n"
        yield from _attributes(cls)
        for name, member in vars(cls).items():
            function = getattr(member, "func", getattr(member, "fget", member))
            told = inspect.isfunction(function) and function.__doc__
            if (name.startswith("_") and name not in PYTHONS) or not told:
                continue
            shown = f"{name}{_signature(member)}" if function is member else name
            yield f"- `{shown}`\n"
            yield _indented(function)

    yield "## A row of metrics.jsonl: `Row`\n"
    yield f"{_below(given, 'Row')}\n"


def _attributes(cls: type) -> Iterator[str]:
    """Attributes with a string below them, in the class or in __init__."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for item, after in pairwise(body if isinstance(body, list) else []):
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if told and isinstance(item, ast.Assign | ast.AnnAssign):
                target = item.targets[0] if isinstance(item, ast.Assign) else item.target
                yield f"- `{ast.unparse(target).removeprefix('self.')}`: {after.value.value}\n"


def _below(module: ModuleType, name: str) -> str:
    """The string below a name of a module."""
    body = ast.parse(inspect.getsource(module)).body
    for item, after in pairwise(body):
        if isinstance(item, ast.AnnAssign) and ast.unparse(item.target) == name:
            assert isinstance(after, ast.Expr)
            return inspect.cleandoc(ast.literal_eval(after.value))
    raise AssertionError(name)


def _signature(function: Callable[..., object]) -> str:
    """As written, without the quotes that postponed annotations have, and without self or cls."""
    text = str(inspect.signature(function)).replace("'", "")
    return re.sub(r"\((self|cls)(, )?", "(", text, count=1)


def _indented(function: Callable[..., object]) -> str:
    text = inspect.cleandoc(function.__doc__ or "")
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines()) + "\n"


def _hooks() -> Iterator[str]:
    yield "## The hooks\n"
    yield f"{inspect.cleandoc(hookspecs.__doc__ or '')}\n"
    for name, hook in vars(hookspecs).items():
        if hasattr(hook, "dvae_spec"):
            text = " ".join(inspect.cleandoc(hook.__doc__ or "").split())
            yield f"- `{name}{_signature(hook)}` – {text}"
    yield ""
    yield "## What `dvae_core` offers\n"
    yield ", ".join(f"`{name}`" for name in sorted(dvae_core.__all__)) + ".\n"


if __name__ == "__main__":
    written = PAGE.read_text(encoding="utf-8").split(MARK)[0]
    PAGE.write_text(written + MARK + "\n" + reference(), encoding="utf-8")
    print(PAGE)
