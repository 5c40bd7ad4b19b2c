"""Every verb with --json prints one JSON document alone, of the shape that `dvae schema` shows."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from dvae_core.cli import app
from dvae_core.cli.shapes import SHAPES
from dvae_core.plugin.kinds import KINDS
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.training.run import run_recipe

from .helpers import RECIPES

SHORT = """
from dvae_core import Schedule, hookimpl


class Short(Schedule):
    \'\'\'Has no end.\'\'\'

    name = "short"

    def value(self, t):
        return "much"

    def settles_at(self):
        return 1.0


@hookimpl
def register_schedules():
    return [Short]
"""

SWEEP = """\
recipe = "small.toml"
seeds = 2

[launcher]
name = "inline"
"""


@pytest.fixture
def run(recipe_file, tmp_path, judged_after):
    judged_after(10)
    changes = ["train.epochs=2", "evaluate.plots=[]"]
    return run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs").path


@pytest.fixture
def shaped(dvae):
    """Runs a verb with --json; its document, checked against the verb's schema."""

    def shaped(verb, *arguments, status=0):
        code, out, err = dvae(verb, *arguments, "--json")
        assert code == status, err
        document = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
        schema = json.loads(dvae("schema", verb)[1])
        jsonschema.validate(document, schema)
        return document

    return shaped


def test_every_verb_with_json_has_a_shape():
    with_json = {
        command.name
        for command in app.registered_commands
        if "as_json" in command.callback.__annotations__
    }
    assert with_json == set(SHAPES)


def test_no_shape_takes_what_it_does_not_name():
    for verb, shape in SHAPES.items():
        assert issubclass(shape, BaseModel)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"surprise": [None]}, shape.model_json_schema())
        assert shape.model_json_schema()["description"], verb


def test_a_shape_asked_for_in_vain(dvae):
    code, _, err = dvae("schema", "evalute")
    assert code == 2
    assert 'did you mean "evaluate"' in err


def test_plugins_recipes_and_facts(shaped, install):
    install("dvae-bad", "raise RuntimeError('no luck')")
    rows = shaped("list-plugins")
    assert {row["kind"] for row in rows} >= {*KINDS, None}
    assert [row["error"] for row in rows if row["status"] == "broken"] == ["RuntimeError: no luck"]
    assert "quick" in {row["name"] for row in shaped("recipes")}
    assert "python" in shaped("doctor", status=1)["versions"]  # for a plugin is broken


def test_every_component_is_described(shaped):
    for provider in load_registry().of_kind("metric") + load_registry().of_kind("schedule"):
        found = shaped("describe", provider.kind, provider.name)
        assert (found["name"], found["distribution"]) == (provider.name, "dvae-core")
    borders = shaped("describe", "metric", "borders")
    assert {"name": "lines", "type": "integer ≥ 1", "default": "100"}.items() <= next(
        key for key in borders["keys"] if key["name"] == "lines"
    ).items()
    table = shaped("describe", "train")
    assert (table["name"], table["keys"][0]["name"]) == (None, "epochs")


def test_recipes_are_shown_and_validated(shaped, recipe_file, tmp_path):
    found = shaped("show", RECIPES / "mnist_square.toml", "--set", "train.epochs=5")
    assert found["recipe"]["train"]["epochs"] == 5
    assert found["origins"]["train.epochs"] == "--set train.epochs=5"
    assert "mnist_square.toml:6" in found["origins"]["kl.name"]
    assert found["origins"]["evaluate.metrics.0.name"]
    assert [term["term"] for term in found["loss"]["terms"]][:2] == ["reconstruction", "kl"]
    assert shaped("validate", recipe_file)["problems"] == []
    wrong = shaped("validate", recipe_file, "--set", "kl.wieght=1", status=2)
    assert 'did you mean "weight"' in wrong["problems"][0]


