"""Components that misbehave: each is named, costs nobody else anything, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from dvae_core import Callback, load_run
from dvae_core.errors import Interrupted
from dvae_core.plugin.events import Events
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.sweep.jobs import is_finished
from dvae_core.training.callback_states import restore
from dvae_core.training.run import resume_run, run_recipe

from .helpers import Heard

HEAD = """
import os, sys
import numpy as np
from dvae_core import Callback, Metric, Plot, hookimpl

class NoWords(Exception):
    def __str__(self):
        raise RuntimeError("no words")
"""


@pytest.fixture
def train(install, recipe_file, tmp_path):
    """Trains with a plugin's components, and says what was warned of."""

    def train(code, *changes, name=None, **arguments):
        if code is not None:
            install("dvae-hostile", HEAD + textwrap.dedent(code))
        heard = Heard()
        recipe = load_recipe(recipe_file, ["train.epochs=2", *changes])
        return run_recipe(recipe, tmp_path / "runs", watch=heard, name=name), heard.warnings

    return train


def rows_of(run):
    skipped = ("seconds", "images_per_second")
    return [{k: v for k, v in row.items() if k not in skipped} for row in run.metrics()]


STATES = {
    "np.float64(1.0)": "numpy",
    "np.ones(3)": "numpy",
    "__import__('pathlib').Path('x')": "pathlib",
    "__import__('datetime').datetime(2026, 1, 1)": "datetime",
    "object()": "object",
    "1 / 0": "ZeroDivisionError",
    "sys.exit(0)": "SystemExit",
    "exec('raise NoWords')": "NoWords",
}


@pytest.mark.parametrize("value", STATES)
def test_a_state_that_cannot_be_kept_is_left_out(train, value):
    code = f"""
    class Keeps(Callback):
        "Keeps something."
        name = "keeps"
        def state(self):
            return {{"kept": {value}}}
    class Counts(Callback):
        "Keeps a number."
        name = "counts"
        def state(self):
            return {{"n": 7}}
    @hookimpl
    def register_callbacks():
        return [Keeps, Counts]
    """
    run, warnings = train(code, 'callbacks=["keeps", "counts"]')
    assert run.info["status"] == "finished"
    told = [w for w in warnings if 'the state of callback "keeps" is not kept' in w]
    assert STATES[value] in "".join(told)
    state, damaged = run.load_checkpoint()
    assert damaged == []
    assert state["callbacks"] == [{"name": "counts", "state": {"n": 7}}]
    assert len(list((run.path / "checkpoints").glob("*.pt"))) == 2


def test_a_checkpoint_that_cannot_be_read_back_costs_no_older_one(train):
    run, _ = train(None)
    before = sorted((run.path / "checkpoints").iterdir())
    state, _ = run.load_checkpoint()
    with pytest.raises(Exception, match="not among what a checkpoint keeps"):
        run.save_checkpoint(state | {"epoch": 3, "more": object()})
    assert sorted((run.path / "checkpoints").iterdir()) == before


def test_states_find_their_callbacks_by_name():
    class One(Callback):
        name = "one"
        _got: list = []

        def restore(self, state):
            self._got.append(state)

    class Two(One):
        name = "two"
        _got: list = []

    one, two, other = One(), Two(), One()
    kept = [{"name": "two", "state": {"n": 2}}, {"name": "one", "state": {"n": 1}}]
    restore([one, other, two], kept, pytest.fail)
    assert (one._got, other._got, two._got) == ([{"n": 1}], [], [{"n": 2}])
    # Earlier versions kept states by place.
    restore([one, two], [{"n": 3}, {}], pytest.fail)
    assert one._got[1:] == [{"n": 3}]


KILLED = """
class Counts(Callback):
    "Counts epochs."
    name = "counts"
    _n: int = 0
    _heard: list = []
    def epoch_finished(self, run, metrics):
        self._n += 1
        with (run.path / "heard.txt").open("a") as file:
            file.write(f"{metrics['epoch']} {self._n}\\n")
        if os.environ.get("KILL") == str(metrics["epoch"]):
            os.kill(os.getpid(), 9)
    def state(self):
        return {"n": self._n}
    def restore(self, state):
        self._n = state["n"]

class Late(Callback):
    "Comes later."
    name = "late"

@hookimpl
def register_callbacks():
    return [Counts, Late]
"""


