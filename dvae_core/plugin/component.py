"""What every component is: a frozen pydantic model whose fields are its recipe keys."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Component(BaseModel):
    """One interchangeable part. Subclass a kind below, not this."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
    )

    kind: ClassVar[str]
    """The kind, set by the base class of the kind."""
    name: ClassVar[str]
    """The name in recipes."""
    name_key: ClassVar[str] = "name"
    """The recipe key that holds the name."""
    core_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys of the component's table that belong to the core and so cannot be fields."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Keys for trying it out and for showing it, where the defaults are not enough."""

    _asked_as: str | None = None

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        own = cls.__dict__.get("__doc__") or ""
        return inspect.cleandoc(own).split("\n\n")[0].replace("\n", " ").strip()

    @classmethod
    def from_table(
        cls, table: Mapping[str, Any], *, asked_as: str | None = None, context: Any = None
    ) -> Self:
        """The component described by a recipe table (without its name).

        TOML types are exact: "3" and 3.0 are not the integer 3. Going through JSON gives just
        that strictness and still turns lists into tuples and strings into paths.

        Raises:
            pydantic.ValidationError: with a location for each wrong key.
        """
        text = json.dumps(table, default=str)
        component = cls.model_validate_json(text, strict=True, context=context)
        if asked_as is not None:
            component._asked_as = asked_as
        return component

    @model_serializer(mode="wrap")
    def _to_table(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The recipe table that gives this component again, its name first."""
        return {self.name_key: self._asked_as or self.name, **handler(self)}
