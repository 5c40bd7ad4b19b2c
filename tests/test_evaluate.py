"""`dvae evaluate` and `LoadedRun.evaluate`: the same figures as the run's own, and no trace."""

import json
from types import SimpleNamespace

import pytest

from dvae_core import Metric, load_run
from dvae_core.errors import RunFolderError
from dvae_core.latent.evaluation import measure
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs import checkpoints
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.watch import Watch
from dvae_core.training.run import run_recipe

ODD = """
    from dvae_core import Callback, Metric, hookimpl

    class Fails(Metric):
        "Fails."
        name = "fails"
        def measure(self, snapshot):
            raise RuntimeError("no luck")

    class Draws(Metric):
        "Draws from a global generator, as no metric should."
        name = "draws"
        def measure(self, snapshot):
            import torch
            return {"draws": torch.rand(()).item()}

    class Needs(Metric):
        "Needs a key."
        name = "needs"
        wanted: int
        def measure(self, snapshot):
            return {"needs": float(self.wanted)}

    class Remembers(Callback):
        "Has a state that only a run may take back."
        name = "remembers"
        def state(self):
            return {"n": 1}
        def restore(self, state):
            raise RuntimeError("restored")

    @hookimpl
    def register_metrics():
        return [Fails, Draws, Needs]

    @hookimpl
    def register_callbacks():
        return [Remembers]
"""


@pytest.fixture
def run(recipe_file, tmp_path):
    changes = ['train.keep_best="lowest test/kl forced"', 'evaluate.metrics=["knn","active_units"]']
    return run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs")


def figures(row):
    """The test figures of a row of metrics.jsonl, as `evaluate` gives them."""
    return {k.removeprefix("test/"): v for k, v in row.items() if k.startswith("test/")}


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_it_gives_the_runs_own_figures_and_leaves_no_trace(
    dvae, run, recipe_file, tmp_path, monkeypatch
):
    before = contents(run.path)
    recipe_file.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    rows = run.metrics()
    code, out, _ = dvae("evaluate", run.path, "--json")
    assert code == 0
    about = {"run": run.name, "epoch": 4, "step": 20}
    assert out.count("\n") == 1
    assert json.loads(out) == about | figures(rows[3])
    assert set(figures(rows[3])) == {"reconstruction", "kl", "knn_accuracy", "active_units"}

    code, out, _ = dvae("evaluate", run.path, "--json", "--epoch", "3")
    assert json.loads(out) == about | {"epoch": 3, "step": 15} | figures(rows[2])
    best = min(rows, key=lambda row: row["test/kl"])
    code, out, _ = dvae("evaluate", run.path, "--json", "--epoch", "best")
    assert json.loads(out) == {"run": run.name, **{k: best[k] for k in ("epoch", "step")}} | (
        figures(best)
    )
    code, out, _ = dvae("evaluate", run.path)
    assert out.startswith(f"{run.name}, epoch 4, step 20\n")
    assert f"{rows[3]['test/reconstruction']:.5g}" in out
    assert contents(run.path) == before


def test_an_epoch_that_is_not_kept_is_an_error_that_names_those_that_are(dvae, run):
    code, out, err = dvae("evaluate", run.path, "--epoch", "1")
    assert (code, out) == (1, "")
    assert "the checkpoint of epoch 1 is not kept; kept: epoch 3, epoch 4, best." in err
    assert "train.keep_best" in err
    (run.path / "checkpoints" / "best.pt").unlink()
    with pytest.raises(RunFolderError, match=r"the best epoch is not kept; kept: epoch 3, epoch 4"):
        load_run(run.path, "best")
    file = run.path / "checkpoints" / "epoch-0003.pt"
    data = file.read_bytes()
    file.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
    with pytest.raises(RunFolderError, match=r"epoch-0003\.pt: damaged checkpoint: its SHA-256"):
        load_run(run.path, 3)
    file.write_bytes(data[:-1])
    with pytest.raises(RunFolderError, match=r"epoch-0003\.pt: damaged checkpoint: .*zip file"):
        load_run(run.path, 3)
    assert dvae("evaluate", run.path, "--epoch", "third")[0] == 2


