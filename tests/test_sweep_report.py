"""The report of a sweep: what it says, that a browser shows it, and that nothing breaks it."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from dvae_core.errors import RunFolderError
from dvae_core.pages import sweep_report as report
from dvae_core.pages import sweep_runs as report_runs
from dvae_core.pages.intervals import Scale
from dvae_core.pages.sweep_report import sweep_report
from dvae_core.runs.comparison_table import Estimate
from dvae_core.runs.sweep_folder import SweepFolder
from dvae_core.sweep.driver import run_sweep

from .helpers import GRID, SweepHeard

pytestmark = pytest.mark.slow

TITLE = "</script><script>window.stolen = 1</script> ${title} <i>mine</i>"
BROKEN = """\
[[variants]]
name = "good"
[[variants]]
name = "broken"
dataset.path = "<b>gone</b>.npz"
[launcher]"""
ACCURACY = {"square": {0: [0.5, 0.7], 1: [0.6, 0.8]}, "abs": {0: [0.5, 0.9], 1: [0.5, 0.7]}}
"""Of each KL term's two seeds, after both epochs."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "sweeps"


@pytest.fixture
def swept(inline, recipe_file, tmp_path, kept):
    """A sweep with a failed half, whose accuracies are known figures; trained once, then copied."""
    if not kept.exists():
        text = f"title = {json.dumps(TITLE)}\n{GRID}".replace("[launcher]", BROKEN)
        flags = ["train.epochs=2", 'evaluate.metrics=["knn", "borders"]']
        file = recipe_file.with_name("sweep.toml")
        file.write_text(text)
        done = run_sweep(file, kept, overrides=flags, watch=SweepHeard())
        assert len(done.failed) == 4
        for kl, seeds in ACCURACY.items():
            for seed, values in seeds.items():
                set_accuracy(done.path / f"good_kl-{kl}-seed-{seed}" / "metrics.jsonl", values)
    shutil.copytree(kept, tmp_path / "sweeps")
    return next((tmp_path / "sweeps").iterdir())


def set_accuracy(file, values):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row, value in zip(rows, values, strict=True):
        row["test/knn_accuracy"] = value
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sections(text):
    return re.findall(r'<section class="card" id="([\w-]+)" ', text)


def test_it_says_all_of_a_sweep(swept, dvae):
    written = (swept / "report.html").read_text()
    (swept / "good_kl-abs-seed-1" / "report.html").write_text("its own")
    code, out, err = dvae("report", swept)
    assert (code, out.strip()) == (0, str(swept / "report.html")), err
    text = (swept / "report.html").read_text()
    assert sections(text) == sections(written)
    assert sections(text) == [
        "comparison", "regions", "curves", "best-run", "all-runs", "sweep-file", "provenance",
    ]  # fmt: skip
    for section in sections(text):
        assert f'<a href="#{section}">' in text
    assert len(set(re.findall(r' id="([^"]+)"', text))) == len(re.findall(r' id="', text))
    assert "8 runs: 4 finished, 4 failed" in text
    # Student's t for two runs is 12.706: of 0.9 and 0.7 that makes 1.27, of 0.7 and 0.8 0.64.
    best = text.index('<td class="number best">0.80 ± 1.27<svg')
    assert best < text.index('<td class="number equal">≈ 0.75 ± 0.64<svg')
    region_map = base64.b64encode((swept / "figures" / "regions.png").read_bytes()).decode()
    assert region_map in text
    assert 'href="good_kl-abs-seed-0/">good_kl-abs-seed-0</a>: highest knn_accuracy, 0.9' in text
    assert 'href="good_kl-abs-seed-1/report.html">good_kl-abs-seed-1</a>' in text
    assert "&lt;b&gt;gone&lt;/b&gt;.npz: there is no such file" in text
    assert "<td>inline</td>" in text
    assert (
        "<td>train.epochs=2, evaluate.metrics=[&quot;knn&quot;, &quot;borders&quot;]</td>" in text
    )
    for hostile in ("<script>window", "<i>mine", "<b>gone"):
        assert hostile not in text


def test_its_curves_are_means_over_seeds(swept):
    text = sweep_report(SweepFolder(swept), swept / "report.html")
    (chart,) = re.findall(r"<b>knn accuracy</b>.*?</figure>", text)
    lines = dict(re.findall(r"<title>(\S+) [\d.]+</title><polyline points=\"([^\"]+)\"", chart))
    # From 0.5 at the bottom to 0.8 at the top, over two epochs.
    places = {name: [float(n) for n in re.split("[ ,]", points)] for name, points in lines.items()}
    assert places == {
        "good_kl-abs": pytest.approx([46, 112, 252, 8]),
        "good_kl-square": pytest.approx([46, 112 - 104 / 6, 252, 8 + 104 / 6], abs=0.05),
    }
    assert re.findall(r"<title>(\S+) ([\d.]+)</title>", chart) == [
        ("good_kl-abs", "0.8"),
        ("good_kl-square", "0.75"),
    ]


