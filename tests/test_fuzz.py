"""Inputs that nobody would write: each is read, or refused in words, in bounded time and memory.

A few examples by default, the same ones each time; `--hypothesis-profile=thousands` tries
thousands. What was found once stands here as a case of its own.
"""

from __future__ import annotations

import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import event, given
from hypothesis import strategies as st

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.recipe import Recipe, load_recipe
from dvae_core.recipe_source import DEEPEST, LARGEST_FILE, read_source
from dvae_core.registry import load_registry

from .conftest import RECIPES

# --- Recipes.

WORDS = sorted(
    {p.name for p in load_registry().providers}
    | {k for p in load_registry().providers for k in p.component.model_fields}
    | set(Recipe.model_fields)
    | {"name", "weight", "dim", "epochs", "batch_size", "lr", "every", "metrics", "plots"}
)
SHIPPED = [read_source(path).table for path in sorted(RECIPES.glob("*.toml"))]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.sampled_from(WORDS) | text
paths = st.sampled_from(
    ["", ".", "..", "/", "/dev/zero", "~nobody/x", "a" * 300, "\0", "a\0b", "r.toml", "base.toml"]
)
scalars = (
    st.none().map(lambda _: "knn")
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**63, -(2**64), 10**400, 10**4000])
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.times()
    | paths
    | keys
)
named = st.fixed_dictionaries({}, optional={"name": keys, "schedule": keys, "weight": scalars})
values = st.recursive(
    scalars | named,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def places(table: Any, at: tuple = ()) -> list[tuple]:
    """The path of every value in a table."""
    items = table.items() if isinstance(table, dict) else enumerate(table)
    found = []
    for key, value in items:
        found.append((*at, key))
        if isinstance(value, dict | list):
            found += places(value, (*at, key))
    return found


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


@st.composite
def recipe_tables(draw) -> dict[str, Any]:
    """A shipped recipe with a few things wrong, or not even wrong."""
    table = copied(draw(st.sampled_from(SHIPPED)))
    for _ in range(draw(st.integers(0, 4))):
        all_places = places(table)
        if not all_places:
            break
        *around, key = draw(st.sampled_from(all_places))
        holder: Any = table
        for part in around:
            holder = holder[part]
        match draw(st.sampled_from(["replace", "delete", "rename", "add", "wrap", "move"])):
            case "replace":
                holder[key] = draw(values)
            case "delete":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(keys)] = holder.pop(key)
            case "add" if isinstance(holder, dict):
                holder[draw(keys)] = draw(values)
            case "wrap":
                holder[key] = draw(st.sampled_from([[holder[key]], {"name": holder[key]}]))
            case "move":
                table[draw(keys)] = holder.pop(key)
    return table


