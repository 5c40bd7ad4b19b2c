"""The benchmarks run; what they measure is not tested, for a busy machine would fail it."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks import borders, findings
from benchmarks.contenders import in_turn
from benchmarks.film import EPOCH_MS, REST_MS, STEPS, film
from benchmarks.peers.same_model import model_of, usual_model_of
from benchmarks.training import job_of
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

from .helpers import ROOT

pytestmark = pytest.mark.slow


def test_every_topic_runs(tmp_path):
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--threads", "1", "--json", str(file)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    results = json.loads(file.read_text())
    (training,) = results["training"]
    assert set(training["rows"]) == {"framework", "ceiling", "by_hand"}
    # Nobody wins by doing less.
    assert all(row["same_loss"] for name, row in training["rows"].items() if name != "ceiling")
    (launches,) = results["launches"]
    assert all(row["within"] for row in launches["rows"].values()), launches
    for topic in ("start_up", "evaluation", "pages", "growth", "memory", "gpu"):
        assert results[topic], topic
    assert "dvae list-plugins" in found.stdout


def test_peers_train_the_model_that_dvae_trains(tmp_path):
    file = tmp_path / "data.npz"
    np.savez(file, images=np.zeros((1, 1, 28, 28), np.uint8), labels=np.zeros(1, np.int64))
    job = job_of("conv", 64, "float32", 640, threads=torch.get_num_threads()) | {"data": str(file)}
    ours, theirs = model_of(job), usual_model_of(job)
    ours.load_state_dict(theirs.state_dict())
    images, noise = torch.rand(3, 1, 28, 28), torch.randn(3, 2)
    torch.testing.assert_close(ours(images, noise).logits, theirs(images, noise).logits)


def test_a_peer_that_fails_is_left_out_with_its_reason(capsys):
    job = job_of("mlp", 64, "float32", 640, threads=1) | {"data": "nowhere.npz"}
    assert in_turn(["plain"], job, rounds=2) == {}
    said = "plain ended with exit code 1, and said last: FileNotFoundError"
    assert said in capsys.readouterr().err


def test_unknown_topics_and_peers_are_named():
    command = [sys.executable, "-m", "benchmarks", "speed", "--peers", "jax"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "unknown: speed, jax" in found.stderr


def test_the_film_has_a_frame_an_epoch_and_the_walk(recipe_file, tmp_path, judged_after):
    from PIL import Image

    judged_after(10)
    changes = ["train.epochs=3", 'evaluate.metrics=["borders"]', "evaluate.plots=[]"]
    run = run_recipe(load_recipe(recipe_file, changes), tmp_path)
    with Image.open(io.BytesIO(film(run.path, "0", "1"))) as movie:
        assert movie.n_frames in (3, 3 + STEPS)  # no walk where none is direct
        times = []
        for number in range(3):
            movie.seek(number)
            times.append(movie.info["duration"])
    assert times == [EPOCH_MS, EPOCH_MS, REST_MS]


def test_information_is_that_of_a_linear_gaussian_channel():
    random = np.random.default_rng(0)
    signal, noise = np.array([3.0, 1.0]), np.array([1.0, 0.5])
    means = random.normal(0, signal, (5000, 2))
    log_vars = np.broadcast_to(2 * np.log(noise), means.shape)
    exact = 0.5 * np.log1p((signal / noise) ** 2).sum()  # Shannon, of each dimension
    assert findings.mutual_information(means, log_vars, random) == pytest.approx(exact, abs=0.05)
    certain = np.full(means.shape, -40.0)  # each point tells which of all images it is
    assert findings.mutual_information(means, certain, random) == pytest.approx(np.log(5000))


def test_curves_are_compared_where_their_rates_agree():
    rows = {
        (f"{name}, {rate}", seed): {findings.RATE: rate, "y": slope * rate + more * seed}
        for name, slope, more, rates in (
            ("one", 2.0, 1.1, (1.0, 3.0, 9.0)),
            ("two", 1.0, 1.0, (2.0, 6.0)),
        )
        for rate in rates
        for seed in (0, 1, 2)
    }
    study = findings.Study("", {}, {}, at_rate=("y", ("one", "two")), rows=rows)
    # Both reach the rates from 2 to 6. There the mean of 2 r + 1.1 seed is 2 r + 1.1, and of the
    # differences r + 0.1 seed it is r + 0.1.
    told = re.findall(r"y \| (\S+) \| (\S+) ± \S+ \| (\S+) ± \S+ \| (\S+)", findings.at_rate(study))
    assert told == [
        ("3.0", "7.10", "4.00", "3.10"),
        ("4.0", "9.10", "5.00", "4.10"),
        ("5.0", "11.10", "6.00", "5.10"),
    ]


def test_what_was_planned_counts_though_nothing_varies():
    """Four comparisons were planned: p counts four times, whatever the others are like."""
    rows = [
        ("varies", {0: 1.0, 1: 2.1, 2: 3.0}, {0: 0.0, 1: 1.0, 2: 2.0}),
        ("all alike", {0: 1.2, 1: 1.2, 2: 1.2}, {0: 1.0, 1: 1.0, 2: 1.0}),
        ("not run", {}, {}),
        ("varies too", {0: 0.0, 1: 2.0, 2: 0.0}, {0: 0.0, 1: 0.0, 2: 2.0}),
    ]
    told = findings.differences("arm", rows).splitlines()[2:]
    p = findings.p_value(*rows[0][1:])
    assert [line.split(" | ")[-1] for line in told] == [
        f"{4 * p:.3f} |", "no test |", "no test |", "1.000 |",
    ]  # fmt: skip
    assert "0.200 (all 3)" in told[1]


def test_what_runs_came_to_outlives_them(tmp_path):
    columns = {"y": lambda run: None, "z": lambda run: None}
    rows = {("a, 1", 3): {"y": 0.123456, "z": None, "run": "today, with this"}}
    study = findings.Study("", columns, {}, rows=rows)
    study.write(tmp_path / "rows.csv")
    again = findings.Study("", columns, {}, rows={("b", 3): {"y": 1.0}})
    again.read(tmp_path / "rows.csv")
    assert again.rows == {("b", 3): {"y": 1.0}, **study.rows}
    assert again.arms == ["b", "a, 1"]
    assert again.seeds == 1
    again.rows["b", 4] = {"y": 1.0}
    assert again.seeds == 1  # that all arms have
    assert again.of_seeds("a, 1", "z") == {}


INFO = {
    "format": 1, "status": "finished", "components": [], "versions": {}, "plugins": {},
    "image_shape": [1, 2, 2], "classes": ["a", "b"],
}  # fmt: skip


def test_cases_are_kept_until_as_many_sets_are_there(tmp_path, monkeypatch):
    kept = {"median": 0.9, "lowest": [0.5, 0.8], "knn_accuracy": 0.9, "reconstruction": 30.0,
            "kl": 5.0, "run": "then"}  # fmt: skip
    text = {"cases": {"mnist-4": kept}, "refused": {"mnist-14": [1]}}
    (tmp_path / "borders.json").write_text(json.dumps(text))
    monkeypatch.setattr(borders, "RESULTS", tmp_path)
    monkeypatch.setattr(borders, "stamp_of", lambda folder: "now")
    runs = tmp_path / "runs"
    (runs / "mnist-14-3.refused").mkdir(parents=True)
    for number, shares in ((1, (0.6, 1.0)), (10, (0.9, 0.7))):
        folder = runs / f"mnist-4-{number}"
        folder.mkdir()
        row = {f"test/direct_path/{pair}": share for pair, share in enumerate(shares)}
        row |= {"epoch": 1, "test/knn_accuracy": 0.8, "test/reconstruction": 31.0, "test/kl": 6.0}
        (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        (folder / "run.json").write_text(json.dumps(INFO))
        found, refused = borders.results(runs)
        assert found["mnist-4"].run == ("then" if number == 1 else "now")
    assert borders.Found(0.8, [0.6, 0.7], 0.8, 31.0, 6.0, "now") == found["mnist-4"]
    assert refused == {"mnist-14": [1, 3]}
    assert borders.results(tmp_path / "elsewhere") == (found, refused)


def test_the_recipe_that_lets_go_is_the_one_of_the_table():
    case = borders.CASES["mnist-4-let-go-lines"]
    changes = borders.settings(case, 1)
    row = load_recipe(borders.ROOT / "recipes/borders.toml", changes)
    kept = [c for c in changes if c not in (borders.LET_GO, *borders.LINES)]
    shipped = load_recipe(borders.ROOT / "recipes/borders_let_go.toml", kept)
    assert len(kept) < len(changes)
    assert {**shipped.model_dump(), "title": ""} == {**row.model_dump(), "title": ""}


def test_a_triangular_lattice_of_ten_has_nineteen_neighbours():
    # Harborth: 3 n - sqrt(12 n - 3), rounded down, is 19 for n = 10.
    for number in range(5):
        pairs = borders.lattice_pairs(number)
        assert len(set(pairs)) == int(30 - 117**0.5) == 19
        met = np.bincount(np.ravel(pairs), minlength=10)
        assert sorted(met) == [3, 3, 3, 3, 3, 3, 4, 4, 6, 6]
    assert borders.lattice_pairs(1) != borders.lattice_pairs(2)