def test_an_interval_lies_where_its_numbers_are():
    one, two = Estimate((1.0, 3.0), 2.0), Estimate((8.0, 8.0), 0.0)
    scale = Scale.of([one, None, two])
    assert (scale.low, scale.high) == (0.0, 8.0)
    # 90 of 96 units for 0 to 8.
    assert 'd="M3.0 5H48.0M25.5 1V9"' in scale.picture(one)
    assert re.findall(r'cx="([\d.]+)"', scale.picture(one)) == ["14.2", "36.8"]
    assert 'd="M93.0 5H93.0M93.0 1V9"' in scale.picture(two)
    assert Scale.of([two]).picture(two) == ""
    assert scale.picture(None) == ""


def test_a_large_sweep_makes_no_monstrous_page(swept, monkeypatch):
    monkeypatch.setattr(report, "MOST_ROWS", 1)
    monkeypatch.setattr(report, "MOST_CURVES", 1)
    monkeypatch.setattr(report_runs, "MOST_RUNS", 5)
    monkeypatch.setattr(report, "LARGEST", 1000)
    text = sweep_report(SweepFolder(swept), swept / "report.html")
    assert "These are the best 1 of 2 rows; comparison.csv has all." in text
    assert "1 more variants are not drawn" in text
    assert "3 more runs are in journal.jsonl" in text
    assert "Its latent space is left out: it would take" in text
    assert "good_kl-square</td>" not in text
    assert 'id="content"' not in text


def test_links_start_where_the_page_is_and_what_is_gone_is_left_out(swept, tmp_path, dvae):
    shutil.rmtree(swept / "good_kl-abs-seed-0" / "checkpoints")
    code, out, err = dvae("report", swept, "--out", tmp_path / "other.html")
    assert (code, out.strip()) == (0, str(tmp_path / "other.html")), err
    text = (tmp_path / "other.html").read_text()
    assert f'href="sweeps/{swept.name}/good_kl-abs-seed-0/"' in text
    assert re.search("Its latent space is left out: .*checkpoint", text)


def test_a_sweep_whose_runs_all_failed_has_a_report(inline, recipe_file, tmp_path):
    flags = ['dataset.path="gone.npz"']
    file = recipe_file.with_name("sweep.toml")
    file.write_text(GRID)
    done = run_sweep(file, tmp_path / "sweeps", overrides=flags, watch=SweepHeard())
    text = (done.path / "report.html").read_text()
    assert "No run has anything to compare." in text
    assert text.count("gone.npz: there is no such file") == 4
    assert sections(text) == ["comparison", "all-runs", "sweep-file", "provenance"]


def test_what_is_neither_a_run_nor_a_sweep_is_said(swept, dvae, tmp_path):
    for folder, said in (
        (tmp_path / "nowhere", "there is no such folder"),
        (tmp_path, "neither a run's nor a sweep's folder: it has no run.json"),
    ):
        code, out, err = dvae("report", folder)
        assert (code, out) == (1, "")
        assert f"{folder}: {said}" in err
    (swept / "journal.jsonl").rename(tmp_path / "journal.jsonl")
    code, out, err = dvae("report", swept)
    assert code == 1
    assert "it holds runs, so name one of them, such as" in err
    (swept / "journal.jsonl").write_text("[]\n")
    with pytest.raises(RunFolderError, match=r"journal.jsonl:1: damaged"):
        SweepFolder(swept)


def test_a_report_leaves_the_journal_of_a_sweep_under_way_alone(swept):
    journal = swept / "journal.jsonl"
    cut = journal.read_text() + '{"run": "good_kl-a'
    journal.write_text(cut)
    assert len(SweepFolder(swept).journal) == cut.count("\n")
    assert journal.read_text() == cut


def test_what_is_remembered_is_recalled(swept):
    SweepFolder(swept).remember("id", 3)
    SweepFolder(swept).remember("other", [1])
    assert SweepFolder(swept).recall("id") == 3
    assert SweepFolder(swept).recall("none", 7) == 7
    (swept / "memory.json").write_text("{")
    assert SweepFolder(swept).recall("id") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_and_asks_nothing_of_the_network(swept, visit, width):
    text = sweep_report(SweepFolder(swept), swept / "report.html")
    (swept / "report.html").write_text(text)
    page = visit(swept / "report.html", viewport={"width": width, "height": 800})
    assert page.evaluate("window.stolen") is None
    assert page.locator("h1").first.text_content() == TITLE
    assert page.locator("article.run").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    line = page.locator(".charts .key-1 polyline").first
    assert line.evaluate("e => getComputedStyle(e.parentElement).opacity") == "1"
    page.locator("li.key-0").focus()
    assert line.evaluate("e => getComputedStyle(e.parentElement).opacity") == "0.1"
    page.goto(f"{Path(swept / 'report.html').as_uri()}#all-runs")
    assert page.locator("#all-runs").evaluate("e => e.getBoundingClientRect().top") < 400