def test_metrics_can_be_chosen(dvae, run, install):
    install("dvae-odd", ODD)
    code, out, _ = dvae("evaluate", run.path, "--json", "--metric", "silhouette", "--metric", "knn")
    assert code == 0
    found = json.loads(out)
    assert list(found)[3:] == ["reconstruction", "kl", "silhouette", "knn_accuracy"]
    assert found["knn_accuracy"] == run.metrics()[-1]["test/knn_accuracy"]
    code, out, err = dvae("evaluate", run.path, "--metric", "kn", "--metric", "needs")
    assert (code, out) == (2, "")
    assert 'unknown metric "kn", did you mean "knn"?' in err
    assert 'metric "needs" needs keys that only a recipe can give: wanted' in err


class First(Metric):
    """Gives two figures."""

    name = "first"

    def measure(self, snapshot):
        return {"shared": 0.5, "alike": 1.0}


class Second(Metric):
    """Gives two figures of the same names, and one of its own."""

    name = "second"

    def measure(self, snapshot):
        return {"shared": 0.75, "alike": 1.0, "own": 2.0}


def test_a_name_that_is_taken_keeps_its_figure():
    losses = {"kl": 3.0}
    snapshot = SimpleNamespace(seed=0, epoch=1, step=2, split="val", test_losses=lambda: losses)
    found = measure(snapshot, [First(), Second()], Watch())
    assert found.values == {"kl": 3.0, "shared": 0.5, "alike": 1.0, "own": 2.0}
    assert found.failures == (
        'metric "second": its shared of 0.75 is left out, for there is one of 0.5 already',
    )


def test_a_metric_that_fails_costs_no_other_and_the_exit_code_says_so(
    dvae, install, recipe_file, tmp_path
):
    install("dvae-odd", ODD)
    changes = ['evaluate.metrics=["fails","draws","knn",{name="needs",wanted=3}]']
    with pytest.warns(UserWarning, match='metric "fails" failed: RuntimeError: no luck'):
        run = run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs")
    row = run.metrics()[-1]
    code, out, err = dvae("evaluate", run.path, "--json")
    assert code == 1
    assert 'metric "fails" failed: RuntimeError: no luck' in err
    assert {k: v for k, v in json.loads(out).items() if k not in ("run", "epoch", "step")} == (
        figures(row)
    )
    # Alone or in company, before or after others, with its keys from the recipe.
    chosen = load_run(run.path).evaluate(["needs", "draws"])
    assert chosen.failures == ()
    assert chosen.values["draws"] == row["test/draws"]
    assert chosen.values["needs"] == 3.0


def test_a_run_that_trains_elsewhere_on_another_device_can_be_measured(
    dvae, install, recipe_file, tmp_path
):
    install("dvae-odd", ODD)
    recipe = load_recipe(recipe_file, ['callbacks=[{name="remembers"}]'])
    run = run_recipe(recipe, tmp_path / "runs")
    text = (run.path / "recipe.toml").read_text()
    (run.path / "recipe.toml").write_text(text.replace('device = "cpu"', 'device = "cuda:77"'))
    info = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(info.replace('"version": "1.0"', '"version": "0.9"'))
    with RunFolder.open(run.path).lock():
        code, out, err = dvae("evaluate", run.path, "--json")
    assert code == 0
    assert json.loads(out)["kl"] == pytest.approx(run.metrics()[-1]["test/kl"], rel=1e-4)
    assert "the run used dvae-odd 0.9, and 1.0 is installed" in err


def test_a_checkpoint_that_a_training_run_replaces_meanwhile_is_no_damage(run, monkeypatch):
    folder = run.path / "checkpoints"
    read, asked = checkpoints.Checkpoints._read, []

    def slow_read(self, file):
        asked.append(file.name)
        if len(asked) == 1:
            # The run has gone on: a newer one is there, and the old two are not.
            for suffix in (".pt.sha256", ".pt"):
                (folder / f"epoch-0004{suffix}").rename(folder / f"epoch-0006{suffix}")
                (folder / f"epoch-0003{suffix}").unlink()
        return read(self, file)

    monkeypatch.setattr(checkpoints.Checkpoints, "_read", slow_read)
    state, warnings = run.load_checkpoint()
    assert asked == ["epoch-0004.pt", "epoch-0006.pt"]
    assert (state["epoch"], warnings) == (4, [])


def test_history_fits_a_data_frame(run):
    rows = load_run(run.path).metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert len({tuple(row) for row in rows}) == 1
