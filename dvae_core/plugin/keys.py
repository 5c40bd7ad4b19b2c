"""What there is to say about a component: its keys, and a piece of recipe to paste."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from dvae_core.plugin.kinds import KINDS, Component
from dvae_core.plugin.places import LISTED, PLACES


@dataclass(frozen=True)
class Key:
    """A recipe key of a component."""

    name: str
    type: str
    """In words, with its range."""
    default: str
    """As TOML; "required" without one."""
    help: str


def field_help(model: type[BaseModel]) -> dict[str, str]:
    """The help of each field: its Field(description=...), or the string below it in the source.

    Read when asked for; pydantic's use_attribute_docstrings would read the source of every class
    at every start.
    """
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls is not BaseModel and issubclass(cls, BaseModel):
            found |= _strings_below(cls)
    described = {n: f.description for n, f in model.model_fields.items() if f.description}
    return {
        n: " ".join(t.split()) for n, t in (found | described).items() if n in model.model_fields
    }


def _strings_below(cls: type) -> dict[str, str]:
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, SyntaxError, TypeError):
        return {}  # made at run time: there is no source
    return {
        item.target.id: after.value.value
        for item, after in pairwise(getattr(node, "body", []))
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema, with the help of its fields as their descriptions."""
    schema = model.model_json_schema()
    for name, text in field_help(model).items():
        schema["properties"][name].setdefault("description", text)
    return schema


def keys(cls: type[Component]) -> list[Key]:
    """The component's own keys, and the `weight` that the core gives to its kind."""
    # Its own keys first, then those that every component of the kind has.
    found = sorted(table_keys(cls), key=lambda key: key.name in KINDS[cls.kind].model_fields)
    if "weight" in cls.core_keys:
        found.append(Key("weight", "number or schedule", "1.0", "The weight of its term."))
    return found


def table_keys(model: type[BaseModel]) -> list[Key]:
    """The keys of a table, in the order of its fields."""
    schema = json_schema(model)
    required = schema.get("required", [])
    return [
        Key(
            name,
            _type(part, schema.get("$defs", {})),
            "required" if name in required else inline(part.get("default")),
            part.get("description", ""),
        )
        for name, part in schema.get("properties", {}).items()
    ]


def snippet(cls: type[Component], name: str | None = None) -> str:
    """A piece of recipe that uses the component.

    Args:
        name: how the recipe names it; "distribution:name" settles a clash.
    """
    named = {cls.name_key: name or cls.name, **example_table(cls)}
    if "weight" in cls.core_keys:
        named["weight"] = 1.0
    keys, listed = PLACES[cls.kind], cls.kind in LISTED
    if len(keys) == 2:  # within another table
        bare = cls.name_key == "name" and len(named) == 1
        item = inline(named["name"] if bare else named)
        return f"[{keys[0]}]\n{keys[1]} = {f'[{item}]' if listed else item}"
    lines = [f"{key} = {inline(value)}" for key, value in named.items()]
    return "\n".join([f"[[{keys[0]}]]" if listed else f"[{keys[0]}]", *lines])


def example_table(cls: type[Component]) -> dict[str, Any]:
    """The component's `example`, and a plausible value for each required key beside it."""
    missing = [k for k, f in cls.model_fields.items() if f.is_required() and k not in cls.example]
    if not missing:
        return dict(cls.example)
    schema = cls.model_json_schema()
    properties, defs = schema.get("properties", {}), schema.get("$defs", {})
    return {key: _plausible(properties[key], defs) for key in missing} | dict(cls.example)


def _plausible(part: dict[str, Any], defs: dict[str, Any]) -> Any:
    part = _resolved(part, defs)
    if "anyOf" in part:
        return _plausible(part["anyOf"][0], defs)
    if "enum" in part:
        return part["enum"][0]
    if "const" in part:
        return part["const"]
    kind = part.get("type")
    if kind in ("integer", "number"):
        low = part.get("minimum", part.get("exclusiveMinimum", -1))
        high = part.get("maximum", part.get("exclusiveMaximum", low + 2))
        value = 1 if low < 1 < high or high == 1 == part.get("maximum") else (low + high) / 2
        return int(value) if kind == "integer" else float(value)
    if kind == "array":
        items = part.get("prefixItems")
        if items is None:
            items = [part.get("items", {})] * max(part.get("minItems", 1), 1)
        return [_plausible(item, defs) for item in items]
    return {"boolean": True, "object": {}}.get(str(kind), "example")


def _type(part: dict[str, Any], defs: dict[str, Any]) -> str:
    part = _resolved(part, defs)
    if "anyOf" in part:
        return " or ".join(_type(p, defs) for p in part["anyOf"] if p.get("type") != "null")
    if "enum" in part:
        return "one of " + ", ".join(inline(value) for value in part["enum"])
    if "const" in part:
        return inline(part["const"])
    if part.get("type") == "array":
        return f"list of {_items(part, defs)}"
    return " ".join([_word(part), *_range(part)])


def _items(part: dict[str, Any], defs: dict[str, Any]) -> str:
    if "prefixItems" in part:
        kinds = [_type(item, defs) for item in part["prefixItems"]]
        return f"{len(kinds)}: {kinds[0]}" if len(set(kinds)) == 1 else f"({', '.join(kinds)})"
    return _type(part.get("items", {}), defs)


def _word(part: dict[str, Any]) -> str:
    if part.get("format") == "path":
        return "path"
    return str(part.get("type", "anything"))


def _range(part: dict[str, Any]) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {part[key]:g}" for key, sign in signs.items() if key in part]
    if bounds:
        yield ", ".join(bounds)


def _resolved(part: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    reference = part.get("$ref", "")
    return defs.get(reference.rsplit("/", 1)[-1], part) if reference else part


def inline(value: Any) -> str:
    """A value as TOML on one line; "none" for None, which TOML has not."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        pairs = (f"{toml_key(key)} = {inline(v)}" for key, v in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value, ensure_ascii=False)


def toml_key(key: Any) -> str:
    """A key as TOML, in quotes where it needs them."""
    text = str(key)
    return text if text.replace("_", "").replace("-", "").isalnum() else json.dumps(text)