def test_runs_are_measured_compared_and_morphed(shaped, run):
    found = shaped("evaluate", run)
    assert (found["run"], found["epoch"]) == (run.name, 2)
    assert 0 <= found["knn_accuracy"] <= 1
    (row,) = shaped("compare", run.parent)["rows"]
    assert row["runs"] == [str(run)]
    assert len(shaped("encode", run)["images"]) == 48
    found = shaped("morph", run, "0", "2", "--steps", "5", "--animate")
    assert (found["a"], found["b"], len(found["steps"])) == ("0", "2", 5)
    assert found["picture"].endswith("0-2-straight-0.png")
    assert found["animation"].endswith("0-2-straight-0.gif")


def test_a_plan(shaped, recipe_file, tmp_path):
    changes = ['kl={name="class_prior", means="planned"}', 'pairs=[["0", "1"]]']
    given = [text for change in changes for text in ("--set", change)]
    found = shaped("plan", recipe_file, *given, "--out", tmp_path / "plan.png")
    assert found["means"].keys() == {"0", "1", "2"}
    assert found["direct_path"].keys() == {"0-1"}


def test_a_sweep(shaped, inline, write, tmp_path):
    file = write(SWEEP)
    out = ("--out", tmp_path / "sweeps")
    forecast = shaped("sweep", file, "--dry-run", *out)["forecast"]
    assert list(forecast["runs"].values()) == [2, 2]
    found = shaped("sweep", file, *out)
    assert found["failed"] == {}
    assert len(found["comparison"]["rows"][0]["runs"]) == 2
    assert found["sweep"].startswith(str(tmp_path / "sweeps"))


def test_a_run(shaped, recipe_file, tmp_path):
    out = ("--out", tmp_path / "runs")
    prepared = shaped("run", recipe_file, "--dry-run", *out)["prepared"]
    assert prepared["image_shape"] == [1, 8, 8]
    assert prepared["terms"] == ["reconstruction", "kl", "guidance"]
    found = shaped("run", recipe_file, "--set", "train.epochs=2", *out)
    assert (found["status"], found["epoch"], found["prepared"]) == ("finished", 2, None)
    rows = RunFolder.open(Path(found["run"])).metrics()
    assert found["metrics"] == {k: v for k, v in rows[-1].items() if k not in ("epoch", "step")}


def test_plugins_are_checked_and_begun(shaped, install, tmp_path):
    install("dvae-short", SHORT)
    (component,) = shaped("check-plugin", "dvae-short", status=1)["components"]
    assert (component["kind"], component["name"]) == ("schedule", "short")
    failed = [check for check in component["checks"] if check["status"] == "failed"]
    assert failed
    assert all(check["reason"] for check in failed)
    found = shaped("new-plugin", "dvae-mine", "--kind", "schedule", "--out", tmp_path)
    assert Path(found["folder"]).is_dir()
    assert found["next"][-1] == "dvae run recipe.toml"


COMPLETE = """
import contextlib, io, json, os, sys
from dvae_core.__main__ import main

sys.argv, os.environ["_DVAE_COMPLETE"] = ["dvae"], "complete_bash"
offered = []
for words in json.load(sys.stdin):
    os.environ |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    offered.append(out.getvalue().split())
heavy = {"torch", "matplotlib", "scipy", "sklearn"} & {*sys.modules}
print(json.dumps({"offered": offered, "heavy": sorted(heavy)}))
"""


@pytest.mark.slow
def test_the_shell_completes_recipes_components_and_runs_without_torch(tmp_path):
    for folder in ("runs/one", "runs/two", "sweeps/s/a"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "run.json").touch()
    cases = {
        "dvae run mnist_ab": ["mnist_abs"],
        "dvae describe sched": ["schedule"],
        "dvae describe tr": ["train"],
        "dvae describe schedule sig": ["sigmoid"],
        "dvae list-plugins --kind enc": ["encoder"],
        "dvae evaluate runs/one --metric kn": ["knn"],
        "dvae evaluate runs/": ["runs/one", "runs/two"],
        "dvae encode runs/tw": ["runs/two"],
        "dvae explore sweeps/s": ["sweeps/s/"],
        "dvae morph sweeps/s/": ["sweeps/s/a"],
        "dvae run --resume ru": ["runs/"],
        "dvae schema eval": ["evaluate"],
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE],
        cwd=tmp_path,
        input=json.dumps(list(cases)),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert dict(zip(cases, found["offered"], strict=True)) == cases
    assert found["heavy"] == []
