"""The site: it is built without a warning, and has a place for all that there is."""

import re
import subprocess
import sys

import pytest

import dvae_core
from dvae_core.plugin.registry import load_registry

from .helpers import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_reference_has_every_verb_component_and_name(site):
    commands = (site / "reference" / "commands" / "index.html").read_text()
    for verb in ("run", "sweep", "check-plugin", "push"):
        assert f'<h2 id="dvae-{verb}">' in commands
    assert "dvae run mnist_abs" in re.sub("<[^>]+>", "", commands)  # an example, in colours
    components = (site / "reference" / "components" / "index.html").read_text()
    for provider in load_registry().providers:
        if provider.distribution == "dvae-core":
            assert f">{provider.name}</code>" in components
    assert "validation_fraction" in components
    python = (site / "reference" / "python" / "index.html").read_text()
    for name in dvae_core.__all__:
        assert re.search(rf'id="dvae_core\\.[\\w.]*{name}"', python) or f">{name}<" in python, name


def test_examples_in_docstrings_are_code(site):
    python = (site / "reference" / "python" / "index.html").read_text()
    assert "<blockquote>" not in python
    assert "&gt;&gt;&gt; " in python


def test_it_starts_with_the_readme_and_asks_nobody_for_anything(site):
    start = (site / "index.html").read_text()
    assert 'src="images/film.gif"' in start
    assert 'href="borders/"' in start
    for page in site.rglob("*.html"):
        asked = re.findall(
            r'(?:<script[^>]*src|<img[^>]*src|<link[^>]*href)="(https?:[^"]+)"', page.read_text()
        )
        assert not asked, (page, asked)
