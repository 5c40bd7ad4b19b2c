"""The explore page in JupyterLab, run and looked at in a browser."""

import json
import os
import subprocess
import sys
import time

import nbformat
import pytest
from playwright.sync_api import expect

from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import run_recipe

pytestmark = pytest.mark.slow

CELL = """
from dvae_core import explore_page, load_run
explore_page(load_run({run!r}))
"""


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab in a folder; it listens on this machine alone."""
    config, runtime = tmp_path / "config", tmp_path / "runtime"
    places = {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(runtime)}
    options = ["--no-browser", "--allow-root", "--port=0", f"--ServerApp.root_dir={tmp_path}"]
    options += [
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env=os.environ | places, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not (files := list(runtime.glob("jpserver-*.json"))):
            assert server.poll() is None, "JupyterLab ended"
            assert time.monotonic() < until, "JupyterLab did not start"
            time.sleep(0.2)
        said = json.loads(files[0].read_text())
        yield lambda name: f"{said['url']}lab/tree/{name}?token={said['token']}"
    finally:
        server.terminate()
        server.wait(30)


def test_a_cell_that_ends_with_a_page_shows_it(lab, browser, recipe_file, tmp_path, judged_after):
    judged_after(10)
    changes = ['evaluate.metrics=["borders"]', "evaluate.plots=[]"]
    run = run_recipe(load_recipe(recipe_file, changes), tmp_path / "runs")
    cell = nbformat.v4.new_code_cell(CELL.format(run=str(run.path)))
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "look.ipynb")

    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(lab("look.ipynb"))
    page.get_by_role("dialog").get_by_role("button", name="Select").click()  # the kernel
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")
    frame = page.frame_locator(".jp-OutputArea-output iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    frame.locator(".plane").click()
    expect(frame.locator(".pins button")).to_have_count(1)
    context.close()
