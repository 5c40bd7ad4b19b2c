"""`dvae new-plugin`: what it writes passes its own tests and runs its own recipe."""

import subprocess
import sys

import pytest

from dvae_core.plugin.kinds import KINDS
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.sweep.sweep_file import load_sweep
from dvae_core.testing import check
from dvae_core.training.run import run_recipe

from .helpers import HALVING, ROOT


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [[kind] for kind in KINDS] + [list(KINDS)], ids="-".join)
def test_the_package_conforms_and_its_recipe_runs(dvae, tmp_path, as_installed, kinds):
    name = "dvae-first-try"
    flags = [flag for kind in kinds for flag in ("--kind", kind)]
    code, out, err = dvae("new-plugin", name, *flags, "--out", tmp_path)
    assert code == 0, err
    package = tmp_path / name
    assert out == f"{package}\n"
    files = ["README.md", "pyproject.toml", "recipe.toml", "src", "tests"]
    files += ["sweep.toml"] * ("launcher" in kinds)
    assert sorted(f.name for f in package.iterdir()) == sorted(files)
    assert not any("$" in f.read_text() for f in package.rglob("*") if f.is_file())
    as_installed(package)
    assert load_registry().broken == []
    for kind in kinds:
        component = load_registry().get(kind, "first_try")
        assert [o for o in check(component) if o.status != "passed"] == []
    recipe = load_recipe(package / "recipe.toml", ["train.epochs=1", "dataset.train_limit=300"])
    used = {p.kind for p in recipe.components if p.name == "first_try"}
    if "launcher" in kinds:
        used.add(load_sweep(package / "sweep.toml", load_registry()).launcher.kind)
    assert used == set(kinds)
    assert len(run_recipe(recipe, tmp_path / "runs").metrics()) == 1


@pytest.mark.slow
def test_its_tests_pass_and_are_there_for_each_kind(dvae, tmp_path):
    dvae("new-plugin", "dvae-both", "--kind", "schedule", "--kind", "kl", "--out", tmp_path)
    package = tmp_path / "dvae-both"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)]
    result = subprocess.run(
        command, capture_output=True, text=True, env={"PYTHONPATH": str(package / "src")}
    )
    assert result.returncode == 0, result.stdout
    from dvae_core.testing.checks import checks_of

    count = len(checks_of("schedule")) + len(checks_of("kl"))
    assert f"{count} passed" in result.stdout
    for tidy in (["check", "--select", "E,F,I,B"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *tidy, "--isolated", "--line-length", "100", "."]
        result = subprocess.run(command, cwd=package, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


def test_it_never_overwrites_and_leaves_nothing_behind(dvae, tmp_path, monkeypatch):
    flags = ["--kind", "plot", "--out", tmp_path]
    assert dvae("new-plugin", "dvae-one", *flags)[0] == 0
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    code, _, err = dvae("new-plugin", "dvae-one", *flags)
    assert code == 2
    assert "is there already, and nothing is overwritten" in err
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before

    def full(self, *arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    code, _, err = dvae("new-plugin", "dvae-two", *flags)
    assert code == 1
    assert "No space left on device" in err
    assert [f.name for f in tmp_path.iterdir()] == ["dvae-one"]


@pytest.mark.parametrize(
    "name", ["torch", "json", "class", "1st", "a/b", "../up", "-x", "a--b", "", "dvae-core", "é"]
)
def test_names_that_cannot_be_used(dvae, tmp_path, name):
    code, out, err = dvae("new-plugin", "--kind", "plot", "--out", tmp_path, "--", name)
    assert (code, out) == (2, "")
    assert "cannot name a package" in err or "would hide the Python module" in err
    assert list(tmp_path.iterdir()) == []


def test_other_mistakes(dvae, tmp_path):
    assert 'did you mean "plot"?' in dvae("new-plugin", "dvae-x", "--kind", "plott")[2]
    assert (
        "there is no such folder"
        in dvae("new-plugin", "dvae-x", "--kind", "plot", "--out", tmp_path / "gone")[2]
    )
    assert dvae("new-plugin", "dvae-x")[0] == 2


@pytest.mark.slow
def test_the_example_package_conforms_and_runs(as_installed, tmp_path):
    import shutil

    package = tmp_path / "dvae-staircase"
    shutil.copytree(ROOT / "examples" / "dvae-staircase", package)
    as_installed(package)
    for kind, name in (("schedule", "staircase"), ("dataset", "staircases")):
        component = load_registry().get(kind, name)
        assert [o for o in check(component) if o.status != "passed"] == []
    recipe = load_recipe(package / "recipe.toml")
    run = run_recipe(recipe, tmp_path / "runs")
    assert run.metrics()[-1]["test/knn_accuracy"] > 0.9


def test_fifty_plugins_do_not_slow_the_list(install, dvae):
    """All fifty are listed; what they cost is measured by benchmarks/start_up.py."""
    for n in range(50):
        install(f"dvae-many-{n}", HALVING.replace('"halving"', f'"halving_{n}"'))
    code, out, _ = dvae("list-plugins", "--kind", "schedule")
    assert code == 0
    assert all(f"halving_{n} " in out for n in range(50))
