"""What holds for every kind: help, keys, schema, and a quick import."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys

from pydantic import ValidationError

from dvae_core.plugin.keys import field_help
from dvae_core.plugin.kinds import (
    Component,
)
from dvae_core.testing.checks.register import check, must
from dvae_core.testing.outcomes import Failure, NotChecked, Note

HEAVY = ("torch", "torchvision", "wandb", "matplotlib")


@check("any")
def has_docstring(component: Component) -> None:
    summary = type(component).summary()
    must(summary, "the class has no docstring, which is its help")
    must(summary[-1] in ".!?", f'the docstring\'s first line is no sentence: "{summary}"')


@check("any")
def keys_have_descriptions(component: Component) -> None:
    base = {f for b in type(component).__mro__[1:] for f in getattr(b, "model_fields", {})}
    told = field_help(type(component))
    bare = [name for name in type(component).model_fields if name not in told and name not in base]
    if bare:
        raise Note(f"no docstring below the field {', '.join(bare)}, which would be its help")


@check("any")
def is_frozen(component: Component) -> None:
    must(type(component).model_config.get("frozen"), "model_config turns frozen off")
    must(
        type(component).model_config.get("extra") == "forbid",
        "model_config lets unknown recipe keys pass",
    )


@check("any")
def has_json_schema(component: Component) -> None:
    try:
        json.dumps(type(component).model_json_schema())
    except Exception as error:
        raise Failure(f"no JSON schema can be made of its fields: {error}") from error


@check("any")
def survives_a_recipe(component: Component) -> None:
    table = component.model_dump(mode="json")
    name = table.pop(type(component).name_key)
    must(name == component.name, f"its table is named {name!r}")
    table = {k: v for k, v in table.items() if v is not None}
    try:
        again = type(component).from_table(table)
    except ValidationError as error:
        raise Failure(f"the table it gives does not make it again: {error.errors()}") from error
    must(again == component, "the table it gives makes another component")


@check("any")
def can_be_pickled(component: Component) -> None:
    try:
        again = pickle.loads(pickle.dumps(component))
    except Exception as error:
        raise Failure(f"cannot be pickled: {error}") from error
    must(again == component, "comes back from pickle as another component")


@check("any")
def imports_quickly(component: Component) -> None:
    found = _heavy_imports(type(component).__module__)
    must(
        not found,
        f"importing {type(component).__module__} loads {', '.join(found)}; "
        "import them inside the methods",
    )


@functools.cache
def _heavy_imports(module: str) -> tuple[str, ...]:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import {module}; "
        f"print(*[h for h in {HEAVY!r} if h in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if result.returncode:
        raise NotChecked(f"{module} cannot be imported by itself")
    lines = result.stdout.splitlines()
    return tuple(lines[-1].split()) if lines else ()
