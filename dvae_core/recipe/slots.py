"""Slots: recipe tables become the components that they name, and mistakes keep their place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from dvae_core.errors import did_you_mean
from dvae_core.plugin.kinds import Component, Schedule
from dvae_core.plugin.registry import Registry, UnknownComponent
from dvae_core.recipe.source import Place
from dvae_core.recipe.timeline import Weight

C = TypeVar("C", bound=Component)

KIND_MARK = "x-dvae-kind"
"""Stands in the JSON schema where a component of a kind goes; schema.py fills it in."""


@dataclass(frozen=True)
class Weighted(Generic[C]):
    """A component whose term enters the loss with a weight."""

    component: C
    weight: Weight


def slot(kind: str) -> Any:
    """Annotates a field that holds a component."""

    def validate(value: Any, info: ValidationInfo) -> Component:
        table = _named_table(kind, value)
        return _component(kind, table, info.context)

    return [
        PlainValidator(validate),
        PlainSerializer(lambda component: component.model_dump(mode="json")),
        WithJsonSchema({KIND_MARK: kind}),
    ]


def weighted_slot(kind: str) -> Any:
    """Annotates a field that holds a component with a weight of its own."""

    def validate(value: Any, info: ValidationInfo) -> Weighted[Any]:
        table = _named_table(kind, value)
        problems: list[tuple[Place, PydanticCustomError]] = []
        weight: Weight = 1.0
        try:
            weight = _weight(table.pop("weight", 1.0), info.context)
        except PydanticCustomError as error:
            problems.append((("weight",), error))
        except ValidationError as error:
            problems += [(("weight", *at), problem) for at, problem in explained(error)]
        try:
            component = _component(kind, table, info.context)
        except ValidationError as error:
            problems += explained(error)
        if problems:
            raise as_error(kind, problems)
        return Weighted(component, weight)

    def serialize(weighted: Weighted[Any]) -> dict[str, Any]:
        weight = weighted.weight
        plain = weight.model_dump(mode="json") if isinstance(weight, Schedule) else weight
        return {**weighted.component.model_dump(mode="json"), "weight": plain}

    return [
        PlainValidator(validate),
        PlainSerializer(serialize),
        WithJsonSchema({KIND_MARK: kind}),
    ]


def number_or_schedule() -> Any:
    """Annotates a field that holds a number, which is checked elsewhere, or a schedule."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        return _weight(value, info.context) if isinstance(value, dict) else value

    return [
        PlainValidator(validate),
        PlainSerializer(lambda v: v.model_dump(mode="json") if isinstance(v, Schedule) else v),
        WithJsonSchema({"anyOf": [{"type": "number"}, {KIND_MARK: "schedule"}]}),
    ]


def _from_list(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise value_problem(f"must be a list, not {_short(value)}")
    return tuple(value)


FROM_LIST = BeforeValidator(_from_list)


def _weight(value: Any, context: Any) -> Weight:
    if isinstance(value, dict):
        return _component("schedule", dict(value), context)  # type: ignore[return-value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise value_problem(f"must be a number or a table with a schedule, not {value!r}")
    if abs(value) > 1e30 or value != value:
        raise value_problem(f"must be a finite number, not {value!r}")
    return float(value)


def _named_table(kind: str, value: Any) -> dict[str, Any]:
    """The slot's table; a bare string is a table with nothing but the name."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict):
        raise value_problem(f"must be a table that names a {kind}, not {value!r}")
    return dict(value)


def _component(kind: str, table: dict[str, Any], context: Any) -> Component:
    registry: Registry = context["registry"]
    name_key = Schedule.name_key if kind == "schedule" else Component.name_key
    if name_key not in table:
        known = ", ".join(sorted({p.name for p in registry.of_kind(kind)}))
        text = f'missing key "{name_key}"; known {kind}s: {known}'
        raise key_problem(kind, (name_key,), text)
    name = table.pop(name_key)
    if not isinstance(name, str):
        raise key_problem(kind, (name_key,), f"{name_key} must be a string, not {name!r}")
    try:
        cls = registry.get(kind, name)
    except UnknownComponent as error:
        raise key_problem(kind, (name_key,), str(error)) from None
    try:
        return cls.from_table(table, asked_as=name if ":" in name else None, context=context)
    except ValidationError as error:
        raise explain(error, [*cls.model_fields, name_key, *cls.core_keys]) from None


# --- Errors: every line becomes one of ours, which keeps its place through every level. --------
#
# "value" is about the value at its place, and the key is put before the text; "key" names the key
# itself; "missing" has no text.


def value_problem(
    text: str, kind: Literal["value", "key", "missing"] = "value"
) -> PydanticCustomError:
    return PydanticCustomError(kind, "{text}", {"text": text})


def key_problem(title: str, at: Place, text: str) -> ValidationError:
    return as_error(title, [(at, value_problem(text, "key"))])


def as_error(title: str, problems: Sequence[tuple[Place, PydanticCustomError]]) -> ValidationError:
    lines = [InitErrorDetails(type=kind, loc=at, input=None) for at, kind in problems]
    return ValidationError.from_exception_data(title, lines)


def explained(error: ValidationError) -> list[tuple[Place, PydanticCustomError]]:
    """The problems of an error that has been explained already."""
    return [(d["loc"], value_problem(d["msg"], d["type"])) for d in error.errors()]  # type: ignore[arg-type]


def explain(error: ValidationError, known: Sequence[str]) -> ValidationError:
    """The same errors in our words, where `known` are the keys of the table at hand."""
    problems: list[tuple[Place, PydanticCustomError]] = []
    for detail in error.errors(include_url=False):
        at, kind, message = detail["loc"], detail["type"], detail["msg"]
        if kind in ("key", "value", "missing"):
            problem = value_problem(message, kind)  # type: ignore[arg-type]
        elif kind == "extra_forbidden":
            hint = did_you_mean(str(at[-1]), known) or f"; known: {', '.join(known)}"
            problem = value_problem(f'unknown key "{at[-1]}"{hint}', "key")
        elif kind == "value_error":
            problem = value_problem(message.removeprefix("Value error, "))
        else:
            text = f"{message[:1].lower()}{message[1:]}, not {_short(detail['input'])}"
            problem = value_problem(text)
        problems.append((at, problem))
    return as_error(error.title, problems)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
