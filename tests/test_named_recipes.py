"""Recipes by name, copies of them, and what a recipe means where it says nothing."""

import json
import subprocess
import sys

import pytest

from dvae_core.errors import RecipeError
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe import took
from dvae_core.recipe.named import offered
from dvae_core.recipe.recipe import load_recipe
from dvae_core.sweep.plan import Plan
from dvae_core.sweep.sweep_file import load_sweep

from .helpers import RECIPES

MINE = """
from pathlib import Path

from dvae_core import hookimpl

@hookimpl
def register_recipes():
    folder = Path(__file__).parent
    return [folder / "quick.toml", folder / "faster.toml"]
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mine(install, tmp_path):
    """A package with recipes of its own: one named as ours is, and one that extends it."""
    site = tmp_path / "site-packages"
    (site / "quick.toml").write_text(f'extends = "{RECIPES / "quick.toml"}"\nseed = 7\n')
    (site / "faster.toml").write_text('# In a hurry.\nextends = "quick.toml"\nseed = 8\n')
    install("dvae-mine", MINE)


def test_every_shipped_file_has_a_name():
    files = {p.stem for p in RECIPES.rglob("*.toml")}
    assert {recipe.name for recipe in offered()} == files
    for path in RECIPES.glob("*.toml"):
        named = load_recipe(path.stem, ['pairs=[["0", "8"]]'])
        assert named.name == path.stem
        assert named.to_table() == load_recipe(path, ['pairs=[["0", "8"]]']).to_table()


def test_the_command_finds_a_name_anywhere(dvae):
    assert dvae("validate", "mnist_abs")[0] == 0
    status, _, err = dvae("validate", "mnist_asb")
    assert status == 2
    assert "there is no such file, and no recipe of that name" in err
    assert 'did you mean "mnist_abs"?' in err
    assert 'there is a recipe named "quick"' in dvae("validate", "quick.toml")[2]


@pytest.mark.parametrize("file", ["quick", "quick.toml"])
def test_a_file_of_that_name_wins_and_says_so(dvae, tmp_path, file):
    (tmp_path / file).write_text('extends = "dvae-core:quick"\nseed = 99\n')
    assert load_recipe("quick").seed == 99
    status, out, err = dvae("show", "quick")
    assert status == 0
    assert "seed = 99" in out
    assert f"quick: the file {file}, and not the recipe of dvae-core" in err
    assert load_recipe("dvae-core:quick").seed == 1
    assert dvae("show", "dvae-core:quick")[2] == ""


def test_a_folder_of_that_name_does_not(dvae, tmp_path):
    (tmp_path / "quick").mkdir()
    assert dvae("validate", "quick")[0] == 0


def test_a_recipe_extends_another_by_name(tmp_path):
    (tmp_path / "own.toml").write_text('extends = "mnist_plain"\nseed = 3\n')
    own, plain = load_recipe("own"), load_recipe("mnist_plain")
    assert own.to_table() == plain.to_table() | {"seed": 3}


def test_packages_with_one_name_are_told_apart(mine, dvae):
    with pytest.raises(RecipeError, match='write "dvae-mine:quick" or "dvae-core:quick"'):
        load_recipe("quick")
    assert load_recipe("dvae-mine:quick").seed == 7
    assert load_recipe("faster").seed == 8
    assert dvae("copy", "faster", "own.toml") == (0, "own.toml\n", "")
    with open("own.toml") as file:
        assert file.read() == ('# In a hurry.\nextends = "dvae-mine:quick"\nseed = 8\n')
    assert load_recipe("own.toml").seed == 8


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.toml")))
def test_a_copy_means_the_same_and_keeps_its_comments(dvae, name):
    assert dvae("copy", name, "my.toml") == (0, "my.toml\n", "")
    pairs = ['pairs=[["0", "8"]]']
    assert load_recipe("my.toml", pairs).to_table() == load_recipe(name, pairs).to_table()
    original = (RECIPES / f"{name}.toml").read_text().splitlines()
    with open("my.toml") as file:
        copied = file.read().splitlines()
    different = [a for a, b in zip(original, copied, strict=True) if a != b]
    assert all(line.startswith(("extends", "path")) for line in different)


def test_a_copied_sweep_plans_the_same_runs(dvae):
    assert dvae("copy", "kl_variants")[:2] == (0, "kl_variants.toml\n")
    registry = load_registry()

    def planned(sweep):
        return [v.name for v in Plan(load_sweep(sweep, registry), (), registry).variants()]

    there = planned(RECIPES / "sweeps" / "kl_variants.toml")
    assert len(there) > 1
    assert planned("kl_variants.toml") == planned("dvae-core:kl_variants") == there


def test_a_copy_overwrites_nothing(dvae, tmp_path):
    (tmp_path / "quick.toml").write_text("mine")
    status, _, err = dvae("copy", "quick")
    assert status == 2
    assert "quick.toml: is there already" in err
    assert (tmp_path / "quick.toml").read_text() == "mine"
    assert dvae("copy", "quikc")[0] == 2


def test_the_list(dvae):
    rows = {row["name"]: row for row in json.loads(dvae("recipes", "--json")[1])}
    assert rows["quick"] == {
        "name": "quick",
        "kind": "recipe",
        "title": "A quick look",
        "needs": ["mnist", "wandb"],
        "distribution": "dvae-core",
        "version": rows["quick"]["version"],
        "seconds": None,
        "error": None,
    }
    assert rows["claim_fashion"]["kind"] == "sweep"
    assert rows["claim_fashion"]["needs"] == ["fashion_mnist"]
    text = dvae("recipes")[1]
    assert all(name in text for name in rows)


def test_a_list_with_a_recipe_that_cannot_be_read(mine, dvae, tmp_path):
    (tmp_path / "site-packages" / "faster.toml").write_text("title = \n")
    rows = {row["name"]: row for row in json.loads(dvae("recipes", "--json")[1])}
    assert "not valid TOML" in rows["dvae-mine:faster"]["error"]
    assert rows["quick"]["error"] is None


def test_the_list_loads_no_torch():
    code = "import sys; from dvae_core.cli import app; app(['recipes'], standalone_mode=False);"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


FIVE = """\
[dataset]
name = "mnist"

