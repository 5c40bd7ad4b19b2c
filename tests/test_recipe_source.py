import pytest

from dvae_core.errors import RecipeError
from dvae_core.recipe.source import key_lines, read_source


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_key_lines_finds_every_kind_of_key():
    text = """\
# a comment
title = "x"

[a.b]  # another
"c d".e = 1
f = { g = 1, h = [
    2,
    { i = 3 },
] }

[[list]]
x = 1
[list.inner]
y = 2
[[list]]
x = '''
[no.table]
'''
"""
    lines = key_lines(text)
    assert lines[("title",)] == 2
    assert lines[("a", "b")] == 4
    assert lines[("a", "b", "c d", "e")] == 5
    assert lines[("a", "b", "f", "g")] == 6
    assert lines[("a", "b", "f", "h", 0)] == 7
    assert lines[("a", "b", "f", "h", 1, "i")] == 8
    assert lines[("list", 0, "x")] == 12
    assert lines[("list", 0, "inner", "y")] == 14
    assert lines[("list", 1)] == 15
    assert lines[("list", 1, "x")] == 16
    assert ("no", "table") not in lines


def test_tables_merge_and_lists_replace(tmp_path):
    write(tmp_path, "base.toml", "seed = 1\n[a]\nx = 1\ny = [1, 2]\n[b]\nz = 3\n")
    child = write(tmp_path, "child.toml", 'extends = "base.toml"\n[a]\ny = [3]\n')
    source = read_source(child)
    assert source.table == {"seed": 1, "a": {"x": 1, "y": [3]}, "b": {"z": 3}}
    assert source.origin(("a", "y")) == f"{child}:3"
    assert source.origin(("a", "x")) == f"{tmp_path / 'base.toml'}:3"


def test_another_name_takes_the_old_keys_away_but_the_shared_ones(tmp_path):
    write(tmp_path, "base.toml", '[kl]\nname = "abs"\nweight = 0.5\nodd = 1\n')
    child = write(tmp_path, "child.toml", 'extends = "base.toml"\n[kl]\nname = "square"\n')
    assert read_source(child).table == {"kl": {"name": "square", "weight": 0.5}}
    same = write(tmp_path, "same.toml", 'extends = "base.toml"\n[kl]\nname = "abs"\n')
    assert read_source(same).table["kl"]["odd"] == 1


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("kl.weight=1.5", {"name": "abs", "weight": 1.5}),
        ("kl.name=square", {"name": "square", "weight": {"schedule": "linear", "end": 1}}),
        ("kl.weight=3", {"name": "abs", "weight": 3}),
        ("kl.weight.end=7", {"name": "abs", "weight": {"schedule": "linear", "end": 7}}),
        ('kl.weight={schedule="constant"}', {"name": "abs", "weight": {"schedule": "constant"}}),
        ("kl=abs", "abs"),
    ],
)
def test_overrides(tmp_path, override, expected):
    path = write(
        tmp_path, "r.toml", '[kl]\nname = "abs"\nweight = {schedule = "linear", end = 1}\n'
    )
    source = read_source(path, [override])
    assert source.table["kl"] == expected
    changed = tuple(override.split("=")[0].split("."))
    assert source.origin(changed) == f"--set {override}"


def test_an_override_reaches_into_a_list(tmp_path):
    path = write(tmp_path, "r.toml", '[[terms]]\nname = "a"\n[[terms]]\nname = "b"\nx = 1\n')
    source = read_source(path, ["terms.1.x=2"])
    assert source.table["terms"] == [{"name": "a"}, {"name": "b", "x": 2}]
    assert source.origin(("terms", 1, "x")) == "--set terms.1.x=2"
    assert source.origin(("terms", 1, "name")) == f"{path}:4"
    with pytest.raises(RecipeError, match="terms is a list of 2"):
        read_source(path, ["terms.2.x=2"])


@pytest.mark.parametrize("override", ["kl.weight", "=3", ".a=1", "a..b=1"])
def test_an_override_without_key_or_value_is_refused(tmp_path, override):
    with pytest.raises(RecipeError, match=r"write it as table\.key=value"):
        read_source(write(tmp_path, "r.toml", ""), [override])


def test_a_circle_of_extends_is_named(tmp_path):
    a = write(tmp_path, "a.toml", 'extends = "b.toml"\n')
    write(tmp_path, "b.toml", 'extends = "a.toml"\n')
    with pytest.raises(RecipeError, match=r"circle: a\.toml -> b\.toml -> .*a\.toml"):
        read_source(a)


def test_a_missing_parent_is_reported_with_the_line_that_asks_for_it(tmp_path):
    a = write(tmp_path, "a.toml", '\nextends = "gone.toml"\n')
    with pytest.raises(RecipeError, match=r"gone\.toml: there is no such file \(.*a\.toml:2"):
        read_source(a)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = \n", r":1: not valid TOML"),
        (b"x = 1\nx = 2\n", r"not valid TOML"),
        (b"\xff\xfe", r"not UTF-8"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, r"not valid TOML"),
        (b"#" * 1_100_000, r"so not a recipe"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path, content, message):
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read_source(path)


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        read_source(tmp_path)
