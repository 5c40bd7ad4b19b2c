"""What was made with earlier versions goes on working; what has moved is found, with a warning."""

from __future__ import annotations

import importlib
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dvae_core
from dvae_core import moved
from dvae_core.plugin.kinds import KINDS

from . import forked

FIXTURES = Path(__file__).parent / "fixtures"
WHEELS = FIXTURES / "wheels"


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """Wheels built for 0.1.0, unpacked as an installer would."""
    site = tmp_path_factory.mktemp("site")
    for wheel in sorted(WHEELS.glob("*.whl")):
        zipfile.ZipFile(wheel).extractall(site)
    return site


@pytest.fixture
def dvae_beside(packages, tmp_path):
    """Runs the command in a process of its own that finds the wheels' packages."""

    def run(*arguments, without=False):
        path = [os.environ.get("PYTHONPATH", "")] + ([] if without else [str(packages)])
        done = forked.run(
            [sys.executable, "-m", "dvae_core", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
        )
        return done.returncode, done.stdout.strip(), done.stderr

    return run


@pytest.mark.slow
def test_components_of_old_wheels_keep_the_contract(dvae_beside):
    code, out, _ = dvae_beside("list-plugins", "--json")
    assert code == 0
    rows = json.loads(out)
    assert {row["status"] for row in rows} <= {"ok", "slow"}
    everything = {row["kind"] for row in rows if row["distribution"] == "dvae-everything"}
    assert everything == set(KINDS) - {"posterior"}  # which came later
    for distribution in ("dvae-everything", "dvae-staircase"):
        code, out, err = dvae_beside("check-plugin", distribution)
        assert code == 0, out + err
        assert "failed" not in out


@pytest.mark.slow
def test_a_wheel_that_used_inner_modules_trains_and_sweeps(dvae_beside, tmp_path):
    recipe = (FIXTURES / "veteran.toml").read_text()
    (tmp_path / "veteran.toml").write_text(recipe)
    (tmp_path / "sweep.toml").write_text(
        'recipe = "veteran.toml"\nseeds = 2\ngoal = "lowest test/veteran_void"\n'
        'launcher = { name = "veteran" }\n'
    )
    code, out, err = dvae_beside("sweep", "sweep.toml")
    assert code == 0, err
    folder = tmp_path / out.splitlines()[-1]
    notes = json.loads((folder / "notes.json").read_text())
    assert "veteran_void" in notes["figures"]
    for run in folder.glob("*-seed-*"):
        assert json.loads((run / "notes.json").read_text())["key"] == 2
        assert "failed" not in (run / "metrics.jsonl").read_text()
    assert "failed" not in err


@pytest.mark.slow
def test_a_run_is_looked_at_without_the_plugins_that_it_trained_with(dvae_beside, tmp_path):
    recipe = (FIXTURES / "veteran.toml").read_text()
    (tmp_path / "lone.toml").write_text(
        recipe.replace('[dataset]\nname = "veteran"', '[dataset]\nname = "npz"\npath = "some.npz"')
    )
    labels = np.arange(90) % 3
    images = np.random.default_rng(0).integers(0, 60, (90, 8, 8))
    images[np.arange(90), 2 * labels] += 150
    np.savez(tmp_path / "some.npz", images=images.astype(np.uint8), labels=labels)
    code, run, err = dvae_beside("run", "lone.toml")
    assert code == 0, err
    with_it = dvae_beside("evaluate", run, "--json")[1]
    code, without_it, err = dvae_beside("evaluate", run, "--json", without=True)
    assert code == 0, err
    told = [line for line in err.splitlines() if "not installed" in line]
    assert len(told) == 1
    for kind in ("term", "metric", "plot", "callback", "schedule"):
        assert f'{kind} "veteran" of dvae-veteran' in told[0]
    expected = json.loads(with_it)
    # The term named the pair; nobody does without it.
    for gone in ("veteran_void", "direct_path/0-1", "void_rate/0-1"):
        expected.pop(gone)
    assert json.loads(without_it) == expected
    for verb in (["explore", run, "--html", "p.html"], ["morph", run, "0", "1"], ["report", run]):
        code, _, err = dvae_beside(*verb, without=True)
        assert code == 0, err
    code, _, err = dvae_beside("run", "--resume", run, "--set", "train.epochs=3", without=True)
    assert code == 2
    assert "pip install dvae-veteran==0.1.0" in err


@pytest.mark.parametrize("old", sorted(moved.MODULES))
def test_old_modules_are_the_new_ones(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is {moved.MODULES[old]} now"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(moved.MODULES[old])


def test_a_module_in_a_folder_that_moved_is_not_loaded_twice():
    sys.modules.pop("dvae_core.borders", None)
    with (
        pytest.warns(DeprecationWarning, match="dvae_core.borders is dvae_core.latent.borders now"),
        pytest.warns(DeprecationWarning, match="is dvae_core.latent.borders.judge now"),
    ):
        old = importlib.import_module("dvae_core.borders.judge")
    assert old is importlib.import_module("dvae_core.latent.borders.judge")


def test_names_of_modules_that_are_packages_now_are_found():
    from dvae_core.latent.morph import morph
    from dvae_core.model.guided_vae import GuidedVAE

    with pytest.warns(DeprecationWarning, match="dvae_core.model.guided_vae.GuidedVAE now"):
        from dvae_core.model import GuidedVAE as found  # noqa: N813
    assert found is GuidedVAE
    with pytest.warns(DeprecationWarning, match="dvae_core.morph now"):
        assert dvae_core.walk is morph
    with pytest.raises(ImportError):
        from dvae_core.model import nonsense  # noqa: F401
