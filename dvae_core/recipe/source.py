"""Reads recipe files: TOML, `extends`, overrides, and where each value came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvae_core.errors import RecipeError
from dvae_core.recipe.named import hint, recipe_file

Place = tuple[str | int, ...]
"""Where a value stands: table names, keys and list indices."""
Dotted = tuple[str, ...]
"""A recipe key, such as ("kl", "weight")."""

LARGEST_FILE = 64_000
"""Bytes of a recipe, at most; tomllib takes minutes for some files of a megabyte."""
DEEPEST = 32
"""Tables and lists within each other, and recipes that extend each other, at most."""
TOO_DEEP = f"nested more than {DEEPEST} deep"
NAME_KEYS = ("name", "schedule")
SHARED_KEYS = ("weight", "lr", "validation_fraction")
"""Keys that mean the same for every component, and so outlive a change of its name."""


@dataclass
class RecipeSource:
    """A recipe as written: one merged table, and the origin of each value.

    Origins are "path:line" or "--set"; a value without one is a default.
    """

    table: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)
    """Empty until `locate` is called: few recipes need to say where a value stands."""
    files: tuple[Path, ...] = ()
    """The recipe and what it extends, nearest first."""

    overrides: tuple[str, ...] = ()

    def locate(self) -> dict[Place, str]:
        """The origins, found by reading the files once more."""
        if not self.origins and self.files:
            self.origins = read_source(self.files[0], self.overrides, locate=True).origins
        return self.origins

    def origin(self, key: Place) -> str:
        """The origin of the value, or of the nearest table around it."""
        self.locate()
        for end in range(len(key), -1, -1):
            if key[:end] in self.origins:
                return self.origins[key[:end]]
        return str(self.files[0]) if self.files else "recipe"

    def is_text(self, key: Place) -> bool:
        """Whether a text stands there."""
        value: Any = self.table
        for part in key:
            value = value[part]
        return isinstance(value, str)

    def merge(self, other: RecipeSource) -> None:
        """Lay `other` over this: tables merge, everything else replaces.

        A table that names another component takes the old one's keys away with its name, and epochs
        that are laid over take away the steps that there were to be at least.
        """
        self._merge(self.table, other.table, ())
        self.origins |= other.origins

    def _merge(self, ours: dict[str, Any], theirs: dict[str, Any], at: Place) -> None:
        if any(k in ours and k in theirs and ours[k] != theirs[k] for k in NAME_KEYS):
            for k in [k for k in ours if k not in SHARED_KEYS]:
                self._forget((*at, k))
                del ours[k]
        if at == ("train",) and "epochs" in theirs and "min_steps" not in theirs:
            self._forget((*at, "min_steps"))
            ours.pop("min_steps", None)
        for k, value in theirs.items():
            here = (*at, k)
            if isinstance(value, dict) and isinstance(ours.get(k), dict):
                self._merge(ours[k], value, here)
            else:
                if isinstance(ours.get(k), dict | list):
                    self._forget(here)
                ours[k] = value

    def _forget(self, key: Place) -> None:
        for o in [o for o in self.origins if o[: len(key)] == key]:
            del self.origins[o]


def read_source(path: Path, overrides: Sequence[str] = (), *, locate: bool = False) -> RecipeSource:
    """Read a recipe file and what it extends, then apply `key=value` overrides.

    Args:
        locate: find the origins now, which takes longer than all the rest.

    Raises:
        RecipeError: a file is missing, too large, nested too deeply or no TOML; `extends` goes in
            a circle; an override has no `=`.
    """
    source = _read(path, (), locate)
    for override in overrides:
        source.merge(_override(source, override))
    source.overrides = tuple(overrides)
    if not locate:
        source.origins = {}
    return source


def _read(path: Path, above: tuple[Path, ...], locate: bool) -> RecipeSource:
    text = read_text(path)
    if path.resolve() in above:
        circle = " -> ".join(p.name for p in (*above, path))
        raise RecipeError(f"{path}: extends goes in a circle: {circle}")
    if len(above) > DEEPEST:
        raise RecipeError(f"{path}: extends goes through more than {DEEPEST} recipes")
    try:
        table = tomllib.loads(text)
        _check_depth(table)
    except (ValueError, RecursionError) as error:  # ValueError: bad TOML, or a number too long
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line = f":{found[1]}" if found else ""
        reason = re.split(r" \(at |; use sys", str(error))[0]
        if isinstance(error, RecursionError):
            reason = TOO_DEEP
        raise RecipeError(f"{path}{line}: not valid TOML: {reason}") from None
    parent = table.pop("extends", None)
    lines = key_lines(text) if locate else {}
    own = RecipeSource(table, {k: f"{path}:{n}" for k, n in lines.items()}, (path,))
    if parent is None:
        return own
    if not isinstance(parent, str):
        number = key_lines(text)[("extends",)]
        raise RecipeError(f"{path}:{number}: extends must be the path or the name of a recipe")
    try:
        source = _read(recipe_file(parent, path.parent), (*above, path.resolve()), locate)
    except RecipeError as error:
        note = f"{path}:{key_lines(text)[('extends',)]}: extends {parent}"
        raise RecipeError([f"{problem} ({note})" for problem in error.problems]) from None
    source.merge(own)
    source.files = (path, *source.files)
    return source


def _check_depth(value: Any) -> None:
    """Raise ValueError where tables and lists go deeper than any recipe's."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise ValueError(TOO_DEEP)


