"""The W&B callback: what it writes is read back with W&B's own tool."""

import glob
import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dvae_plugins.callbacks import wandb_session, wandb_tables
from dvae_plugins.callbacks.weights_and_biases import WandB

import dvae_core
from dvae_core import explore_page, load_run
from dvae_core.plugin.events import Events
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.sweep_folder import SweepFolder
from dvae_core.runs.watch import Watch
from dvae_core.sweep.driver import run_sweep
from dvae_core.training.run import resume_run, run_recipe

from .helpers import GRID, SweepHeard
from .wandb_stub import Stub

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb"),
]


@pytest.fixture
def with_wandb(recipe_file):
    text = recipe_file.read_text() + '[[callbacks]]\nname = "wandb"\nproject = "try"\n'
    recipe_file.write_text(text.replace('["knn"]', '["knn"]\nplots = ["latent"]'))
    return recipe_file


def read_back(file: Path) -> list[dict]:
    """The records of an offline run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def offline_files(run) -> list[Path]:
    return sorted(run.path.glob("wandb/offline-run-*/*.wandb"))


def test_an_offline_run_holds_scalars_figures_and_the_recipe(with_wandb, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a callback that failed would warn
        run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    (file,) = offline_files(run)
    records = read_back(file)
    history = [r["history"]["item"] for r in records if r["type"] == "history"]
    for row, ours in zip(history, run.metrics(), strict=True):
        assert row["_step"] == ours["step"]
        assert {k: row[k] for k in ours} == pytest.approx(ours)
        image = file.parent / "files" / row["figures/latent.path"]
        figure = run.figure_path(ours["epoch"], "latent")
        assert image.read_bytes() == figure.read_bytes()
    (record,) = (r["run"] for r in records if r["type"] == "run")
    assert record["project"] == "try"
    assert record["config"]["update"]["kl"] == {"name": "abs", "weight": 0.5}
    assert record["run_id"] == run.info["memory"]["wandb_id"]


def test_resuming_continues_the_same_id(with_wandb, tmp_path):
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    resume_run(run.path, load_recipe(run.path / "recipe.toml", ["train.epochs=5"]))
    ids, steps = set(), set()
    for file in offline_files(run):
        for record in read_back(file):
            if record["type"] == "run":
                ids.add(record["run"]["run_id"])
            elif record["type"] == "history":
                steps.add(record["history"]["item"]["_step"])
    assert ids == {run.info["memory"]["wandb_id"]}
    assert steps == {5, 10, 15, 20, 25}


def test_without_a_key_auto_means_offline(with_wandb, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    assert len(offline_files(run)) == 1


def history_of(run) -> list[dict]:
    (file,) = offline_files(run)
    return [r["history"]["item"] for r in read_back(file) if r["type"] == "history"]


def media(run, row: dict, key: str) -> Path:
    (file,) = offline_files(run)
    return file.parent / "files" / row[f"{key}.path"]


def test_figures_come_once_an_evaluated_epoch(with_wandb, tmp_path):
    run = run_recipe(load_recipe(with_wandb, ["evaluate.every=2"]), tmp_path / "runs")
    assert ["figures/latent.path" in row for row in history_of(run)] == [False, True, False, True]


def test_a_finished_run_leaves_its_page_and_a_table_of_test_images(with_wandb, tmp_path):
    changes = ['callbacks=[{name = "wandb", table = 30}]']
    run = run_recipe(load_recipe(with_wandb, changes), tmp_path / "runs")
    *before, last = history_of(run)
    assert not any(key.startswith(("explore", "test_images")) for row in before for key in row)
    loaded = load_run(run.path)
    assert media(run, last, "explore").read_text() == explore_page(loaded)

    table = json.loads(media(run, last, "test_images").read_text())
    assert table["columns"] == ["image", "reconstruction", "class", "judge", "head", "z1", "z2"]
    columns = dict(zip(table["columns"], zip(*table["data"], strict=True), strict=True))
    assert Counter(columns["class"]) == {"0": 10, "1": 10, "2": 10}
    snapshot = loaded.snapshot()
    means = np.column_stack([columns["z1"], columns["z2"]])
    distances = np.linalg.norm(means[:, None] - snapshot.test_means, axis=2)
    which = distances.argmin(axis=1)
    assert len(set(which)) == 30
    assert distances.min(axis=1).max() < 1e-5
    assert [int(name) for name in columns["class"]] == snapshot.test_labels[which].tolist()
    head = snapshot.classify(snapshot.test_means[which]).argmax(axis=1)
    assert [int(name) for name in columns["head"]] == head.tolist()
    verdicts = [-1 if name == "void" else int(name) for name in columns["judge"]]
    assert verdicts == snapshot.judge.verdicts(snapshot.test_means[which]).tolist()


def test_the_images_of_the_table_are_the_test_images(with_wandb, tmp_path, monkeypatch):
    tables = []
    make = wandb_tables.test_images
    monkeypatch.setattr(
        wandb_tables, "test_images", lambda *a: tables.append(make(*a)) or tables[-1]
    )
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    snapshot = load_run(run.path).snapshot()
    (table,) = tables
    assert len(table.data) == len(snapshot.test_labels)  # fewer than 200
    for row, image, back in zip(
        table.data, snapshot.test_images, snapshot.decode(snapshot.test_means), strict=True
    ):
        np.testing.assert_array_equal(np.array(row[0].image), np.round(image[0] * 255))
        np.testing.assert_array_equal(np.array(row[1].image), np.round(back[0] * 255))


def test_the_summary_has_the_best_and_the_charts_are_over_epochs(with_wandb, tmp_path):
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs")
    (file,) = offline_files(run)
    summary, over = {}, {}
    for record in read_back(file):
        if record["type"] == "summary":
            summary |= record["summary"].get("update", {})
        elif record["type"] == "metric":
            over[record["metric"]["name"]] = record["metric"].get("step_metric")
    rows = run.metrics()
    drawn = {key for key in rows[0] if key.startswith(("train/", "test/"))}
    assert {key for key, against in over.items() if against == "epoch"} == drawn
    for key, best, name in (
        ("train/loss", min, "min"),
        ("test/reconstruction", min, "min"),
        ("train/guidance", min, "min"),
        ("test/knn_accuracy", max, "max"),
    ):
        values = [row[key] for row in rows]
        assert summary[key] == pytest.approx({"last": values[-1], name: best(values)})


def test_a_page_that_fails_costs_a_warning_alone(with_wandb, tmp_path, monkeypatch):
    def fails(*runs):
        raise ValueError("no page today\nand a second line")

    monkeypatch.setattr(dvae_core, "explore_page", fails)
    listener = Listener()
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs", watch=listener)
    assert listener.warnings == ['callback "wandb": the page is left out: no page today']
    assert run.info["status"] == "finished"
    history = history_of(run)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert media(run, history[-1], "test_images").exists()
    assert "explore.path" not in history[-1]


def test_disabled_means_no_work_at_all(with_wandb, tmp_path, monkeypatch):
    def fails(*runs):
        raise AssertionError("nobody looks at it")

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(dvae_core, "load_run", fails)
    listener = Listener()
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs", watch=listener)
    assert listener.warnings == []
    assert not (run.path / "wandb").exists()


# --- The end of a sweep.


def summaries(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))


def records_of(file: Path, kind: str) -> list[dict]:
    return [record[kind] for record in read_back(file) if record["type"] == kind]


def test_a_sweep_ends_with_a_summary_of_its_group(with_wandb, inline, tmp_path):
    file = with_wandb.with_name("sweep.toml")
    file.write_text(GRID.replace("seeds = 2", "seeds = 1").replace(', "abs"', ""))
    heard = SweepHeard()
    flags = ["train.epochs=2", 'callbacks=[{name = "wandb", project = "try", table = 0}]']
    done = run_sweep(file, tmp_path / "sweeps", overrides=flags, watch=heard)
    assert heard.warnings == []
    (summary,) = summaries(done.path)
    (about,) = records_of(summary, "run")
    assert about["job_type"] == "summary"
    assert about["display_name"] == about["run_group"] == done.path.name
    assert about["project"] == "try"
    (one,) = records_of(*summaries(done.path / "kl-square-seed-0"), "run")
    assert one["run_group"] == done.path.name
    assert "job_type" not in one


@pytest.fixture
def swept(recipe_file, inline, tmp_path):
    """A sweep that nobody has logged yet."""
    file = recipe_file.with_name("sweep.toml")
    file.write_text(f'title = "Both"\n{GRID}')
    flags = ["train.epochs=2"]
    return run_sweep(file, tmp_path / "sweeps", overrides=flags, watch=SweepHeard()).path


def tell(folder: Path) -> list[str]:
    """Tell a callback of the end of a sweep; what it warns of."""
    heard = SweepHeard()
    events = Events(load_registry(), [WandB(project="try")], heard.warn)
    events.tell("sweep_finished", sweep=SweepFolder(folder))
    return heard.warnings


def test_the_summary_has_the_table_the_figures_and_the_report(swept):
    assert tell(swept) == []
    (file,) = summaries(swept)
    files, logged = file.parent / "files", {}
    for record in records_of(file, "history"):
        logged |= record["item"]
    figure = (swept / "figures" / "metrics.png").read_bytes()
    assert (files / logged["figures/metrics.path"]).read_bytes() == figure
    report = (swept / "report.html").read_text()
    assert (files / logged["report.path"]).read_text() == report
    table = json.loads((files / logged["comparison.path"]).read_text())
    columns = dict(zip(table["columns"], zip(*table["data"], strict=True), strict=True))
    assert columns["variant"] == ("kl-abs", "kl-square")
    assert columns["kl.name"] == ("abs", "square")
    assert columns["seeds"] == (2, 2)
    for place, kl in enumerate(("abs", "square")):
        values = [
            RunFolder.open(swept / f"kl-{kl}-seed-{seed}").metrics()[-1]["test/kl"]
            for seed in (0, 1)
        ]
        assert columns["kl"][place] == pytest.approx(sum(values) / 2)
        # Student's t of two values, 12.706, times half of what they differ by.
        margin = 12.7062 * abs(values[0] - values[1]) / 2
        assert columns["kl margin"][place] == pytest.approx(margin, rel=1e-4)


def test_a_sweep_that_goes_on_is_summed_up_again_only_if_something_is_new(swept):
    assert tell(swept) + tell(swept) == []
    assert len(summaries(swept)) == 1
    table = swept / "comparison.csv"
    table.write_text(table.read_text() + "another row\n")
    time.sleep(1.1)  # the names of W&B's folders tell seconds apart
    assert tell(swept) == []
    first, second = summaries(swept)
    assert records_of(first, "run")[0]["run_id"] == records_of(second, "run")[0]["run_id"]


def test_disabled_means_no_summary(swept, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tell(swept) == []
    assert not (swept / "wandb").exists()


# --- A server that answers, or does not.


@pytest.fixture
def online(monkeypatch):
    """A function that starts a stub of the server and makes it the one that W&B talks to."""
    import wandb

    stubs = []

    def start(**behaviour) -> Stub:
        stubs.append(Stub(**behaviour))
        monkeypatch.setenv("WANDB_BASE_URL", stubs[-1].url)
        return stubs[-1]

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(wandb_session, "KNOCK_TIMEOUT", 1)
    monkeypatch.setattr(wandb_session, "FINISH_TIMEOUT", 2)
    wandb.teardown()
    yield start
    for stub in stubs:
        stub.close()
    wandb.teardown()


def test_a_sweep_whose_server_is_gone_is_summed_up_offline(swept, online):
    online().close()
    (warning,) = tell(swept)
    assert "logging offline, because the server did not take the run" in warning
    assert f"wandb sync {swept}/wandb/offline-run-*" in warning
    assert len(summaries(swept)) == 1


def test_a_summary_arrives_at_a_server_once(swept, online):
    stub = online()
    assert tell(swept) == []
    arrived = list(stub.run_ids)
    (memory,) = json.loads((swept / "memory.json").read_text()).values()
    assert set(arrived) == {memory["id"]}
    assert [a["type"] for a in stub.artifacts if a["committed"]] == ["run_table"]
    assert tell(swept) == []
    assert stub.run_ids == arrived


def test_a_summary_that_a_server_drops_is_sent_again(swept, online, monkeypatch):
    first = online()
    with monkeypatch.context() as patch:
        patch.setattr(wandb_tables, "comparison", lambda found: first.close())
        table, warning = tell(swept)
    assert "the table is left out" in table
    assert f"wandb sync --include-online {swept}/wandb/run-*" in warning
    second = online()
    assert tell(swept) == []
    assert set(second.run_ids) == set(first.run_ids)


def uploaded_later(warning: str, stub: Stub, folder: Path) -> list[int]:
    """The steps that arrive by the command at the end of a warning."""
    command = re.search(r"wandb (sync .*)$", warning)[1].split()
    *options, pattern = command
    command = [sys.executable, "-m", "wandb", *options, *glob.glob(pattern)]
    environment = {**os.environ, "WANDB_BASE_URL": stub.url}
    result = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    return stub.steps


class Listener(Watch):
    """Keeps the warnings, and does something after the second epoch."""

    def __init__(self, after_two=lambda: None):
        self.warnings, self.after_two = [], after_two

    def warn(self, text):
        self.warnings.append(text)

    def epoch_finished(self, row):
        if row["epoch"] == 2:
            self.after_two()


def test_an_online_run_arrives_and_resuming_continues_the_same_id(with_wandb, tmp_path, online):
    stub, listener = online(), Listener()
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs", watch=listener)
    assert stub.steps == [5, 10, 15, 20]
    assert [(a["type"], a["committed"]) for a in stub.artifacts] == [("run_table", True)]
    again = load_recipe(run.path / "recipe.toml", ["train.epochs=6"])
    resume_run(run.path, again, watch=listener)
    assert listener.warnings == []
    assert stub.steps == [5, 10, 15, 20, 25, 30]
    run_id = run.info["memory"]["wandb_id"]
    assert set(stub.run_ids) == {run_id}
    assert stub.resumed_from == [run_id, run_id]


def test_checkpoints_arrive_as_a_model_that_can_be_loaded(with_wandb, tmp_path, online):
    stub, listener = online(), Listener()
    changes = ['callbacks=[{name = "wandb", table = 0, artifacts = true}]']
    run = run_recipe(load_recipe(with_wandb, changes), tmp_path / "runs", watch=listener)
    assert listener.warnings == []
    (artifact,) = stub.artifacts
    assert artifact["type"] == "model"
    assert artifact["committed"]
    copy = tmp_path / "copy"
    for name in artifact["files"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((run.path / name).read_bytes())
    assert load_run(copy).epoch == 4


@pytest.fixture
def waits(monkeypatch):
    """How long each call may wait: ("knock", seconds), or (mode, for a run, for its end)."""
    import urllib.request

    import wandb

    allowed, init, urlopen = [], wandb.init, urllib.request.urlopen

    def spied_init(**keywords):
        settings = keywords["settings"]
        assert settings.finish_timeout_raises
        allowed.append((keywords["mode"], settings.init_timeout, settings.finish_timeout))
        return init(**keywords)

    def spied_urlopen(url, *, timeout):
        allowed.append(("knock", timeout))
        return urlopen(url, timeout=timeout)

    monkeypatch.setattr(wandb, "init", spied_init)
    monkeypatch.setattr(urllib.request, "urlopen", spied_urlopen)
    return allowed


KNOCK, ONLINE, OFFLINE = ("knock", 1), ("online", 15, 2), ("offline", 15, 2)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"status": 401}, "401|key|auth"),
        ({"status": 500}, "500"),
        ({"hangs": True}, "timed out"),
        ({"refuses": True}, "refused"),
    ],
)
def test_a_server_that_takes_no_run_costs_a_warning_and_seconds(
    with_wandb, tmp_path, online, waits, behaviour, reason
):
    refuses = behaviour.pop("refuses", False)
    stub = online(**behaviour)
    if refuses:
        stub.close()
    listener = Listener()
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs", watch=listener)
    # Each is asked once, for so many seconds at most.
    asked = [ONLINE] if behaviour.get("status") == 401 else []
    assert waits == [KNOCK, *asked, OFFLINE]
    (warning,) = listener.warnings
    assert "logging offline, because the server did not take the run" in warning
    assert re.search(reason, warning), warning
    assert "wandb sync" in warning
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3, 4]
    (file,) = offline_files(run)
    history = [r for r in read_back(file) if r["type"] == "history"]
    assert len(history) == 4
    if refuses:
        assert uploaded_later(warning, online(), tmp_path) == [5, 10, 15, 20]


@pytest.mark.parametrize("end", ["dies", "hangs", "answers 500"])
def test_a_server_that_ends_in_the_middle_costs_a_warning_and_seconds(
    with_wandb, tmp_path, online, waits, end, capfd
):
    stub = online()

    def end_it():
        if end == "dies":
            stub.close()
        stub.hangs, stub.status = end == "hangs", 500 if end == "answers 500" else 200

    listener = Listener(end_it)
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs", watch=listener)
    assert waits == [KNOCK, ONLINE, KNOCK]
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3, 4]
    assert run.info["status"] == "finished"
    table, warning = listener.warnings
    assert "the table of test images is left out" in table
    assert "the server did not take everything: it stopped answering" in warning
    assert f"wandb sync --include-online {run.path}/wandb/run-*" in warning
    (file,) = run.path.glob("wandb/run-*/*.wandb")
    assert len([r for r in read_back(file) if r["type"] == "history"]) == 4
    assert capfd.readouterr().err == ""
    if end == "dies":
        assert uploaded_later(warning, online(), tmp_path) == [5, 10, 15, 20]


def test_a_service_of_wandb_that_dies_costs_a_warning(with_wandb, tmp_path, online):
    import wandb

    online()
    listener = Listener(lambda: wandb.setup().assert_service()._proc._process.kill())
    run = run_recipe(load_recipe(with_wandb), tmp_path / "runs", watch=listener)
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3, 4]
    (warning,) = listener.warnings
    assert re.search("is switched off|did not take everything", warning)
    wandb.teardown()  # what W&B's own exit handler does; it has nothing left to stumble over


def test_a_command_whose_server_dies_goes_on_and_ends_soon(with_wandb, tmp_path, online):
    stub = online()
    command = [sys.executable, "-m", "dvae_core", "run", str(with_wandb), "--out", str(tmp_path)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("epoch 2/"):
            stub.close()
    out, _ = process.communicate(timeout=600)  # W&B by itself would go on trying for ever
    assert process.returncode == 0
    warnings = [line for line in lines if line.startswith("warning")]
    assert len(warnings) == 2, lines
    assert "the server did not take everything" in warnings[1]
    metrics = (Path(out.strip()) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in metrics] == [1, 2, 3, 4]
