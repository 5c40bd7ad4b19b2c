"""Compilation, and what a recipe leaves to the machine."""

import json

import numpy as np
import pytest
import torch

from dvae_core import load_recipe, resume_run, run_recipe
from dvae_core.errors import RecipeError
from dvae_core.plugin.registry import load_registry
from dvae_core.runs.watch import Watch
from dvae_core.training.run import prepare
from dvae_core.training.tuning import Candidate, _best, autotune

PLAIN = Candidate("float32", "off", first=0.1, step=0.010)


def losses(run):
    return [row["train/loss"] for row in run.metrics()]


@pytest.mark.slow
def test_a_compiled_run_is_the_same_run_and_compiles_once(recipe_file, tmp_path):
    # 192 images: the last batch is smaller. The label weight moves at each of the first ten steps.
    changes = ["train.batch_size=50", "train.epochs=4"]
    eager = run_recipe(load_recipe(recipe_file, changes), tmp_path)
    torch._dynamo.utils.counters.clear()
    fast = run_recipe(load_recipe(recipe_file, [*changes, "train.compile=on"]), tmp_path)
    np.testing.assert_allclose(losses(fast), losses(eager), rtol=1e-4)
    assert losses(fast)[0] > losses(fast)[-1]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]

    first = run_recipe(
        load_recipe(recipe_file, [*changes, "train.compile=on", "train.epochs=3"]), tmp_path
    )
    longer = first.load_recipe(load_registry(), ["train.epochs=4"])
    assert losses(resume_run(first.path, longer)) == losses(fast)


def test_a_compiler_that_fails_says_what_to_do(recipe_file, tmp_path, monkeypatch):
    def fails(graph, inputs):
        raise OSError("there is no C++ compiler")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: real(f, backend=fails))
    with pytest.raises(RecipeError, match=r'no C\+\+ compiler; set train.compile = "off"'):
        run_recipe(load_recipe(recipe_file, ["train.compile=on"]), tmp_path)
    # Where it is only tried, the run goes on without it.
    run = run_recipe(load_recipe(recipe_file, ["train.compile=auto"]), tmp_path)
    assert run.info["chosen"]["compile"] == "off"
    assert "compiled: failed" in run.info["chosen"]["measured"][1]


def test_a_way_must_save_a_tenth():
    assert _best([PLAIN, Candidate("bfloat16", "off", 0.1, 0.0095)], 1000) == PLAIN
    faster = Candidate("bfloat16", "off", 0.1, 0.0085)
    assert _best([PLAIN, faster], 1000) == faster


def test_compiling_pays_only_in_a_long_run():
    compiled = Candidate("float32", "on", first=30.0, step=0.005)
    assert _best([PLAIN, compiled], 1000) == PLAIN
    assert _best([PLAIN, compiled], 100_000) == compiled


def test_what_fails_is_not_chosen():
    assert _best([PLAIN, Candidate("float32", "on", failure="no compiler")], 1000) == PLAIN


@pytest.mark.slow
def test_auto_is_settled_remembered_and_kept(recipe_file, tmp_path, monkeypatch):
    recipe = load_recipe(recipe_file, ["train.precision=auto"])
    run = run_recipe(recipe, tmp_path)
    chosen = run.info["chosen"]
    assert chosen["precision"] in ("float32", "bfloat16")
    assert chosen["compile"] == "off"
    assert [line.split(":")[0] for line in chosen["measured"]] == ["float32", "bfloat16"]
    assert f'precision = "{chosen["precision"]}"' in (run.path / "recipe.toml").read_text()

    # Measured once: from here on, measuring would fail.
    monkeypatch.setattr("dvae_core.training.tuning._measured", None)
    data = prepare(load_recipe(recipe_file), Watch()).data
    settled, why = autotune(load_recipe(recipe_file, ["train.precision=auto"]), data, Watch())
    assert why == chosen["measured"]
    assert settled.train.precision == chosen["precision"]
    # And a run that goes on measures nothing.
    resume_run(run.path, run.load_recipe(load_registry(), ["train.epochs=5"]))
    assert json.loads((run.path / "run.json").read_text())["chosen"] == chosen


def test_a_recipe_that_says_auto_goes_on_with_what_was_settled(recipe_file, tmp_path):
    auto = ["train.precision=auto", "train.compile=off"]
    run = run_recipe(load_recipe(recipe_file, [*auto, "train.epochs=2"]), tmp_path)
    before = run.load_recipe(load_registry()).train.precision
    again = resume_run(run.path, load_recipe(recipe_file, [*auto, "train.epochs=3"]))
    assert again.metrics()[-1]["epoch"] == 3
    assert again.load_recipe(load_registry()).train.precision == before


def test_without_auto_nothing_is_measured(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr("dvae_core.training.tuning._measured", None)
    assert "chosen" not in run_recipe(load_recipe(recipe_file), tmp_path).info


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"precision": 1}]', '[{"step": "x"}]', "[1"])
def test_damaged_figures_are_measured_anew(recipe_file, tmp_path, monkeypatch, text):
    recipe = load_recipe(recipe_file, ["train.precision=auto"])
    data = prepare(load_recipe(recipe_file), Watch()).data
    file = tmp_path / "timings.json"
    file.write_text(text)
    monkeypatch.setattr("dvae_core.training.tuning._file", lambda *_: file)
    faster = Candidate("bfloat16", "off", 0.1, 0.005)
    monkeypatch.setattr("dvae_core.training.tuning._measured", lambda *_: [PLAIN, faster])
    assert autotune(recipe, data, Watch())[0].train.precision == "bfloat16"
    monkeypatch.setattr("dvae_core.training.tuning._measured", None)
    assert autotune(recipe, data, Watch())[0].train.precision == "bfloat16"