def test_a_kill_among_callbacks_leaves_their_states_whole(install, recipe_file, tmp_path):
    install("dvae-hostile", HEAD + KILLED)
    code = (
        "import sys; from dvae_core import load_recipe, run_recipe; "
        "run_recipe(load_recipe(sys.argv[1], ['callbacks=[\"counts\"]']), sys.argv[2], name='one')"
    )
    path = os.pathsep.join([p for p in sys.path if p])
    killed = subprocess.run(
        [sys.executable, "-c", code, str(recipe_file), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path, "KILL": "2"},
    )
    assert killed.returncode == -9
    recipe = load_recipe(recipe_file, ['callbacks=["late", "counts"]'])
    run = resume_run(tmp_path / "one", recipe, watch=Heard())
    told = (run.path / "heard.txt").read_text().splitlines()
    # The epoch of the kill is told again, with the state from before it.
    assert told == ["1 1", "2 2", "2 2", "3 3", "4 4"]
    assert run.load_checkpoint()[0]["callbacks"][1] == {"name": "counts", "state": {"n": 4}}


FAILURES = ["sys.exit(0)", "exec('raise NoWords')", "os._exit(0)", "1 / 0"]


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("event", ["run_started", "epoch_finished", "run_finished"])
def test_a_callback_that_fails_ends_no_run(train, what, event):
    code = f"""
    class Fails(Callback):
        "Fails."
        name = "fails"
        def {event}(self):
            {what}
    @hookimpl
    def register_callbacks():
        return [Fails]
    """
    run, warnings = train(code, 'callbacks=["fails"]')
    assert (run.info["status"], len(run.metrics())) == ("finished", 2)
    (told,) = warnings
    assert told.startswith(f'callback "fails" failed in {event} and is switched off: ')


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("kind", ["metric", "plot"])
def test_a_metric_or_plot_that_fails_ends_no_run(train, what, kind):
    method = {"metric": "measure", "plot": "draw"}[kind]
    code = f"""
    class Fails({kind.capitalize()}):
        "Fails."
        name = "fails"
        def {method}(self, snapshot):
            {what}
    @hookimpl
    def register_{kind}s():
        return [Fails]
    """
    run, warnings = train(code, f'evaluate.{kind}s=["fails"]')
    assert (run.info["status"], len(run.metrics())) == ("finished", 2)
    assert [w.split(":")[0] for w in warnings] == [f'{kind} "fails" failed'] * 2


def test_what_components_change_is_put_back(train):
    plain = rows_of(train(None, 'evaluate.metrics=["knn"]')[0])
    code = """
    import torch
    class Changes(Metric):
        "Changes whatever it can."
        name = "changes"
        def measure(self, snapshot):
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(1 + torch.get_num_threads() % 2)
            np.seterr(all="raise")
            os.chdir("/")
            return {"changes": 1.0}
    class Listens(Callback):
        "Changes the row."
        name = "listens"
        def epoch_finished(self, run, metrics, figures):
            torch.set_grad_enabled(False)
            metrics.clear()
            metrics["epoch"] = object()
            figures.clear()
    @hookimpl
    def register_metrics():
        return [Changes]
    @hookimpl
    def register_callbacks():
        return [Listens]
    """
    before = os.getcwd(), torch.get_default_dtype(), torch.get_num_threads(), np.geterr()
    run, warnings = train(code, 'evaluate.metrics=["knn", "changes"]', 'callbacks=["listens"]')
    assert warnings == []
    assert (os.getcwd(), torch.get_default_dtype(), torch.get_num_threads(), np.geterr()) == before
    found = rows_of(run)
    assert [row.pop("test/changes") for row in found] == [1.0, 1.0]
    assert found == plain


def test_what_a_callback_draws_the_run_does_not_miss(train):
    code = """
    import torch
    from dvae_core import Term
    class Draws(Callback):
        "Draws random numbers, and keeps nothing."
        name = "draws"
        def run_started(self, run):
            np.random.random()
        def epoch_finished(self, run, metrics, figures):
            torch.randn(7)
    class Noisy(Term):
        "Draws, too."
        name = "noisy"
        def build(self, model):
            return lambda outputs, labels: (outputs.z * torch.rand(())).square().mean()
    @hookimpl
    def register_callbacks():
        return [Draws]
    @hookimpl
    def register_terms():
        return [Noisy]
    """
    noisy = 'terms=[{name="noisy"}]'
    plain = rows_of(train(code, noisy, "train.epochs=3")[0])
    drawn, warnings = train(None, noisy, 'callbacks=["draws"]', "train.epochs=3")
    assert warnings == []
    assert rows_of(drawn) == plain
    half, _ = train(None, noisy, 'callbacks=["draws"]')
    again = resume_run(half.path, load_recipe(half.recipe_file, ["train.epochs=3"]))
    assert rows_of(again) == plain


