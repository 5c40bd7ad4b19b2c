import json
import os
import re

import pytest

from dvae_core.cli import app

from .helpers import RECIPES, ROOT

VERBS = [
    "run",
    "sweep",
    "recipes",
    "copy",
    "doctor",
    "encode",
    "decode",
    "sample",
    "list-plugins",
    "describe",
    "validate",
    "show",
    "plan",
    "schema",
    "evaluate",
    "compare",
    "explore",
    "report",
    "export",
    "push",
    "morph",
    "new-plugin",
    "check-plugin",
]


def test_run_prints_the_run_folder_last_and_talks_on_stderr(dvae, recipe_file, tmp_path):
    code, out, err = dvae("run", recipe_file, "--out", tmp_path / "runs", "--set", "seed=7")
    assert code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"small-\d{8}-\d{6}-[a-z]{4}", folder.name)
    assert out == f"{folder}\n"
    lines = err.splitlines()
    assert "4 epochs of 5 steps on cpu" in lines[0]
    assert [line[:9] for line in lines[1:5]] == [f"epoch {n}/4" for n in range(1, 5)]
    assert max(map(len, lines[1:])) <= max(80, len(lines[-1]))
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    (loss,) = [line.split() for line in lines if line.startswith("loss ")]
    assert loss[1:] == [f"{last['train/loss']:.2f}"]
    assert lines[-1] == f"next: dvae explore {folder}"
    assert "seed = 7" in (folder / "recipe.toml").read_text()

    code, out, err = dvae("run", "--resume", folder, "--set", "train.epochs=5")
    assert (code, out) == (0, f"{folder}\n")
    assert "from step 20" in err
    code, out, err = dvae("run", recipe_file, "--resume", folder, "--set", "train.epochs=6")
    assert code == 2
    assert "seed is 1 and was 7" in err


def test_dry_run_makes_no_folder(dvae, recipe_file, tmp_path):
    code, out, _ = dvae("run", recipe_file, "--dry-run", "--out", tmp_path / "runs")
    assert code == 0
    assert "192 training images of 1x8x8" in out
    assert "4 epochs of 5 steps" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "give a recipe, or --resume RUN"),
        (["run", "gone.toml"], 2, "gone.toml: there is no such file"),
        (["validate", "gone.toml"], 2, "gone.toml: there is no such file"),
        (["show", "gone.toml"], 2, "gone.toml: there is no such file"),
        (["run", "small.toml", "--set", "kl.wieght=1"], 2, 'did you mean "weight"?'),
        (["run", "small.toml", "--set", "optimizer.lr=-1"], 2, "Invalid learning rate"),
        (["run", "small.toml", "--set", "latent.dim=0"], 2, "[latent] dim"),
        (["run", "small.toml", "--set", "encoder.name=conv"], 2, "at least 18x18"),
        (["run", "small.toml", "--set", "train.device=cuda:9"], 2, "not available"),
        (["run", "small.toml", "--set", "dataset.path=gone.npz"], 1, "gone.npz: there is no such"),
        (["run", "small.toml", "--out", "small.toml"], 2, "is a file, not a folder"),
        (["run", "small.toml", "--out", "small.toml/runs"], 1, "cannot be written"),
        (["run", "--resume", "gone"], 1, "gone: not a run folder"),
        (["run", "--resume", "."], 1, "not a run folder"),
        (["nonsense"], 2, "No such command"),
        (["run", "small.toml", "--nonsense"], 2, "No such option"),
    ],
)
def test_mistakes_get_one_message_and_the_right_code(
    dvae, recipe_file, monkeypatch, arguments, code, message
):
    monkeypatch.chdir(recipe_file.parent)
    before = sorted(recipe_file.parent.iterdir())
    found, out, err = dvae(*arguments)
    assert found == code
    assert message in err
    assert out == ""
    assert "Traceback" not in err
    assert sorted(recipe_file.parent.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_read_only_folder_and_a_damaged_npz(dvae, recipe_file, tmp_path):
    (tmp_path / "blobs.npz").write_bytes((tmp_path / "blobs.npz").read_bytes()[:-50])
    code, _, err = dvae("run", recipe_file, "--out", tmp_path / "runs")
    assert code == 1
    assert "blobs.npz: no readable npz file" in err
    assert not (tmp_path / "runs").exists()


def test_debug_shows_where_an_error_came_from(dvae):
    with pytest.raises(Exception, match="there is no such file"):
        dvae("validate", "gone.toml", "--debug")


def test_validate_says_so_when_all_is_well(dvae):
    code, out, err = dvae("validate", RECIPES / "mnist_abs.toml")
    assert (code, out) == (0, "")
    assert err.endswith("mnist_abs.toml: no mistakes found\n")


def test_show_gives_values_with_origins_and_draws_the_weights(dvae):
    recipe = RECIPES / "mnist_square.toml"
    code, out, _ = dvae("show", recipe, "--set", "train.epochs=5")
    assert code == 0
    assert re.search(r'^name = "square" +# .*mnist_square\.toml:6$', out, re.M)
    assert re.search(r"^weight = 0\.5 +# .*mnist_plain\.toml:\d+$", out, re.M)
    assert re.search(r"^epochs = 5 +# --set train\.epochs=5$", out, re.M)
    assert re.search(r'^precision = "float32" +# ', out, re.M)
    assert re.search(r"^lines = 100 +# default$", out, re.M)
    assert re.search(r"^# guidance +20 █+.*▁+ 0\.01$", out, re.M)


def test_what_show_prints_is_a_recipe(dvae, tmp_path):
    _, out, _ = dvae("show", RECIPES / "mnist_abs.toml")
    copy = tmp_path / "copy.toml"
    copy.write_text(out)
    _, again, _ = dvae("show", copy)
    strip = [re.sub(r"\s+#.*", "", line) for line in out.splitlines()]
    assert strip == [re.sub(r"\s+#.*", "", line) for line in again.splitlines()]


def test_no_plugins_may_stand_anywhere(dvae, install):
    install("dvae-bad", "raise RuntimeError")
    assert "RuntimeError" in dvae("list-plugins")[1]
    assert "RuntimeError" not in dvae("list-plugins", "--no-plugins")[1]


def test_every_verb_has_help_that_ends_in_examples(dvae):
    assert sorted(VERBS) == sorted(c.name for c in app.registered_commands)
    for verb in VERBS:
        code, out, _ = dvae(verb, "--help")
        assert code == 0
        end = out[out.index("Examples:") :]
        assert f"dvae {verb}" in end
    assert dvae("--version")[1] == "0.1.0\n"


def test_a_recipe_chooses_the_figures_of_the_line(dvae, recipe_file, tmp_path):
    figures = 'evaluate.line=["knn_accuracy", "nonsense"]'
    _, _, err = dvae("run", recipe_file, "--out", tmp_path, "--set", figures)
    (line, *_) = [line for line in err.splitlines() if line.startswith("epoch")]
    assert re.search(r"\| knn_accuracy [\d.]+  nonsense -$", line), line
    assert err.count('evaluate.line: there is no figure "nonsense"') == 1


def test_the_readme_names_every_verb():
    readme = (ROOT / "README.md").read_text()
    assert all(f"dvae {verb}" in readme for verb in VERBS)