@st.composite
def damaged(draw, data: bytes) -> bytes:
    """Bytes with some flipped, cut out, or put where others belong."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["flip", "cut", "drop", "insert", "splice"])):
            case "flip" if data:
                flipped = data[at] ^ draw(st.integers(1, 255))
                data = data[:at] + bytes([flipped]) + data[at + 1 :]
            case "cut":
                data = data[:at]
            case "drop":
                data = data[:at] + data[at + draw(st.integers(1, 64)) :]
            case "insert":
                data = data[:at] + draw(st.binary(max_size=16)) + data[at:]
            case "splice":
                start = draw(st.integers(0, max(len(data) - 1, 0)))
                piece = data[start : start + draw(st.integers(1, 64))]
                data = data[:at] + piece + data[at + len(piece) :]
    return data


@st.composite
def recipe_files(draw) -> bytes:
    table = draw(recipe_tables())
    if draw(st.integers(0, 3)) == 0:
        table["extends"] = draw(paths | values)
    data = tomli_w.dumps(table).encode()
    return draw(damaged(data)) if draw(st.integers(0, 7)) == 0 else data


PLACES = [".".join(map(str, at)) for table in SHIPPED for at in places(table)]
override_keys = st.sampled_from(PLACES) | st.lists(keys, max_size=4).map(".".join)
override_values = (
    values.map(lambda value: tomli_w.dumps({"x": value}).removeprefix("x = ").strip())
    | text
    | st.text(max_size=4)  # surrogates as well: what a shell makes of bytes that are no UTF-8
)
overrides = st.just([]) | st.lists(
    st.builds("{}={}".format, override_keys, override_values) | text, min_size=1, max_size=2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read_or_refused(path: Path, sets: list[str] = ()) -> Recipe | None:
    """The promise: a recipe that can be written and read again, or lines that say where."""
    try:
        recipe = load_recipe(path, sets)
    except RecipeError as error:
        assert error.problems
        for problem in error.problems:
            assert str(path.parent) in problem or "--set" in problem or "/dev/" in problem, problem
            origin, colon, words = problem.partition(": ")
            assert (origin, colon) and words.strip(), problem
        return None
    resolved = path.with_name("resolved.toml")
    resolved.write_bytes(tomli_w.dumps(recipe.to_table()).encode())
    assert load_recipe(resolved).to_table() == recipe.to_table()
    for weight in recipe.weights.values():
        try:
            assert isinstance(recipe.timeline(100).value(weight, 7), float)
        except DvaeError as error:
            assert "schedule" in str(error)
    return recipe


@given(recipe_files(), recipe_files(), overrides)
def test_a_recipe_is_read_or_refused(folder, own, base, sets):
    path = folder / "r.toml"
    path.write_bytes(own)
    (folder / "base.toml").write_bytes(base)
    recipe = read_or_refused(path, sets)
    event("refused" if recipe is None else "read")


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
def test_garbage_is_no_recipe(folder, data):
    path = folder / "r.toml"
    path.write_bytes(data)
    assert read_or_refused(path) is None


def deep(levels: int) -> str:
    return ".".join(["a"] * levels)


@pytest.mark.parametrize(
    ("content", "sets", "message"),
    [
        (f"{deep(DEEPEST)} = 1", [], r"r\.toml: .*nested more than 32 deep"),
        (f"{deep(5000)} = 1", [], "nested more than 32 deep"),
        ("x = " + "{a=" * 300 + "1" + "}" * 300, [], "nested more than 32 deep"),
        ("", [f"{deep(5000)}=1"], "--set a.*nested more than 32 deep"),
        ("", ["a=" + "[" * 300 + "]" * 300], "--set a.*nested more than 32 deep"),
        ("", ["title=\udcff"], "--set title=.*not UTF-8"),
        ("seed = " + "1" * 5000, [], r"r\.toml: .*4300 digits"),
        ('extends = "\\u0000"', [], r"embedded null .*r\.toml:1"),
        (f'extends = "{"a" * 300}"', [], r"File name too long .*r\.toml:1"),
        ('extends = "/dev/zero"', [], r"/dev/zero: cannot be read: not a file .*r\.toml:1"),
        ('extends = "."', [], r"cannot be read: not a file .*r\.toml:1"),
        ("", ['dataset={name="npz",path="~nobody-here/x"}'], "path: no usable path"),
        ("", [f'dataset={{name="npz",path="{"a" * 300}"}}'], "no usable path: File name too long"),
    ],
)
def test_recipes_that_were_trouble_once(tmp_path, content, sets, message):
    path = tmp_path / "r.toml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(path, sets)
    assert read_or_refused(path, sets) is None


def test_many_keys_over_many_keys_take_seconds(tmp_path):
    """Both files are as large as recipes may be."""
    keys = "".join(f"{n:05} = 1\n" for n in range(LARGEST_FILE // 10 - 3))
    (tmp_path / "base.toml").write_text(keys)
    path = tmp_path / "r.toml"
    path.write_text('extends = "base.toml"\n' + keys)
    with pytest.raises(RecipeError, match="unknown key"):
        load_recipe(path)


def test_a_chain_of_extends_has_an_end(tmp_path):
    for n in range(DEEPEST + 2):
        (tmp_path / f"{n}.toml").write_text(f'extends = "{n + 1}.toml"')
    with pytest.raises(RecipeError, match="extends goes through more than 32 recipes"):
        load_recipe(tmp_path / "0.toml")