def test_a_metric_cannot_change_what_training_goes_on_with(train):
    plain = rows_of(train(None, 'evaluate.metrics=["knn"]')[0])
    code = """
    class Writes(Metric):
        "Writes into what it is given."
        name = "writes"
        def measure(self, snapshot):
            snapshot.train_labels[:] = 0
            return {"writes": 1.0}
    @hookimpl
    def register_metrics():
        return [Writes]
    """
    run, warnings = train(code, 'evaluate.metrics=["writes", "knn"]')
    assert all("read-only" in text for text in warnings)
    assert rows_of(run) == plain
    snapshot = load_run(run).snapshot()
    for name in ("train_labels", "test_labels", "train_means", "test_means", "test_images"):
        assert not getattr(snapshot, name).flags.writeable


@pytest.mark.parametrize(
    "kept", ["{'a': object()}", "{'a': {1, 2}}", "np.ones(2)", "{'a': np.array([object()])}"]
)
def test_details_that_cannot_be_kept_cost_the_metric_alone(train, kept):
    code = f"""
    class Odd(Metric):
        "Keeps odd things."
        name = "odd"
        def measure(self, snapshot):
            return {{"odd": 1.0}}
        def details(self, snapshot):
            return {kept}
    @hookimpl
    def register_metrics():
        return [Odd]
    """
    run, warnings = train(code, 'evaluate.metrics=["odd", "borders"]')
    assert run.info["status"] == "finished"
    assert 'metric "odd" failed: TypeError: details' in warnings[0]
    assert (run.path / "evaluation" / "epoch-0002-borders.json").exists()


def test_what_cannot_be_remembered_is_refused_and_forgotten(train):
    code = """
    class Remembers(Callback):
        "Remembers what JSON cannot."
        name = "remembers"
        def run_started(self, run):
            run.remember("good", [1])
            run.remember("bad", np.ones(2))
    @hookimpl
    def register_callbacks():
        return [Remembers]
    """
    run, (warning,) = train(code, 'callbacks=["remembers"]')
    assert 'remember("bad") cannot keep a ndarray' in warning
    assert json.loads((run.path / "run.json").read_text())["memory"] == {"good": [1]}


# --- At import.

IMPORTS = {
    "exec('raise NoWords')": "NoWords: it cannot say what",
    "os._exit(0)": "called os._exit(0)",
    "sys.exit(0)": "SystemExit: 0",
}


@pytest.mark.parametrize("what", IMPORTS)
def test_a_plugin_that_ends_its_import_badly_is_broken_and_no_more(install, dvae, what):
    install("dvae-hostile", HEAD + what)
    code, out, _ = dvae("list-plugins", "--json")
    assert code == 0
    (row,) = [row for row in json.loads(out) if row["status"] == "broken"]
    assert IMPORTS[what] in row["error"]


