"""Inputs that nobody would write: each is read, or refused in words, in bounded time and memory.

A few examples by default, the same ones each time; `--hypothesis-profile=thousands` tries
thousands. What was found once stands here as a case of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import re
import shutil
import string
import struct
import tomllib
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from dvae_plugins.datasets import idx
from dvae_plugins.datasets.idx import FashionMNIST
from dvae_plugins.datasets.own import NPZ
from dvae_plugins.datasets.through_torchvision import KMNIST
from hypothesis import event, given
from hypothesis import strategies as st

from dvae_core import DataError, Dataset, load_run
from dvae_core.cli import main
from dvae_core.errors import DvaeError, RecipeError, RunFolderError
from dvae_core.model.data import load_data
from dvae_core.pages.run_report import sections_of
from dvae_core.plugin import arrays
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import Recipe, load_recipe
from dvae_core.recipe.source import DEEPEST, LARGEST_FILE, read_source
from dvae_core.runs.comparison import compare_runs
from dvae_core.runs.folder import RunFolder
from dvae_core.training import run as train
from dvae_core.training.run import resume_run

from .helpers import OLD_RUN, RECIPES

pytestmark = pytest.mark.slow

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


def now_and_then(draw, often: int) -> bool:
    """True in one of `often` cases."""
    return draw(st.integers(1, often)) == often


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
    if now_and_then(draw, 4):
        table["extends"] = draw(paths | values)
    data = tomli_w.dumps(table).encode()
    return draw(damaged(data)) if now_and_then(draw, 8) else data


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
    recipe, problems = None, []
    try:
        recipe = load_recipe(path, sets)
    except RecipeError as error:
        problems = error.problems
    for problem in problems:
        origin, _, words = problem.partition(": ")
        assert origin, problem
        assert words.strip(), problem
        assert str(path.parent) in problem or "--set" in problem or "/dev/" in problem, problem
    if recipe is None:
        assert problems
        return None
    resolved = path.with_name("resolved.toml")
    resolved.write_bytes(tomli_w.dumps(recipe.to_table()).encode())
    assert load_recipe(resolved).to_table() == recipe.to_table()
    for weight in recipe.weights.values():
        with contextlib.suppress(DvaeError):
            assert math.isfinite(recipe.timeline(100).value(weight, 7))
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


# --- Data sets.


def idx_header(draw, shape: tuple[int, ...]) -> bytes:
    """Of an IDX file of bytes, mostly true."""
    numbers = st.sampled_from([0, 1, 2**31, 2**32 - 1])
    claimed = [draw(numbers) if now_and_then(draw, 20) else n for n in shape]
    kind = draw(st.sampled_from([9, 13, 14, 0, 255])) if now_and_then(draw, 20) else 8
    rank = draw(st.sampled_from([0, 1, 4, 255])) if now_and_then(draw, 20) else len(shape)
    return struct.pack(f">HBB{len(claimed)}I", 0, kind, rank, *claimed)


@st.composite
def idx_files(draw) -> list[bytes]:
    """Four files: images and labels, for training and testing."""
    files = []
    for shape in ((6, 4, 4), (6,), (3, 4, 4), (3,)):
        body = bytes(i % 3 for i in range(math.prod(shape)))
        data = idx_header(draw, shape) + body
        files.append(draw(damaged(data)) if now_and_then(draw, 10) else data)
    return files


def data_or_refused(dataset: Dataset, *names: str) -> str:
    """The promise: data, or words that name the data set or its file, in little memory."""
    tracemalloc.start()
    message = ""
    try:
        data = load_data(dataset)
        assert data.train_images.ndim == 4
    except DataError as error:
        message = str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6, f"{peak / 1e6:.0f} MB: {message}"
    assert not message or any(name in message for name in names), message
    return message


@given(idx_files(), st.booleans(), st.booleans())
def test_idx_files_are_read_or_refused(folder, files, packed, hurt):
    """The hashes are made to fit, so that the files are really parsed."""
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    (cache / "fashion_mnist").mkdir(parents=True)
    for name, data in zip(idx.FILES, files, strict=True):
        squeezed = gzip.compress(data)[: len(data) // 2 if hurt else None]
        path = cache / "fashion_mnist" / (f"{name}.gz" if packed else name)
        path.write_bytes(squeezed if packed else data)
    hashes = tuple(hashlib.sha256(data).hexdigest() for data in files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FashionMNIST, "hashes", hashes)
        patch.setenv("DVAE_CACHE", str(cache))
        message = data_or_refused(FashionMNIST(), "fashion_mnist")
    event("refused" if message else "read")


@given(idx_files())
def test_idx_files_that_torchvision_reads_are_read_or_refused(folder, files):
    raw = folder / "KMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, data in zip(idx.FILES, files, strict=True):
        (raw / name).write_bytes(data)
    message = data_or_refused(KMNIST(root=folder), str(folder), 'data set "kmnist"')
    event("refused" if message else "read")


def test_a_gzip_bomb_stays_small(folder, monkeypatch):
    cache = folder / "bomb"
    (cache / "fashion_mnist").mkdir(parents=True)
    member = gzip.compress(bytes(10_000_000))
    for name in idx.FILES:
        (cache / "fashion_mnist" / f"{name}.gz").write_bytes(member * 200)  # 2 GB unpacked
    monkeypatch.setenv("DVAE_CACHE", str(cache))
    assert "altered or truncated" in data_or_refused(FashionMNIST(), "fashion_mnist")


DTYPES = [
    "|u1", "<i8", "<f4", "<f2", "|b1", "<U3", "|S2", "|O", "<c16", "<M8[s]",
    ">i4", "|V4", "<U99999999", "what", [("a", "<i4")], ("|u1", (3,)), None,
]  # fmt: skip


KINDS = {"labels": "<i8", "test_labels": "<i8", "classes": "<U3"}


@st.composite
def npy_files(draw, shape: tuple[int, ...], kind: Any) -> bytes:
    """An array as np.save writes it, but for what its header claims."""
    kind = draw(st.sampled_from(DTYPES)) if now_and_then(draw, 6) else kind
    sizes = st.sampled_from([-1, 0, 1, 2**31, 2**63, 10**30])
    claimed = tuple(draw(sizes) if now_and_then(draw, 20) else n for n in shape)
    order = None if now_and_then(draw, 20) else draw(st.booleans())
    header = f"{ {'descr': kind, 'fortran_order': order, 'shape': claimed}!r}"
    if now_and_then(draw, 20):
        header = draw(st.sampled_from(["", "{}", "[" * 3000, "__import__('os')", header[:20]]))
    version = (9, 9) if now_and_then(draw, 20) else draw(st.sampled_from([(1, 0), (2, 0), (3, 0)]))
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header) + 1)
    try:
        itemsize = np.dtype(kind).itemsize if kind != "<U99999999" else 4
    except TypeError:
        itemsize = 1
    body = np.arange(math.prod(shape) * itemsize - now_and_then(draw, 20)) % 3
    if kind == "<i8":
        body = np.arange(math.prod(shape), dtype="<i8") % 3
    return (
        b"\x93NUMPY"
        + bytes(version)
        + length
        + header.encode()
        + b"\n"
        + (body if kind == "<i8" else body.astype(np.uint8)).tobytes()
    )


@st.composite
def npz_files(draw) -> bytes:
    n = draw(st.integers(3, 7) | st.integers(0, 1))
    shapes = {
        "images": draw(st.sampled_from([(n, 4, 4), (n, 4, 4, 3), (n, 1, 4, 4), (n,), (n, 0, 4)])),
        "labels": (n,) if not now_and_then(draw, 9) else draw(st.sampled_from([(n, 1), ()])),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "test_images": st.just((3, 4, 4)),
                    "test_labels": st.just((3,)),
                    "classes": st.sampled_from([(3,), (300,), ()]),
                    "other": st.just((2,)),
                },
            )
        ),
    }
    whole = io.BytesIO()
    kind = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    with zipfile.ZipFile(whole, "w", kind) as file:
        for name, shape in shapes.items():
            ending = "" if now_and_then(draw, 21) else ".npy"
            file.writestr(f"{name}{ending}", draw(npy_files(shape, KINDS.get(name, "|u1"))))
    data = whole.getvalue()
    return draw(damaged(data)) if now_and_then(draw, 5) else data


@given(npz_files())
def test_npz_files_are_read_or_refused(folder, data):
    path = folder / "own.npz"
    path.write_bytes(data)
    message = data_or_refused(NPZ(path=path), str(path), 'data set "npz"')
    event("refused" if message else "read")
    # What Python calls an error is no help to anyone.
    assert not re.search(r'data set "npz": \w+(Error|Exception|Warning)\b', message), message


def npy(header: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + body


def test_an_npz_that_lies_about_its_size(tmp_path):
    """The header claims 4 GB, and so does the zip file's directory."""
    claim = 0xF0000000
    header = f"{ {'descr': '|u1', 'fortran_order': False, 'shape': (claim // 16, 4, 4)}!r}\n"
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        file.writestr("images.npy", npy(header, bytes(96)))
        file.writestr("labels.npy", npy(header.replace("|u1", "<i8"), bytes(48)))
    path = tmp_path / "own.npz"
    path.write_bytes(whole.getvalue())
    message = data_or_refused(NPZ(path=path), str(path))
    assert "images.npy claims to be [251658240, 4, 4] uint8 and is not" in message
    true = struct.pack("<I", len(npy(header, bytes(96))))
    path.write_bytes(whole.getvalue().replace(true, struct.pack("<I", claim + 1000)))
    message = data_or_refused(NPZ(path=path), str(path))
    assert re.search(r"images\.npy unpacks to 4,026,\d+,\d+ bytes, over the limit", message)


