"""The benchmarks run; what they measure is not tested, for a busy machine would fail it."""

import json
import subprocess
import sys

from .conftest import ROOT


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
    for topic in ("start_up", "evaluation", "growth", "memory"):
        assert results[topic], topic
    assert "dvae list-plugins" in found.stdout


def test_unknown_topics_and_peers_are_named():
    command = [sys.executable, "-m", "benchmarks", "speed", "--peers", "jax"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert "unknown: speed, jax" in found.stderr