def test_a_plugin_that_goes_elsewhere_at_import_takes_nobody_along(install, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install("dvae-hostile", "import os\nos.chdir('/')")
    load_registry()
    assert os.getcwd() == str(tmp_path)


def test_a_docstring_that_is_no_text_is_refused(install, dvae):
    code = """
    class Odd(Metric):
        name = "odd"
        def measure(self, snapshot):
            return {}
    Odd.__doc__ = 7
    @hookimpl
    def register_metrics():
        return [Odd]
    """
    install("dvae-hostile", HEAD + textwrap.dedent(code))
    code, out, _ = dvae("list-plugins")
    assert code == 0
    assert "Odd: its docstring is a int, no text" in out


# --- What is not there to be seen, and keys that are no texts.


def test_a_kill_among_callbacks_without_a_state_costs_no_epoch(train, tmp_path, monkeypatch):
    code = """
    class Hears(Callback):
        "Writes down what it hears."
        name = "hears"
        def epoch_finished(self, run, metrics, figures):
            with open(run.path / "heard.txt", "a") as file:
                print(metrics["epoch"], file=file)
    @hookimpl
    def register_callbacks():
        return [Hears]
    """

    def killed(self, event, **arguments):
        if event == "epoch_finished" and arguments["metrics"]["epoch"] == 2:
            raise Interrupted("killed", 137)
        return tell(self, event, **arguments)

    tell = Events.tell
    with monkeypatch.context() as patched:
        patched.setattr(Events, "tell", killed)
        with pytest.raises(Interrupted):
            train(code, 'callbacks=["hears"]', "train.epochs=3", name="cut")
    cut = tmp_path / "runs" / "cut"
    assert not is_finished(cut, 2)
    resume_run(cut)
    assert (cut / "heard.txt").read_text().split() == ["1", "2", "3"]


@pytest.mark.parametrize(
    "kept",
    [
        "{'waves': np.array([1 + 2j])}",
        "{'days': np.array(['2026-01-01'], dtype='datetime64[D]')}",
        "{'rows': np.zeros(2, dtype=[('n', int), ('what', object)])}",
        "{'file': np.zeros(2)}",
        "{0: np.zeros(2)}",
        "{'worst': ['caf' + chr(0xdce9) + '.png']}",
    ],
)
def test_details_that_no_file_can_hold_cost_the_metric_alone(train, kept):
    code = f"""
    class Detailed(Metric):
        "Gives details."
        name = "detailed"
        def measure(self, snapshot):
            return {{"detailed": 1.0}}
        def details(self, snapshot):
            return {kept}
    @hookimpl
    def register_metrics():
        return [Detailed]
    """
    run, warnings = train(code, 'evaluate.metrics=["detailed", "knn"]')
    assert [row["epoch"] for row in run.metrics()] == [1, 2]
    assert all("test/knn_accuracy" in row for row in run.metrics())
    assert all('metric "detailed" failed' in text for text in warnings)
    assert len(warnings) == 2


def test_a_number_that_no_row_can_hold_costs_the_metric_alone(train):
    code = """
    class Huge(Metric):
        "Is very large."
        name = "huge"
        def measure(self, snapshot):
            return {"huge": 1e101}
    @hookimpl
    def register_metrics():
        return [Huge]
    """
    run, warnings = train(code, 'evaluate.metrics=["huge"]')
    assert [row["epoch"] for row in run.metrics()] == [1, 2]
    assert all("huge is 1e+101" in text for text in warnings)


def test_a_state_may_be_a_tensor(train):
    code = """
    import torch
    class Keeps(Callback):
        "Keeps a tensor."
        name = "keeps"
        def state(self):
            return torch.ones(3)
    @hookimpl
    def register_callbacks():
        return [Keeps]
    """
    run, warnings = train(code, 'callbacks=["keeps"]')
    assert warnings == []
    state, _ = run.load_checkpoint()
    assert state["callbacks"][0]["state"].tolist() == [1, 1, 1]


def test_what_is_remembered_leaves_the_run_readable(train):
    code = """
    class Hoards(Callback):
        "Remembers a great deal."
        name = "hoards"
        def epoch_finished(self, run):
            run.remember("all", "x" * 11_000_000)
    @hookimpl
    def register_callbacks():
        return [Hoards]
    """
    run, (warning,) = train(code, 'callbacks=["hoards"]')
    assert "larger than what run.json may hold" in warning
    assert load_run(run).epoch == 2


FALSY = [
    "np.float64(0.0)",
    "np.bool_(False)",
    "__import__('decimal').Decimal(0)",
    "__import__('collections').deque()",
]


@pytest.mark.parametrize("value", FALSY)
def test_a_state_that_counts_as_false_is_looked_at_too(train, value):
    code = f"""
    class Keeps(Callback):
        "Keeps something."
        name = "keeps"
        def state(self):
            return {value}
    @hookimpl
    def register_callbacks():
        return [Keeps]
    """
    run, warnings = train(code, 'callbacks=["keeps"]')
    assert 'the state of callback "keeps" is not kept' in warnings[0]
    state, damaged = run.load_checkpoint()
    assert (state["callbacks"], damaged) == ([], [])


def test_what_a_callback_does_to_run_json_stays_with_it(train):
    code = """
    class Odd(Callback):
        "Puts odd things into what it is given."
        name = "odd"
        def run_started(self, run):
            run.info["odd"] = object()
            run.info["memory"] = 7
        def epoch_finished(self, run):
            run.remember(("no", "text"), 1)
    @hookimpl
    def register_callbacks():
        return [Odd]
    """
    run, (warning,) = train(code, 'callbacks=["odd"]')
    assert "remember keeps things under a text" in warning
    info = json.loads((run.path / "run.json").read_text())
    assert info["status"] == "finished"
    assert "odd" not in info


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("import posix; posix._exit(0)", "called os._exit(0)"),
        ("sys.setrecursionlimit(200); os.chdir('/'); 1 / 0", "ZeroDivisionError"),
        ("exec('raise Exits')", "Exits: it cannot say what"),
    ],
)
def test_other_ways_to_end_an_import(install, dvae, what, said):
    exits = "class Exits(Exception):\n    def __str__(self):\n        sys.exit(0)\n"
    install("dvae-hostile", HEAD + exits + what)
    code, out, _ = dvae("list-plugins", "--json")
    assert code == 0
    (row,) = [row for row in json.loads(out) if row["status"] == "broken"]
    assert said in row["error"]


def test_directions_that_are_none_cost_no_comparison(install):
    code = """
    class Odd(Metric):
        "Points nowhere."
        name = "odd"
        directions = 7
        def measure(self, snapshot):
            return {}
    @hookimpl
    def register_metrics():
        return [Odd]
    """
    install("dvae-hostile", HEAD + textwrap.dedent(code))
    (broken,) = [b for b in load_registry().broken if b.distribution == "dvae-hostile"]
    assert "directions must say" in broken.error