def read_text(path: Path) -> str:
    """The text of a recipe's file.

    Raises:
        RecipeError: it cannot be read, or is too large.
    """
    try:
        if path.exists() and not path.is_file():
            # A pipe may never end, and may not be read twice.
            raise RecipeError(f"{path}: cannot be read: not a file")
        with path.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise RecipeError(f"{path}: larger than {LARGEST_FILE:,} bytes, so not a recipe")
        return data.decode()
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file{hint(str(path))}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not valid TOML: not UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"{path}: cannot be read: {reason}") from None


def _override(source: RecipeSource, override: str) -> RecipeSource:
    """The override as a source of its own, so that one rule merges everything."""
    dotted, equals, text = override.partition("=")
    parts = [part.strip() for part in dotted.split(".")]
    origin = f"--set {override}"
    if not equals or not all(parts):
        raise RecipeError(f"{origin}: write it as table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()  # a bare word is a string
    try:
        override.encode()
        _check_depth(_nested(tuple(parts), value, origin).table)
    except ValueError as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeError) else error
        raise RecipeError(f"{origin[:60]!a}: {reason}") from None
    return change(source, tuple(parts), value, origin)


def change(source: RecipeSource, key: tuple[str, ...], value: Any, origin: str) -> RecipeSource:
    """A source to merge into `source` that sets one value there.

    Raises:
        RecipeError: the key leads into a list, and not to a place that it has.
    """
    now: Any = source.table
    made: list[Place] = []  # tables that are not there yet, which are the change's too
    for depth, part in enumerate(key):
        if isinstance(now, list):
            # Lists replace: the override is the list with one place changed.
            return _override_in_list(source, key, depth, value, origin)
        if not isinstance(now, dict) or part not in now:
            made.append(key[: depth + 1])
        now = now.get(part, {}) if isinstance(now, dict) else {}
    changed = _nested(key, value, origin)
    changed.origins |= dict.fromkeys(made, origin)
    return changed


