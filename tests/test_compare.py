"""`dvae compare` and `compare_runs`, on run folders made by hand."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tomli_w

from dvae_core import compare_runs
from dvae_core.cli import tables
from dvae_core.errors import RecipeError, RunFolderError
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.differences import differences, settings
from dvae_core.runs.intervals import mean_margin, share_interval
from dvae_core.runs.significance import holm, p_value

SIGMOID = {"schedule": "sigmoid", "start": 20.0, "end": 0.01}
RECIPE = {
    "title": "by hand",
    "seed": 0,
    "terms": [],
    "callbacks": [],
    "dataset": {"name": "mnist"},
    "encoder": {"name": "mlp", "hidden": [16]},
    "reconstruction": {"name": "squared_error", "weight": 1.0},
    "kl": {"name": "abs", "weight": 0.5},
    "guidance": {"name": "mlp", "hidden": [10], "weight": SIGMOID},
    "train": {"epochs": 2, "device": "cpu"},
    "evaluate": {"every": 1, "metrics": [{"name": "knn", "k": 15}], "plots": []},
}


def changed(**changes):
    """RECIPE with tables merged, or taken out by None."""
    table = {k: dict(v) if isinstance(v, dict) else v for k, v in RECIPE.items()}
    for key, value in changes.items():
        if value is None:
            del table[key]
        elif isinstance(value, dict):
            table[key] = table.get(key, {}) | value
        else:
            table[key] = value
    return table


@pytest.fixture
def make(tmp_path):
    """Makes a run folder below runs/: make("a", {"test/kl": 1.0}, seed=1, kl={...})."""
    made = []

    def make(stem, figures, status="finished", rows=True, **changes):
        path = (
            tmp_path
            / "runs"
            / f"{stem}-20260101-1200{len(made):02d}-abc{'defghijklmnopqrstuvwxyz'[len(made)]}"
        )
        path.mkdir(parents=True)
        made.append(path)
        info = {"format": 1, "status": status, "components": [], "error": "the loss is nan"}
        info |= {"image_shape": [1, 8, 8], "classes": ["0", "1", "2"]}
        info["started"] = f"2026-01-01T12:00:{len(made):02d}+0000"
        (path / "run.json").write_text(json.dumps(info))
        (path / "recipe.toml").write_text(tomli_w.dumps(changed(**changes)))
        lines = [{"epoch": 1, "step": 5, "test/kl": 99.0}, {"epoch": 2, "step": 10} | figures]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (path / "metrics.jsonl").write_text(text if rows else "")
        return path

    return make


def marks(found, name):
    return [row.metrics[name].mark for row in found.rows]


# --- What recipes differ in.


def dotted(*tables):
    return [".".join(place) for place in differences([settings(table) for table in tables])]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 1, "title": "x", "callbacks": [{"name": "wandb"}]}, []),
        ({"train": {"device": "cuda", "keep_best": "lowest test/kl"}}, []),
        ({"evaluate": {"every": 5, "plots": [{"name": "latent"}]}}, []),
        ({"train": {"epochs": 3}}, ["train.epochs"]),
        ({"kl": {"name": "square"}}, ["kl.name"]),
        # A list of numbers is one value, and a key that only one has is a difference ...
        ({"encoder": {"hidden": [8, 8]}}, ["encoder.hidden"]),
        ({"train": {"clip_grad_norm": 1.0}}, ["train.clip_grad_norm"]),
        # ... unless the component's name says it already.
        ({"encoder": {"name": "conv", "channels": 3}}, ["encoder.name"]),
        ({"guidance": None}, ["guidance.name"]),
        ({"guidance": {"weight": 3.0}}, ["guidance.weight.schedule", "guidance.weight"]),
        ({"guidance": {"weight": SIGMOID | {"end": 1.0}}}, ["guidance.weight.end"]),
        ({"terms": [{"name": "border", "weight": 2.0}]}, ["terms"]),
    ],
)
def test_differences_between_two_recipes(changes, expected):
    assert dotted(RECIPE, changed(**changes)) == expected


def test_an_item_of_a_list_goes_by_its_name():
    one = changed(terms=[{"name": "border", "weight": 1.0}, {"name": "other", "weight": 1.0}])
    two = changed(terms=[{"name": "border", "weight": 2.0}])
    assert dotted(one, two, RECIPE) == ["terms.border.weight", "terms"]


def test_a_shipped_recipe_differs_from_another_in_what_it_says(recipe_file):
    one = load_recipe(recipe_file).to_table()
    two = load_recipe(recipe_file, ["seed=3", "kl.name=square", "guidance.weight.end=1.0"])
    assert dotted(one, two.to_table()) == ["kl.name", "guidance.weight.end"]


# --- Rows.


def test_seeds_share_a_row_with_mean_and_student_t_interval(make, tmp_path):
    for seed, value in enumerate([1.0, 2.0, 3.0]):
        make("a", {"test/knn_accuracy": value}, seed=seed)
    make("b", {"test/knn_accuracy": 7.0}, kl={"weight": 1.0})
    found = compare_runs([tmp_path / "runs"])
    assert found.settings == ("kl.weight",)
    assert found.left_out == ()
    a, b = found.rows
    assert (a.recipe_name, [run.seed for run in a.runs]) == ("a", [0, 1, 2])
    assert (a.settings, b.settings) == ({"kl.weight": 0.5}, {"kl.weight": 1.0})
    # The spread is 1, and t(0.975, 2) = 4.302653 as in any table.
    assert a.metrics["knn_accuracy"].mean == 2.0
    assert a.metrics["knn_accuracy"].margin == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert b.metrics["knn_accuracy"].margin is None
    assert marks(found, "knn_accuracy") == ["", "best"]


def test_without_shared_seeds_equal_is_what_welchs_test_does_not_tell_apart(make, tmp_path):
    # Against the best, 10 with a spread of about 0.45: Welch gives t = 1.5 with hardly more than
    # one degree of freedom to 0 and 8, p = 0.37. (A pooled variance would give p = 0.02.)
    for seed, value in enumerate([10.0, 10.5, 9.5, 10.0, 10.5, 9.5]):
        make("best", {"test/knn_accuracy": value}, seed=seed)
    for seed, value in enumerate([0.0, 8.0], start=6):
        make("wide", {"test/knn_accuracy": value}, seed=seed, kl={"weight": 1.0})
    assert marks(compare_runs([tmp_path / "runs"]), "knn_accuracy") == ["best", "equal"]


def test_shared_seeds_are_paired(make, tmp_path):
    # Seeds are far apart, and b is below a by 1, 2 and 3 in each: t = 2 / (1 / sqrt 3) = 3.46 with
    # 2 degrees of freedom, p = 0.074; with the fourth, 2.5 / (1.29 / 2) = 3.87 with 3, p = 0.030.
    # Welch, who ignores the pairs: 2.5 / sqrt((1500 + 1401.7) / 4) = 0.093, 6 degrees, p = 0.929.
    for seed, value in enumerate([10.0, 40.0, 70.0, 100.0]):
        make("a", {"test/knn_accuracy": value}, seed=seed)
        make("b", {"test/knn_accuracy": value - 1 - seed}, seed=seed, kl={"weight": 1.0})
    one, other = compare_runs([tmp_path / "runs"]).rows
    by_seed = [{run.seed: run.metrics["knn_accuracy"] for run in row.runs} for row in (one, other)]
    assert p_value(*by_seed) == pytest.approx(0.0305, abs=1e-4)
    assert marks(compare_runs([tmp_path / "runs"]), "knn_accuracy") == ["best", ""]
    three = [{seed: values[seed] for seed in range(3)} for values in by_seed]
    assert p_value(*three) == pytest.approx(0.0742, abs=1e-4)
    apart = [by_seed[0], {seed + 10: value for seed, value in by_seed[1].items()}]
    assert p_value(*apart) == pytest.approx(0.929, abs=1e-3)


def test_the_tests_of_a_metric_are_corrected_for_their_number(make, tmp_path):
    # Below the best by 1 to 4 as above, p = 0.0305: of one row told apart, of two rows no more.
    for weight, below in ((0.5, 0), (1.0, 1), (2.0, 1)):
        for seed, value in enumerate([10.0, 40.0, 70.0, 100.0]):
            measured = {"test/knn_accuracy": value - below * (1 + seed)}
            make("a", measured, seed=seed, kl={"weight": weight})
    assert marks(compare_runs([tmp_path / "runs"]), "knn_accuracy") == ["best", "equal", "equal"]


def test_holm():
    # The smallest times 4, the next times 3, then times 2; none below the one before.
    assert holm([0.04, 0.01, 0.011, 0.5]) == pytest.approx([0.08, 0.04, 0.04, 0.5])
    assert holm([0.9, 0.6]) == [1, 1]
    assert holm([]) == []


def test_no_test_without_spread():
    assert p_value({0: 1.0}, {0: 2.0, 1: 3.0}) is None
    assert p_value({0: 1.0, 1: 1.0}, {2: 2.0, 3: 2.0}) is None
    assert p_value({0: 0.5, 1: 0.51}, {0: 0.1, 1: 0.11}) is None


def test_the_interval_of_a_share():
    # Wilson: (k + z²/2 ± z sqrt(k (n - k) / n + z²/4)) / (n + z²), where z = 1.959964.
    low, high = share_interval([[0, 100], [50, 0]], 100)
    z2 = 1.959964**2
    np.testing.assert_allclose(low, [[0, 100 / (100 + z2)], [0.403832, 0]], atol=1e-6)
    np.testing.assert_allclose(high, [[z2 / (100 + z2), 1], [0.596168, z2 / (100 + z2)]], atol=1e-6)
    low, high = share_interval(5, 5)
    assert (low, high) == (pytest.approx(5 / (5 + z2)), 1)


def test_a_mean_of_what_agrees_has_no_margin():
    assert mean_margin([1.0] * 5) is None
    assert mean_margin([1.0]) is None
    assert mean_margin([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / 3**0.5, rel=1e-6)


# --- Against the plain run.


def guided(now, full):
    return {"test/knn_accuracy": now, "test/knn_accuracy_full": full}


def test_kept_guidance_is_against_the_plain_run_of_the_seed(make, tmp_path):
    for seed, plain in enumerate([0.50, 0.60]):
        make("plain", {"test/knn_accuracy": plain}, seed=seed, guidance={"weight": 0.0})
        make("falls", guided(0.70, 0.90), seed=seed)
        make("borders", guided(0.90, 0.90), seed=seed, terms=[{"name": "border", "weight": 1.0}])
    make("other", guided(0.70, 0.90), kl={"name": "square"})  # no plain run has its KL
    make("more", guided(0.70, 0.90), seed=2)  # nor its seed
    found = compare_runs([tmp_path / "runs"])
    assert "kept_guidance" in found.metrics
    kept = {row.recipe_name: row.metrics.get("kept_guidance") for row in found.rows}
    # (.70 - .50) / (.90 - .50) and (.70 - .60) / (.90 - .60).
    assert kept["falls"].values == pytest.approx((1 / 2, 1 / 3))
    assert kept["borders"].values == pytest.approx((1, 1))
    assert kept["plain"] is None
    assert kept["other"] is None


def test_a_plain_run_may_have_no_head_at_all(make, tmp_path):
    make("plain", {"test/knn_accuracy": 0.5}, guidance=None)
    make("falls", guided(0.70, 0.90))
    (falls, _) = compare_runs([tmp_path / "runs"]).rows
    assert falls.metrics["kept_guidance"].values == (pytest.approx(0.5),)


def test_validation_images_are_held_against_the_plain_run_s(make, tmp_path):
    # Test images are measured at the end alone, so that only those have an accuracy at full weight.
    make("plain", {"test/knn_accuracy": 0.5, "val/knn_accuracy": 0.6}, guidance=None)
    val = {"val/knn_accuracy": 0.70, "val/knn_accuracy_full": 0.80}
    make("falls", {"test/knn_accuracy": 0.65, **val})
    (falls, _) = compare_runs([tmp_path / "runs"]).rows
    assert falls.metrics["val/kept_guidance"].values == (pytest.approx(0.5),)
    assert "kept_guidance" not in falls.metrics


AGAINST_PLAIN = """
    from dvae_core import Metric, hookimpl
    class Odd(Metric):
        "Odd."
        name = "odd"
        @classmethod
        def against_plain(cls, measured, plain):
            return GIVEN
        def measure(self, snapshot):
            return {}
    @hookimpl
    def register_metrics():
        return [Odd]
