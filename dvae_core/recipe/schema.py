"""The JSON schema of recipes, made of every installed component, so that editors complete them."""

from __future__ import annotations

from typing import Any

from dvae_core.plugin.keys import json_schema
from dvae_core.plugin.kinds import KINDS
from dvae_core.plugin.registry import Provider, Registry
from dvae_core.recipe.defaults import NAMES
from dvae_core.recipe.recipe import TABLES, Recipe
from dvae_core.recipe.slots import KIND_MARK


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of the recipes that name installed components.

    A recipe that extends another may leave out what stands there: tables, and their names.
    """
    schema = _filled(json_schema(Recipe))
    for table in TABLES.values():
        schema["$defs"][table.__name__] = _filled(json_schema(table))
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "dvae recipe"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Another recipe, by path or name, which this one is laid over.",
    }
    required = [key for key in schema.pop("required") if key not in ("decoder", *NAMES)]
    complete = {
        "required": required,
        "properties": {key: {"required": ["name"]} for key in required},
    }
    schema["anyOf"] = [complete, {"required": ["extends"]}]
    for kind in (kind for kind in KINDS if kind != "launcher"):  # those are a sweep file's
        schema["$defs"][kind] = _kind_schema(registry.of_kind(kind), schema["$defs"])
    schema["$defs"]["weight"] = {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/schedule"}]}
    return schema


def _kind_schema(providers: list[Provider], defs: dict[str, Any]) -> dict[str, Any]:
    if not providers:
        return {"not": {}}
    name_key = providers[0].component.name_key
    choices: list[dict[str, Any]] = [_component_schema(p, defs) for p in providers]
    choices.append({"type": "object", "not": {"required": [name_key]}})
    choices.append({"enum": sorted({p.name for p in providers})})
    return {"anyOf": choices}


def _component_schema(provider: Provider, defs: dict[str, Any]) -> dict[str, Any]:
    cls = provider.component
    try:
        schema = json_schema(cls)
    except Exception:
        # Only Python can say what its keys are; the others' completion must not suffer.
        schema = {"type": "object"}
    defs |= schema.pop("$defs", {})
    names = [provider.name, f"{provider.distribution}:{provider.name}"]
    properties = {
        cls.name_key: {"enum": names, "description": cls.summary()},
        **schema.get("properties", {}),
    }
    if "weight" in cls.core_keys:
        properties["weight"] = {"$ref": "#/$defs/weight", "default": 1.0}
    schema |= {"title": f"{provider.kind} {provider.name}", "properties": properties}
    schema["required"] = [cls.name_key, *schema.get("required", [])]
    return schema


def _filled(value: Any) -> Any:
    """The same schema with a reference in place of each kind's mark."""
    if isinstance(value, dict):
        filled = {k: _filled(v) for k, v in value.items() if k != KIND_MARK}
        return filled | {"$ref": f"#/$defs/{value[KIND_MARK]}"} if KIND_MARK in value else filled
    return [_filled(v) for v in value] if isinstance(value, list) else value
