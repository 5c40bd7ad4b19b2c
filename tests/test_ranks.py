"""One run on many processes: two of them under torchrun, talking by gloo."""

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from subprocess import PIPE

import pytest
import torch

from dvae_core.errors import RecipeError
from dvae_core.randomness import forked
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.training.ranks.ranks import ManyRanks, Ranks
from dvae_core.training.ranks.shared_loss import _own, part_of
from dvae_core.training.ranks.torchrun import Process
from dvae_core.training.run import resume_run, run_recipe

from .forked import Forked
from .helpers import Heard, rows, same_state, state

pytestmark = pytest.mark.slow

EVERY_TERM = [
    "dataset.labelled_fraction=0.7",
    "dataset.train_limit=186",  # five batches of 37, and one of a single image
    "train.batch_size=37",
    'kl={ name = "class_prior", weight = 0.5 }',
    'terms=[{ name = "border", pairs = [["0", "1"]], weight = 1.0 }]',
]
"""Guidance with hidden labels, a KL with parameters, a term that draws pairs from the batch, and a
last batch that leaves a rank without an image."""


@pytest.fixture
def recipe(recipe_file) -> Path:
    """`recipe_file` with every kind of term, written out for the command."""
    import tomli_w

    table = load_recipe(recipe_file, EVERY_TERM).to_table()
    recipe_file.write_text(tomli_w.dumps(table))
    return recipe_file


def torchrun(*arguments, restarts=0) -> Forked:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", str(restarts), *map(str, arguments)]
    return Forked(command, stdout=PIPE, stderr=PIPE, text=True)


def train(recipe, out, *sets, restarts=0) -> Forked:
    overrides = [a for s in sets for a in ("--set", s)]
    return torchrun("-m", "dvae_core", "run", recipe, *overrides, "--out", out, restarts=restarts)


def end(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def wait_for(line, process) -> None:
    for text in process.stderr:
        if text.startswith(line):
            return
    pytest.fail(f"ended before it said {line}")


def kill(rank, process) -> None:
    """SIGKILL the worker with a rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (pid,) = (c for c in children if f"RANK={rank}".encode() in environment(c))
    os.kill(int(pid), signal.SIGKILL)


def environment(pid) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def the_run(out) -> RunFolder:
    (path,) = out.iterdir()
    return RunFolder.open(path)


def assert_same_curve(one, other):
    """Up to the order in which floats are summed."""
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_two_ranks_have_the_curve_of_one_process(recipe, tmp_path):
    alone = run_recipe(load_recipe(recipe), tmp_path / "alone")
    code, out, err = end(train(recipe, tmp_path / "two"))
    assert code == 0, err
    run = the_run(tmp_path / "two")
    assert out.splitlines() == [str(run.path)]
    assert (run.info["ranks"], alone.info["ranks"]) == (2, 1)
    assert run.info["status"] == "finished"
    assert len(run.metrics()) == 4
    assert_same_curve(rows(alone), rows(run))
    for ours, theirs in zip(
        state(alone)["model"].values(), state(run)["model"].values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert "warning" not in err.lower()
    assert err.count("next: dvae explore") == 1  # one of them speaks


SCRIPT = """
import shutil
import sys
from pathlib import Path

from dvae_core import run_recipe
from dvae_core.errors import Interrupted
from dvae_core.training.ranks.torchrun import Process
from dvae_core.recipe.recipe import load_recipe
from dvae_core.stopping import request_stop
from dvae_core.training.run import resume_run
from dvae_core.runs.watch import Watch

recipe, here = sys.argv[1], Path(sys.argv[2])


class StopAt(Watch):
    def stepped(self, step, means):
        assert Process.here().rank == 0  # no other rank's is told anything
        if step > 62:
            request_stop(15)


sets = ["train.batch_size=3"]
whole = run_recipe(load_recipe(recipe, sets), here / "whole")
assert whole.info["status"] == "finished"  # on every rank
try:
    run_recipe(load_recipe(recipe, sets), here / "cut", watch=StopAt())
except Interrupted as stop:
    assert stop.exit_code == 143
else:
    raise AssertionError("one rank was not stopped")
(cut,) = (here / "cut").iterdir()
if Process.here().rank == 0:
    shutil.copytree(cut, here / "copy")
resume_run(cut)
"""


def test_ranks_resume_with_the_same_bits_and_one_process_with_the_same_curve(recipe, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    code, _, err = end(torchrun(script, recipe, tmp_path))
    assert code == 0, err
    whole, again = the_run(tmp_path / "whole"), the_run(tmp_path / "cut")
    # 62 steps an epoch; a rank's wish to stop is heard at every tenth step.
    assert (tmp_path / "copy" / "checkpoints" / "epoch-0001-step-0000058.pt").exists()
    assert same_state(state(whole), state(again))
    assert rows(whole) == rows(again)
    assert_same_curve(rows(whole), rows(resume_run(tmp_path / "copy")))


LONG = ["train.epochs=60", "evaluate.every=60"]


def test_a_lost_rank_ends_the_run_and_leaves_a_checkpoint(recipe, tmp_path):
    process = train(recipe, tmp_path / "runs", *LONG)
    wait_for("epoch  5/60", process)
    kill(1, process)
    code, out, err = end(process)
    assert (code, out) == (1, "")
    run = the_run(tmp_path / "runs")
    go_on = f"go on with: torchrun --nproc-per-node 2 -m dvae_core run --resume {run.path}"
    assert f"another process of the run is gone; {go_on}" in err
    assert run.info["status"] == "failed"
    again = resume_run(run.path)
    assert [row["epoch"] for row in again.metrics()] == list(range(1, 61))


def test_restarted_processes_go_on_with_the_run_that_they_began(recipe, tmp_path):
    process = train(recipe, tmp_path / "runs", *LONG, restarts=1)
    wait_for("epoch  5/60", process)
    kill(0, process)
    code, out, err = end(process)
    assert code == 0, err
    run = the_run(tmp_path / "runs")
    assert out.splitlines() == [str(run.path)]
    assert run.info["status"] == "finished"
    assert_same_curve(rows(run_recipe(load_recipe(recipe, LONG), tmp_path / "alone")), rows(run))


class Store(dict):
    """What torchrun's store does, for one process."""

    def set(self, key, value):
        self[key] = value.encode()

    def check(self, keys):
        return all(key in self for key in keys)


def test_a_restarted_process_starts_again_where_there_is_no_checkpoint(
    recipe, tmp_path, monkeypatch
):
    store = Store()
    monkeypatch.setattr("dvae_core.training.run.join", lambda: nullcontext(Ranks(store=store)))
    first = run_recipe(recipe, tmp_path / "runs")
    for file in (first.path / "checkpoints").iterdir():
        file.unlink()
    heard = Heard()
    again = run_recipe(recipe, tmp_path / "runs", watch=heard)
    assert ["there is no checkpoint yet" in text for text in heard.warnings] == [True]
    assert again.path == first.path == the_run(tmp_path / "runs").path
    assert rows(again) == rows(first)
    assert len(again.metrics()) == 4


def test_a_terminated_launch_leaves_a_checkpoint_and_says_how_to_go_on(recipe, tmp_path):
    process = train(recipe, tmp_path / "runs", "train.epochs=100000")
    wait_for("epoch", process)
    process.terminate()
    _, out, err = end(process)
    assert out == ""
    run = the_run(tmp_path / "runs")
    assert run.info["status"] == "interrupted"
    assert f"torchrun --nproc-per-node 2 -m dvae_core run --resume {run.path}" in err
    assert "rank 1" not in err


@pytest.mark.parametrize("count", [2, 3, 8])
def test_every_image_has_one_rank(count):
    everyone = [ManyRanks(Process(rank, count)) for rank in range(count)]
    for size in range(1, 20):
        owned = [i for ranks in everyone for i in list(range(size))[_own(size, ranks)]]
        assert owned == list(range(size))
        taken = [len(range(size)[part_of(size, ranks)]) for ranks in everyone]
        assert min(taken) >= 1
        assert max(taken) - min(taken) <= 1


def test_a_rank_draws_for_itself_and_leaves_the_shared_generator_alone():
    def drawn(rank):
        with forked(torch.device("cpu"), 1, "rank", rank, 5):
            return torch.rand(8)

    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert not torch.equal(drawn(0), drawn(1))
    assert torch.equal(drawn(0), drawn(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.batch_size=2", "batch_size: 2 images for 3 processes"),
        ("train.compile=on", 'set train.compile = "off"'),
    ],
)
def test_what_many_ranks_cannot_train_is_refused(recipe_file, override, says):
    with pytest.raises(RecipeError, match=says):
        ManyRanks(Process(0, 3)).fit(load_recipe(recipe_file, [override]))


def test_a_device_for_each_rank():
    ranks = ManyRanks(Process(1, 3, local_rank=1, local_count=3))
    assert ranks.device("cpu") == "cpu"
    with pytest.raises(RecipeError, match='"cuda:0" is for one process; for 3, use "auto"'):
        ranks.device("cuda:0")