"""


def test_nobody_is_asked_for_validation_images_that_there_are_not(make, install, tmp_path):
    given = '{"odd": measured["knn_accuracy"] - plain["knn_accuracy"]}'
    install("dvae-odd", AGAINST_PLAIN.replace("GIVEN", given))
    make("plain", {"test/knn_accuracy": 0.5}, guidance=None)
    make("falls", guided(0.70, 0.90))
    found = compare_runs([tmp_path / "runs"])
    assert found.left_out == ()
    assert found.rows[0].metrics["odd"].mean == pytest.approx(0.2)


def test_a_metric_that_fails_against_plain_costs_no_other(make, install, tmp_path):
    install("dvae-odd", AGAINST_PLAIN.replace("GIVEN", '{"odd": measured["gone"]}'))
    make("plain", {"test/knn_accuracy": 0.5}, guidance=None)
    run = make("falls", guided(0.70, 0.90))
    found = compare_runs([tmp_path / "runs"])
    assert found.rows[0].metrics["kept_guidance"].mean == pytest.approx(0.5)
    assert found.left_out == (f"{run}: metric \"odd\" failed: KeyError: 'gone'",)


def test_a_clear_difference_and_one_without_spread_are_not_equal(make, tmp_path):
    for seed in range(2):
        make("a", {"test/knn_accuracy": 0.9, "test/silhouette": 0.50 + seed / 100}, seed=seed)
        make(
            "b",
            {"test/knn_accuracy": 0.8, "test/silhouette": 0.10 + seed / 100},
            seed=seed,
            kl={"weight": 1.0},
        )
    found = compare_runs([tmp_path / "runs"])
    assert marks(found, "knn_accuracy") == ["best", ""]
    assert marks(found, "silhouette") == ["best", ""]


def test_directions(make, install, tmp_path):
    install(
        "dvae-odd",
        """
        from dvae_core import Metric, hookimpl
        class Odd(Metric):
            "Odd."
            name = "odd"
            directions = {"less": "lower", "more": "higher"}
            def measure(self, snapshot):
                return {}
        @hookimpl
        def register_metrics():
            return [Odd]
        """,
    )
    names = ["reconstruction", "kl", "knn_accuracy", "active_units", "less", "more", "unknown"]
    make("a", {f"test/{name}": 1.0 for name in names})
    make("b", {f"test/{name}": 2.0 for name in names}, train={"epochs": 3})
    found = compare_runs([tmp_path / "runs"])
    best = {name: [mark == "best" for mark in marks(found, name)] for name in names}
    assert [name for name in names if best[name] == [True, False]] == [
        "reconstruction", "kl", "less",
    ]  # fmt: skip
    assert [name for name in names if best[name] == [False, True]] == ["knn_accuracy", "more"]
    # Two KL terms have no common scale.
    make("c", {"test/kl": 0.1, "test/reconstruction": 0.1}, kl={"name": "square"})
    found = compare_runs([tmp_path / "runs"])
    assert marks(found, "kl") == ["", "", ""]
    assert marks(found, "reconstruction") == ["", "", "best"]


def test_unfinished_runs_stand_alone_and_broken_ones_are_named(make, tmp_path, dvae):
    make("a", {"test/knn_accuracy": 0.5}, seed=0)
    make("a", {"test/knn_accuracy": 0.7}, seed=1)
    make("a", {"test/knn_accuracy": 0.9}, seed=2, status="running")
    failed = make("a", {"test/knn_accuracy": 0.1}, seed=3, status="failed")
    empty = make("a", {}, seed=4, status="interrupted", rows=False)
    damaged = make("a", {}, seed=5)
    (damaged / "run.json").write_text("{")
    no_toml = make("a", {}, seed=6)
    (no_toml / "recipe.toml").write_text("kl = [")
    again = make("a", {"test/knn_accuracy": 0.6}, seed=0)
    found = compare_runs([tmp_path / "runs"])
    assert [[run.seed for run in row.runs] for row in found.rows] == [[0, 1], [2]]
    assert found.rows[0].metrics["knn_accuracy"].values == (0.6, 0.7)
    assert marks(found, "knn_accuracy") == ["", ""]

    code, out, err = dvae("compare", tmp_path / "runs")
    assert code == 0
    assert "running" in out
    lines = err.splitlines()
    assert len(lines) == 5
    assert f"left out: {failed}: failed: the loss is nan" in lines
    assert f"left out: {empty}: interrupted, and no epoch has been finished" in lines
    assert f"left out: {damaged}: not a run folder: no readable run.json" in lines
    assert any(str(no_toml) in line and "not valid TOML" in line for line in lines)
    assert any(
        line.endswith(f"has the recipe and the seed of {again}, a newer run") for line in lines
    )

    with pytest.raises(RunFolderError, match="no run is left to compare"):
        compare_runs([failed])
    code, _, err = dvae("compare", tmp_path / "gone")
    assert code == 1
    assert "gone: neither a run folder nor a folder of run folders" in err


def test_a_metrics_own_keys_count_where_the_runs_have_it(make, tmp_path):
    knn = [{"name": "knn", "k": 15}, {"name": "silhouette", "samples": 10}]
    make("a", {"test/knn_accuracy": 0.5}, seed=0)
    make("a", {"test/knn_accuracy": 0.6, "test/silhouette": 0.1}, seed=1, evaluate={"metrics": knn})
    (row,) = compare_runs([tmp_path / "runs"]).rows
    assert row.metrics["knn_accuracy"].values == (0.5, 0.6)
    assert row.metrics["silhouette"].values == (0.1,)
    make("a", {"test/knn_accuracy": 0.9}, evaluate={"metrics": [{"name": "knn", "k": 1}]})
    found = compare_runs([tmp_path / "runs"])
    assert found.settings == ("evaluate.metrics.knn.k",)
    assert len(found.rows) == 2


def test_a_run_named_twice_is_one_run_and_figures_can_be_chosen(make, tmp_path):
    run = make("a", {"test/kl": 1.0, "train/loss": 5.0, "seconds": 2.0})
    found = compare_runs([run, tmp_path / "runs", run])
    assert (len(found.rows), len(found.rows[0].runs), found.metrics) == (1, 1, ("kl",))
    assert compare_runs([run], ["train/loss", "test/kl"]).metrics == ("train/loss", "kl")
    with pytest.raises(RecipeError, match='no run has a metric "second", did you mean "seconds"'):
        compare_runs([run], ["second"])


# --- How it is shown.


@pytest.fixture
def two(make, tmp_path):
    """Two recipes; the first has two seeds."""
    make("a", {"test/knn_accuracy": 0.5, "test/silhouette": 0.25}, seed=0)
    make("a", {"test/knn_accuracy": 0.7, "test/silhouette": 0.25}, seed=1)
    make("b|c", {"test/knn_accuracy": 0.9}, kl={"name": "square"})
    return tmp_path / "runs"


def test_formats(dvae, two):
    # t(0.975, 1) = 12.7062; the spread is 0.1 sqrt(2), so the margin 1.27062.
    code, out, err = dvae("compare", two)
    assert (code, err) == (0, "")
    above, header, a, b = (line.split() for line in out.splitlines()[:4])
    assert above == ["kl."]
    assert header == ["run", "seeds", "name", "knn_accuracy", "silhouette"]
    assert a == ["a", "0", "1", "abs", "0.6", "±", "1.3", "0.250", "(all", "2)"]
    assert b == ["b|c-abcf", "0", "square", "*", "0.9", "–"]
    assert "One run of a recipe cannot tell a difference from noise" in out

    code, out, _ = dvae("compare", two, "--markdown")
    lines = out.splitlines()
    assert lines[0] == "| run | seeds | kl.name | knn_accuracy | silhouette |"
    assert lines[1] == "| --- | --- | --- | ---: | ---: |"
    assert lines[2].startswith("| a | 0 1 | abs | 0.6 ± 1.3 | ")
    assert lines[3] == "| b\\|c-abcf | 0 | square | **0.9** | – |"

    code, out, _ = dvae("compare", two, "--csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert float(table[0]["knn_accuracy"]) == pytest.approx(0.6)
    assert float(table[0]["knn_accuracy margin"]) == pytest.approx(1.270620, rel=1e-5)
    assert table[1]["knn_accuracy margin"] == table[1]["silhouette"] == ""
    assert [row["kl.name"] for row in table] == ["abs", "square"]

    code, out, _ = dvae("compare", two, "--json")
    found = json.loads(out)
    assert found["differences"] == ["kl.name"]
    assert found["rows"][0]["seeds"] == [0, 1]
    assert found["rows"][1]["metrics"] == {
        "knn_accuracy": {"mean": 0.9, "margin": None, "values": [0.9], "mark": "best"}
    }
    code, out, err = dvae("compare", two, "--json", "--csv")
    assert (code, out) == (2, "")
    assert "choose one of" in err


def drawn(pieces, width):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width)
    for piece in pieces:
        console.print(piece)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("rows", "figures", "width", "pieces", "on_side"),
    [
        (2, 3, 100, 1, False),
        (2, 20, 100, 1, True),
        (20, 3, 100, 1, False),
        (20, 20, 100, 2, True),
        (1, 1, 5, 1, False),
    ],
)
def test_a_table_is_never_wider_than_the_terminal(rows, figures, width, pieces, on_side):
    header = ["run", *(f"figure_{n:03}" for n in range(figures))]
    table = [[f"run{r:02}", *(f"{r:02}.{n:03}" for n in range(figures))] for r in range(rows)]
    made = tables._layout(header, table, figures, width)
    assert len(made) == pieces
    text = drawn(made, 1000)
    assert all(len(line.rstrip()) <= max(width, 17) for line in text.splitlines())
    assert (text.split()[1] == "run00") == on_side
    assert all(cell in text for row in table for cell in row)


def test_it_needs_no_heavy_library_for_single_runs(make, tmp_path):
    make("a", {"test/kl": 1.0})
    code = (
        "import sys; from dvae_core import compare_runs; compare_runs(sys.argv[1:]); "
        "print({'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "runs"], capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr
