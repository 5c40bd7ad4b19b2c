"""Fixtures: recipes that train in a second, and packages that are really installed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from .helpers import GRID, INLINE, check_accessible, forget_plugins

# What the tests train is so small that a second thread costs more than it gives: much more on a
# busy machine, where threads wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# The default tries the same few inputs each time; --hypothesis-profile=thousands looks for more.
_FUZZ = {
    "deadline": timedelta(seconds=20),
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("few", max_examples=40, derandomize=True, **_FUZZ)
settings.register_profile("thousands", max_examples=3000, print_blob=True, **_FUZZ)
settings.load_profile("few")


@pytest.fixture(autouse=True, scope="session")
def _own_trackio(tmp_path_factory):
    """Trackio reads once, when it is imported, where it keeps what it is told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _signals_that_are_heard():
    """Signals act as usual, whatever the tests were started to ignore, as `nohup pytest &` does."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def _judges(tmp_path_factory):
    return tmp_path_factory.mktemp("judges")


@pytest.fixture(autouse=True)
def judged_after(_own_places, _judges, monkeypatch):
    """A function: image judges of this test learn for so many steps, for any will do.

    They are shared by tests, as they are by runs, for most tests have the same images.
    """
    link = Path(os.environ["DVAE_CACHE"]) / "image-judges"

    def judged_after(steps: int | None) -> None:
        folder = _judges / str(steps)
        folder.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        if steps is not None:
            monkeypatch.setattr("dvae_core.latent.borders.image_judge.STEPS", steps)

    judged_after(None)
    return judged_after


@pytest.fixture(autouse=True)
def _own_places(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache, plugins or W&B account."""
    monkeypatch.setenv("DVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
    for name in ("DVAE_PLUGINS", "DVAE_STRICT", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("wandb")))


@pytest.fixture
def blobs(tmp_path) -> Path:
    """An npz of 240 images of 8x8 in three classes that are easy to tell apart."""
    return write_blobs(tmp_path)


@pytest.fixture
def recipe_file(tmp_path, blobs) -> Path:
    """A recipe over `blobs` that trains in well under a second."""
    return write_recipe(tmp_path)


@pytest.fixture
def fashion(monkeypatch):
    """The real Fashion-MNIST may not be on this machine; its recipe is the same without."""
    from dvae_plugins.datasets.idx import FashionMNIST

    from dvae_core.plugin.labelled_images import LabelledImages

    def load(self, cache):
        images = np.random.default_rng(0).integers(0, 256, (500, 1, 28, 28)).astype(np.uint8)
        labels = np.arange(500) % 10
        return LabelledImages(images, labels, images, labels, self.class_names)

    monkeypatch.setattr(FashionMNIST, "load", load)


def write_blobs(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = rng.integers(0, 60, (240, 8, 8))
    for c in range(3):
        images[labels == c, :, 2 * c : 2 * c + 3] += 150
    path = folder / "blobs.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return path


def write_recipe(folder: Path) -> Path:
    path = folder / "small.toml"
    path.write_text(
        textwrap.dedent(
            """\
            title = "small"
            seed = 1

            [dataset]
            name = "npz"
            path = "blobs.npz"

            [encoder]
            name = "mlp"
            hidden = [16]

            [decoder]
            name = "mlp"
            hidden = [16]

            [reconstruction]
            name = "squared_error"

            [kl]
            name = "abs"
            weight = 0.5

            [guidance]
            name = "mlp"
            weight = { schedule = "linear", start = 5.0, end = 0.1, length = 10 }

            [optimizer]
            name = "Adam"
            lr = 1e-2

            [train]
            epochs = 4
            batch_size = 40
            device = "cpu"

            [evaluate]
            metrics = ["knn"]
            """
        )
    )
    return path


@pytest.fixture
def install(tmp_path, monkeypatch) -> Callable[..., None]:
    """Installs packages: a module, and the metadata that pip would have written."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def install(
        distribution: str,
        code: str = "",
        *,
        plugin: str | None = None,
        module: str | None = None,
        version: str = "1.0",
        requires: str = "",
    ) -> None:
        module = module or distribution.replace("-", "_")
        modules.append(module)
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        metadata += f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[dvae]\n{plugin or module} = {module}\n")
        forget_plugins()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
    forget_plugins()


@pytest.fixture
def as_installed(monkeypatch, tmp_path):
    """Puts a package where Python and dvae find it, as `pip install -e` would."""
    modules = set(sys.modules)

    def install(package):
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        source = package / "src"
        info = source / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
            + "".join(f"Requires-Dist: {r}\n" for r in project["dependencies"])
        )
        points = project["entry-points"]["dvae"]
        lines = [f"{name} = {value}\n" for name, value in points.items()]
        (info / "entry_points.txt").write_text("[dvae]\n" + "".join(lines))
        monkeypatch.syspath_prepend(str(source))
        forget_plugins()

    yield install
    for name in set(sys.modules) - modules:
        if name.startswith("dvae_") and not name.startswith(("dvae_core", "dvae_plugins")):
            del sys.modules[name]
    forget_plugins()


@pytest.fixture
def inline(install, judged_after):
    """A launcher called inline, and image judges that are trained in no time."""
    install("dvae-inline", INLINE)
    judged_after(10)


@pytest.fixture
def dvae(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: dvae("run", ...) -> exit code, stdout, stderr."""
    from dvae_core.cli import main

    def dvae(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dvae", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return dvae


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, or else Playwright's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        sandbox = [] if os.getuid() else ["--no-sandbox"]
        found = shutil.which("chromium")
        if not found and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no browser on this machine: apt install chromium")
        chromium = playwright.chromium.launch(executable_path=found, args=sandbox)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Opens a page; says at the end that it made no error, asked nothing of the network, and that
    who cannot see, point or tell colours apart can use it as it is then."""
    contexts, troubles = [], []

    def visit(file, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: note(request.url))
        page.goto(file if isinstance(file, str) else file.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    def note(url):
        if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            troubles.append(url)

    yield visit
    for context in contexts:
        for page in context.pages:
            check_accessible(page)
        context.close()
    assert troubles == []


@pytest.fixture
def write(recipe_file):
    """Writes a sweep file over a recipe of two epochs."""
    recipe_file.write_text(recipe_file.read_text().replace("epochs = 4", "epochs = 2"))

    def write(text: str = GRID) -> Path:
        file = recipe_file.with_name("sweep.toml")
        file.write_text(textwrap.dedent(text))
        return file

    return write
