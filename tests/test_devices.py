"""Runs on other devices than the processor: on one made in Python, and what runs leave behind."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dvae_core import load_run, resume_run, run_recipe
from dvae_core.model.numerics import numerics
from dvae_core.recipe.recipe import load_recipe

from .helpers import ROOT, SHIPPED, Heard, rows, same_state, state


@pytest.mark.slow
def test_a_step_of_every_recipe_stays_on_its_device():
    file = Path(__file__).with_name("on_made_up_device.py")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(SHIPPED)} passed" in done.stdout


# --- What runs leave behind, and take up elsewhere.


def kept_elsewhere(run, **changes):
    """Put something else into the last checkpoint of a run, as another machine would have."""
    file = run.last_checkpoint()
    kept = torch.load(file, weights_only=True)
    kept |= {k: v for k, v in changes.items() if k in kept}
    kept["global_random"] |= {k: v for k, v in changes.items() if k not in kept}
    torch.save(kept, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n")


OF_A_GPU = torch.zeros(16, dtype=torch.uint8)
"""The state of a generator there: seed and offset."""


def test_a_run_of_a_gpu_goes_on_without_one(recipe_file, tmp_path):
    whole = run_recipe(load_recipe(recipe_file), tmp_path)
    run = run_recipe(load_recipe(recipe_file, ["train.epochs=3"]), tmp_path)
    kept_elsewhere(run, cuda=[OF_A_GPU])
    longer = load_recipe(run.path / "recipe.toml", ["train.epochs=4"])
    heard = Heard()
    resume_run(run.path, longer, watch=heard)
    assert heard.warnings == []
    assert rows(run) == rows(whole)
    assert same_state(state(run), state(whole))


def test_a_run_that_drew_its_noise_on_gpus_goes_on_with_other_noise(recipe_file, tmp_path):
    run = run_recipe(load_recipe(recipe_file, ["train.epochs=3"]), tmp_path)
    usual = run_recipe(load_recipe(recipe_file), tmp_path)
    kept_elsewhere(run, noise=OF_A_GPU, cuda=[OF_A_GPU] * 4)
    load_run(run.path).evaluate()
    heard = Heard()
    resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=4"]), watch=heard)
    (said,) = heard.warnings
    assert "drew its latent noise on a GPU" in said
    a, b = run.metrics()[-1]["train/loss"], usual.metrics()[-1]["train/loss"]
    assert a != b
    assert a == pytest.approx(b, rel=0.1)


@pytest.mark.parametrize(("index", "expected"), [(None, 0), (2, 2), (7, 0)])
def test_a_gpu_takes_its_own_state_or_the_only_one(monkeypatch, index, expected):
    from dvae_core import randomness

    states = [torch.full((16,), n, dtype=torch.uint8) for n in range(4)]
    taken = []
    monkeypatch.setattr(randomness, "_set_state_of", lambda device, state: taken.append(state))
    device = torch.device("cuda", index) if index is not None else torch.device("cuda")
    for kept in (states, states[:1]):
        state = randomness.global_state() | {"cuda": kept}
        randomness.set_global_state(state, device)
        randomness.set_global_state(state, torch.device("cpu"))
    assert [int(t[0]) for t in taken] == [expected, 0]


def test_a_run_on_the_processor_leaves_gpus_alone(monkeypatch):
    from dvae_core import randomness

    def touched(*_):
        raise AssertionError("a GPU was asked for")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("get_rng_state", "get_rng_state_all", "set_rng_state", "set_rng_state_all"):
        monkeypatch.setattr(torch.cuda, name, touched)
    state = randomness.global_state(torch.device("cpu"))
    assert state.keys() == {"torch", "numpy", "python"}
    with randomness.set_aside(0, "a purpose"):
        torch.rand(1)
    randomness.set_global_state(state | {"cuda": [OF_A_GPU]}, torch.device("cpu"))


# --- TF32 and determinism.


def flags():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    strict = torch.are_deterministic_algorithms_enabled()
    return cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic, strict


def test_only_tf32_is_tf32_and_all_is_put_back(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    before = flags()
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    for precision, expected in (("float32", False), ("bfloat16", False), ("tf32", True)):
        with numerics(precision):
            assert flags() == (expected, expected, False, *before[3:])
    with numerics("float32", deterministic=True):
        assert flags() == (False, False, False, True, True)
    assert flags() == (*before[:2], True, *before[3:])


def test_run_json_says_what_was_in_force(recipe_file, tmp_path):
    before = flags()
    for precision, tf32 in (("float32", False), ("tf32", True)):
        changes = ["train.epochs=2", f"train.precision={precision}", "train.deterministic=true"]
        info = run_recipe(load_recipe(recipe_file, changes), tmp_path).info
        assert (info["tf32"], info["cudnn_benchmark"]) == (tf32, False)
        assert info["deterministic_algorithms"] is True
    assert flags() == before