def test_an_npz_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "UNPACKED_FREELY", 2**20)
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=np.zeros((200, 300, 300), np.uint8), labels=np.arange(200))
    assert path.stat().st_size < 30_000
    message = data_or_refused(NPZ(path=path), str(path))
    assert "images.npy unpacks to 18,000,128 bytes, over the limit" in message


# --- Checkpoints and run.json.


@pytest.fixture(scope="module")
def run(folder) -> Path:
    """A finished run with one checkpoint."""
    path = folder / "run"
    shutil.copytree(OLD_RUN, path)
    recipe = path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("BLOBS", str(OLD_RUN / "blobs.npz")))
    *others, last = sorted((path / "checkpoints").glob("*.pt"))
    for file in others:
        file.unlink()
    shutil.copy(last, path / "good.pt")
    shutil.copy(path / "run.json", path / "good.json")
    return path


def put(run: Path, checkpoint: bytes | None = None, info: bytes | None = None) -> None:
    """Put a checkpoint, with a hash that fits, and a run.json into the run; good ones if None."""
    (file,) = (run / "checkpoints").glob("*.pt")
    data = (run / "good.pt").read_bytes() if checkpoint is None else checkpoint
    file.write_bytes(data)
    file.with_name(f"{file.name}.sha256").write_text(hashlib.sha256(data).hexdigest())
    (run / "run.json").write_bytes((run / "good.json").read_bytes() if info is None else info)