[encoder]
name = "mlp"
"""


def test_five_lines_are_a_recipe(dvae, tmp_path):
    (tmp_path / "five.toml").write_text(FIVE)
    recipe = load_recipe("five.toml")
    assert recipe.reconstruction.component.name == "squared_error"
    assert recipe.kl.component.name == "square"
    assert recipe.decoder.name == "mlp"
    assert [m.name for m in recipe.evaluate.metrics] == [
        "knn", "linear_probe", "silhouette", "active_units"
    ]  # fmt: skip
    out = dvae("show", "five.toml")[1]
    for key in ('name = "squared_error"', 'name = "square"', 'name = "knn"'):
        (line,) = [line for line in out.splitlines() if line.startswith(key)]
        assert line.endswith("# default"), line


def test_a_default_gives_way_to_what_is_said(tmp_path):
    (tmp_path / "five.toml").write_text(FIVE)
    half = load_recipe("five.toml", ["kl.weight=0.5", "evaluate.every=2"])
    assert (half.kl.component.name, half.kl.weight) == ("square", 0.5)
    assert (half.evaluate.every, len(half.evaluate.metrics)) == (2, 4)
    drawn = load_recipe("five.toml", ['evaluate.plots=["latent"]', "kl.name=abs"])
    assert drawn.evaluate.metrics == ()
    assert [plot.name for plot in drawn.evaluate.plots] == ["latent"]
    assert drawn.kl.component.name == "abs"


def test_a_recipe_that_was_run_says_how_long_it_took(dvae, install, tmp_path, recipe_file):
    site = tmp_path / "site-packages"
    (site / "tiny.toml").write_text(recipe_file.read_text())
    (site / "blobs.npz").write_bytes((tmp_path / "blobs.npz").read_bytes())
    code = MINE.replace('folder / "quick.toml", folder / "faster.toml"', 'folder / "tiny.toml"')
    install("my-recipes", code)

    def shown():
        rows = json.loads(dvae("recipes", "--json")[1])
        return {row["name"]: row["seconds"] for row in rows if row["seconds"] is not None}

    assert shown() == {}
    assert "took here" not in dvae("recipes")[1]
    dvae("run", "tiny", "--set", "train.epochs=3")  # another recipe than the one that is listed
    assert shown() == {}
    assert dvae("run", "tiny")[0] == 0
    assert [*shown()] == ["my-recipes:tiny"]
    assert "took here" in dvae("recipes")[1]


@pytest.mark.parametrize("held", ["", "[1]", '{"quick 0.1.0": "long"}', '{"quick 0.1.0": -1}'])
def test_times_that_cannot_be_read_are_none(held, tmp_path, monkeypatch):
    monkeypatch.setenv("DVAE_CACHE", str(tmp_path))
    (tmp_path / "timings").mkdir()
    (tmp_path / "timings" / "recipes.json").write_text(held)
    assert took.known_times() == {}
    took.keep(RECIPES / "quick.toml", 75.04)
    assert [*took.known_times().values()] == [75.0]
    took.keep(tmp_path / "other.toml", 3)
    assert len(took.known_times()) == 1