def _override_in_list(
    source: RecipeSource, key: Place, depth: int, value: Any, origin: str
) -> RecipeSource:
    import copy

    items: Any = source.table
    for part in key[:depth]:
        items = items[part]
    items = copy.deepcopy(items)
    index = str(key[depth])
    if not index.isdecimal() or int(index) >= len(items):
        listed = f"a list of {len(items)}" if items else "an empty list"
        raise RecipeError(f"{origin}: {'.'.join(map(str, key[:depth]))} is {listed}, not a table")
    rest = _nested(key[depth + 1 :], value, origin).table if key[depth + 1 :] else value
    inner = RecipeSource({"item": items[int(index)]})
    inner.merge(RecipeSource({"item": rest}))
    items[int(index)] = inner.table["item"]
    changed = _nested(key[:depth], items, origin)
    here = key[:depth]
    kept = {o: s for o, s in source.origins.items() if o[: len(here)] == here}
    at = (*here, int(index), *key[depth + 1 :])
    changed.origins = kept | {o: s for o, s in changed.origins.items() if len(o) < depth}
    changed.origins[at] = origin
    return changed


def _nested(key: Place, value: Any, origin: str) -> RecipeSource:
    table: Any = value
    for part in reversed(key):
        table = {part: table}
    origins = {key: origin} | {(*key, *inner): origin for inner in _places(value)}
    return RecipeSource(table, origins)


def _places(value: Any) -> Iterator[Place]:
    for place, inner in inside(value) or ():
        yield place
        yield from ((*place, *further) for further in _places(inner))


def inside(value: Any) -> list[tuple[Place, Any]] | None:
    """What a table or a list holds, each with its place in it; None for other values."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [((key,), inner) for key, inner in items]
    return None


def leaves(
    value: Any,
    opened: Callable[[Any], Iterable[tuple[Place, Any]] | None],
    at: Place = (),
) -> Iterator[tuple[Place, Any]]:
    """All values that `opened`, such as `inside`, opens no further, each with its place.

    >>> list(leaves({"kl": {"name": "abs"}, "terms": []}, inside))
    [(('kl', 'name'), 'abs')]
    """
    items = opened(value)
    if items is None:
        yield at, value
        return
    for place, inner in items:
        yield from leaves(inner, opened, (*at, *place))


def key_lines(text: str) -> dict[Place, int]:
    """The line of every table, key and list item of a TOML text that tomllib accepts.

    >>> key_lines('seed = 1\\n[kl]\\nname = "abs"\\n')
    {('seed',): 1, ('kl',): 2, ('kl', 'name'): 3}
    """
    import tree_sitter
    import tree_sitter_toml

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    lines: dict[Place, int] = {}
    array_sizes: dict[Place, int] = {}

    def names(node: Any) -> Place:
        if node.type == "dotted_key":
            return tuple(name for child in node.named_children for name in names(child))
        if node.type == "quoted_key":
            return tuple(tomllib.loads(f"{node.text.decode()} = 0"))
        return (node.text.decode(),)

    def through_arrays(key: Place) -> Place:
        """A table header below an array of tables means the array's last item."""
        path: Place = ()
        for part in key:
            path = (*path, part)
            if path in array_sizes:
                path = (*path, array_sizes[path] - 1)
        return path

    def mark(key: Place, at: Place, node: Any) -> Place:
        for end in range(1, len(key) + 1):
            lines.setdefault((*at, *key[:end]), node.start_point.row + 1)
        return (*at, *key)

    def visit(node: Any, at: Place) -> None:
        children = [c for c in node.named_children if c.type != "comment"]
        if node.type == "pair":
            visit(children[1], mark(names(children[0]), at, node))
        elif node.type in ("table", "table_array_element"):
            key = names(children[0])
            if node.type == "table_array_element":
                array = (*through_arrays(key[:-1]), key[-1])
                array_sizes[array] = array_sizes.get(array, 0) + 1
            at = through_arrays(key)
            mark(at, (), node)
            for child in children[1:]:
                visit(child, at)
        elif node.type == "array":
            for index, child in enumerate(children):
                lines[(*at, index)] = child.start_point.row + 1
                visit(child, (*at, index))
        elif node.type in ("document", "inline_table"):
            for child in children:
                visit(child, at)

    visit(parser.parse(text.encode()).root_node, ())
    return lines