def taken_up_or_refused(run: Path) -> None:
    """The promise: the run can be looked at and gone on with, or words that name it."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(train, "train", lambda training, run, *others: run)
        for take_up in (load_run, resume_run):
            result = refused = None
            try:
                result = take_up(run)
                if take_up is load_run:
                    assert result.encode(np.zeros((1, 1, 8, 8), np.uint8))[0].shape[0] == 1
            except DvaeError as error:
                refused = str(error)
            assert result is not None or str(run) in refused, refused
            event(f"{take_up.__name__} {'refused' if result is None else 'works'}")


tensors = st.builds(
    lambda shape, value, dtype: torch.full(shape, value).to(dtype),
    st.lists(st.integers(0, 5), max_size=3),
    st.sampled_from([0.0, math.nan, 1e38]),
    st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]),
)
stored = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary() | tensors,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text | st.integers(), inner),
    max_leaves=5,
)


@st.composite
def checkpoints(draw) -> bytes:
    good = (OLD_RUN / "checkpoints" / "epoch-0002.pt").read_bytes()
    how = draw(st.sampled_from(["bytes", "record", "state"]))
    if how == "bytes":
        return draw(damaged(good))
    whole = io.BytesIO()
    if how == "record":
        with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(whole, "w") as new:
            target = draw(st.sampled_from(["archive/data.pkl", *old.namelist()]))
            kind = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            for name in old.namelist():
                data = old.read(name)
                data = draw(damaged(data)) if name == target else data
                new.writestr(name, data, kind if name == target else None)
        return whole.getvalue()
    state = torch.load(io.BytesIO(good), weights_only=True)
    for _ in range(draw(st.integers(1, 3))):
        *around, key = draw(st.sampled_from(places(state) or [("epoch",)]))
        holder: Any = state
        for part in around:
            holder = holder[part]
        match draw(st.sampled_from(["replace", "replace", "delete"])):
            case "replace":
                holder[key] = draw(stored)
            case "delete":
                del holder[key]
    torch.save(state, whole)
    return whole.getvalue()


@given(checkpoints())
def test_a_checkpoint_is_taken_up_or_refused(run, data):
    put(run, checkpoint=data)
    taken_up_or_refused(run)


@st.composite
def infos(draw) -> bytes:
    good = (OLD_RUN / "run.json").read_bytes()
    if now_and_then(draw, 4):
        return draw(damaged(good))
    info = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        *around, key = draw(st.sampled_from(places(info) or [("format",)]))
        holder: Any = info
        for part in around:
            holder = holder[part]
        if draw(st.booleans()):
            holder[key] = draw(values)
        else:
            del holder[key]
    return json.dumps(info, default=str).encode()


@given(infos())
def test_a_run_json_is_taken_up_or_refused(run, data):
    put(run, info=data)
    taken_up_or_refused(run)


def test_a_checkpoint_that_unpacks_to_more_is_not_unpacked(run):
    whole = io.BytesIO()
    with zipfile.ZipFile(run / "good.pt") as old, zipfile.ZipFile(whole, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/data/999", bytes(10_000_000), zipfile.ZIP_DEFLATED)
    put(run, checkpoint=whole.getvalue())
    with pytest.raises(RunFolderError, match="it claims to hold more than the file does"):
        resume_run(run)


# --- Whole folders of runs and of sweeps.

SWEEP_FILES = {
    "sweep.toml": 'title = "t"\nrecipe = "r.toml"\nseeds = 2\ngoal = "lowest test/kl"\n',
    "journal.jsonl": '{"format": 1, "session": "a", "host": "h", "time": "t", "set": []}\n'
    '{"variant": "v", "recipe": "d"}\n'
    '{"run": "fuzzed", "status": "finished", "seconds": 1.5, "host": "h", "epochs": 2}\n',
    "memory.json": '{"wandb": "x"}',
}
nasty = values | st.sampled_from(
    ["\x1b[2J\x1b]0;x\x07", "\x9b31m", "<script>", "\u202e", "../../x"]
)


@st.composite
def changed_values(draw, name: str, data: bytes) -> bytes:
    """A JSON, JSONL or TOML file that parses as before, with a few values that do not belong."""
    lines = data.decode().splitlines() if name.endswith(".jsonl") else [data.decode()]
    read = tomllib.loads if name.endswith(".toml") else json.loads
    tables = [read(line) for line in lines]
    for _ in range(draw(st.integers(1, 4))):
        table = draw(st.sampled_from(tables))
        at = places(table)
        if not at:
            continue
        *around, key = draw(st.sampled_from(at))
        holder: Any = table
        for part in around:
            holder = holder[part]
        match draw(st.sampled_from(["replace", "replace", "delete", "repeat"])):
            case "replace":
                holder[key] = draw(nasty)
            case "delete":
                del holder[key]
            case "repeat":
                tables.append(copied(table))
    if name.endswith(".toml"):
        return tomli_w.dumps(tables[0]).encode()
    return "".join(json.dumps(table, default=str) + "\n" for table in tables).encode()


def hurt(draw, file: Path, name: str) -> None:
    """Do something to a file of a folder."""
    data = file.read_bytes()
    ways = ["bytes", "gone", "pipe", "device", "link", "circle", "folder", "empty"]
    structured = file.suffix in (".json", ".jsonl", ".toml")
    how = draw(st.sampled_from(ways + ["values"] * 12 * structured))
    event(how)
    if how in ("bytes", "values"):
        made = damaged(data) if how == "bytes" else changed_values(name, data)
        file.write_bytes(draw(made))
        return
    file.unlink()
    match how:
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "link":
            file.symlink_to("/etc/hostname")
        case "circle":
            file.symlink_to(file.name)
        case "folder":
            file.mkdir()
        case "empty":
            file.touch()


@given(st.data())
def test_a_folder_is_read_or_left_out(run, folder, data):
    """The promise: one bad run costs no other, and nothing steers the terminal."""
    put(run)
    sweep = folder / "sweep"
    shutil.rmtree(sweep, ignore_errors=True)
    for name in ("good", "fuzzed"):
        shutil.copytree(run, sweep / name)
    recipe = sweep / "good" / "recipe.toml"
    recipe.write_text(re.sub(r"(?m)^seed = .*", "seed = 77", recipe.read_text()))
    for name, text in SWEEP_FILES.items():
        (sweep / name).write_text(text)
    own = [f for f in (sweep / "fuzzed").rglob("*") if f.is_file() and f.suffix in KINDS_OF]
    files = st.sampled_from(sorted([*own, *(sweep / name for name in SWEEP_FILES)]))
    for file in data.draw(st.lists(files, min_size=1, max_size=3, unique=True)):
        hurt(data.draw, file, file.name)
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        said = [stack.enter_context(to(io.StringIO())) for to in REDIRECTIONS]
        for arguments in (["compare", sweep], ["compare", sweep, "--markdown"]):
            assert command(arguments) == 0, said[1].getvalue()
        for arguments in (["report", sweep, "--out", folder / "report.html"],
                          ["evaluate", sweep / "fuzzed", "--metric", "active_units"]):  # fmt: skip
            assert command(arguments) in (0, 1, 2)
    out, err = (stream.getvalue() for stream in said)
    rows = compare_runs([sweep]).rows
    assert "good" in [one.name for row in rows for one in row.runs]
    assert "dvae failed" not in err, err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out + err), out + err
    with contextlib.suppress(DvaeError):
        sections_of(RunFolder.open(sweep / "fuzzed"), 2)


KINDS_OF = {".json", ".jsonl", ".toml", ".pt", ".sha256", ".png"}
REDIRECTIONS = (contextlib.redirect_stdout, contextlib.redirect_stderr)


def command(arguments: list) -> int:
    """The exit code of the command, which a pipe listens to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["dvae", *map(str, arguments)])
        patch.setattr("dvae_core.pages.sweep_report._best", lambda *_: ([], ""))
        try:
            main()
        except SystemExit as stop:
            return stop.code or 0
    return 0
