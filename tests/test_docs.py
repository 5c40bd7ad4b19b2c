"""What the documents say is so."""

import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import typer

import dvae_core
from dvae_core.cli import app
from dvae_core.plugin import hookspecs
from dvae_core.plugin.kinds import KINDS
from dvae_core.plugin.offers import NAME_OF
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import build_recipe, load_recipe
from dvae_core.recipe.source import RecipeSource, read_source
from dvae_core.sweep.sweep_file import load_sweep

from .helpers import RECIPES, ROOT

PLUGINS = ROOT / "docs" / "plugins.md"
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.fixture(scope="module")
def reference_module():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_the_code(reference_module):
    written = PLUGINS.read_text().split(reference_module.MARK)[1]
    assert written == "\n" + reference_module.reference(), "run: python docs/reference.py"


def test_every_hook_and_kind_is_documented_with_its_signature():
    text = PLUGINS.read_text()
    hooks = [n for n in vars(hookspecs) if n.startswith("register_")] + list(hookspecs.EVENTS)
    assert {f"register_{kind}s" for kind in [*KINDS, *NAME_OF]} | {*hookspecs.EVENTS} == {*hooks}
    for name in hooks:
        hook = getattr(hookspecs, name)
        assert hook.__doc__
        signature = str(inspect.signature(hook)).replace("'", "")
        assert f"`{name}{signature}`" in text
    for kind, base in KINDS.items():
        assert f"### {kind}: `dvae_core.{base.__name__}`" in text


def test_the_public_face_is_complete_and_lazy():
    for name in dvae_core.__all__:
        assert getattr(dvae_core, name) is not None
    for base in KINDS.values():
        assert getattr(dvae_core, base.__name__) is base
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dvae_core.nonsense  # noqa: B018
    code = "import dvae_core, sys; assert not {'torch', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def code_blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.S)


@pytest.mark.slow
def test_python_blocks_run():
    for path in PAGES:
        for block in code_blocks(path, "python"):
            if "run_recipe(" in block:
                continue  # trains; has a test of its own below
            if not block.startswith(" "):
                exec(compile(block, str(path), "exec"), {})


def test_the_readmes_recipes_are_right(tmp_path):
    recipes = {}
    for block in code_blocks(ROOT / "README.md", "toml"):
        table = tomllib.loads(block)
        if "extends" in table:
            file = tmp_path / "mine.toml"
            file.write_text(block)
            recipes[table["extends"]] = load_recipe(file)
    assert set(recipes) == {"mnist_abs", "borders"}
    recipe = recipes["mnist_abs"]
    assert (recipe.kl.component.name, recipe.train.epochs) == ("square", 5)
    assert recipes["borders"].pairs == (("0", "8"), ("3", "5"))


def test_the_lists_are_whole():
    def missing(page, names):
        text = (ROOT / "docs" / page).read_text()
        return [name for name in names if not re.search(f"`{re.escape(name)}[` ]", text)]

    assert not missing("recipes.md", [file.stem for file in RECIPES.glob("*.toml")])
    assert not missing("commands.md", [f"dvae {c.name}" for c in app.registered_commands])
    own = [p for p in load_registry().providers if p.distribution == "dvae-core"]
    assert not missing("data.md", [p.name for p in own if p.kind == "dataset"])


def test_recipes_sweeps_and_parts_of_them_are_right(tmp_path):
    """Whole recipes and sweeps as they are; parts of a recipe laid over one that ships."""
    seen = {"recipe": 0, "sweep": 0, "part": 0}
    for page in PAGES:
        for number, block in enumerate(code_blocks(page, "toml")):
            table = tomllib.loads(block)
            if "project" in table:  # a pyproject.toml
                continue
            kind = "sweep" if "recipe" in table else "recipe" if "extends" in table else "part"
            seen[kind] += 1
            if kind == "sweep":
                file = RECIPES / "sweeps" / "kl_variants.toml"
                made = tmp_path / f"{number}.toml"
                text = block.replace('"../', f'"{file.parent.parent}/')
                made.write_text(text)
                assert load_sweep(made, load_registry()).recipe
            elif kind == "recipe":
                made = tmp_path / "mine.toml"
                made.write_text(block)
                load_recipe(made)
            else:
                source = read_source(RECIPES / "quick_val.toml")
                source.merge(RecipeSource(table))
                build_recipe(source)
    assert min(seen.values()) > 1, seen


def test_commands_have_the_verbs_and_options_that_the_documents_give_them():
    group = typer.main.get_command(app)
    seen = 0
    for page in PAGES:
        lines = [line for block in code_blocks(page, "sh") for line in block.splitlines()]
        lines += re.findall(r"`(dvae [a-z-]+ [^`]+)`", page.read_text())
        for line in lines:
            for command in re.findall(r"(?:^|&& )dvae ([^&#]+)", line):
                verb, *arguments = shlex.split(command)
                if verb == "judge":  # which the tutorial makes
                    continue
                known = {name for p in group.commands[verb].params for name in p.opts}
                used = {a.partition("=")[0] for a in arguments if a.startswith("--")}
                assert used <= known | {"--help", "--debug"}, f"{page.name}: {command}"
                seen += 1
    assert seen > 40


def test_files_that_the_documents_link_to_are_there():
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path}: {target}"


def test_every_test_that_a_document_names_is_there():
    text = (ROOT / "docs" / "reliability.md").read_text()
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", text)
    assert len(named) == text.count("::") > 40
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


def test_doctests():
    import doctest

    from benchmarks import findings
    from dvae_core import errors, randomness
    from dvae_core.cli import epoch_text, sweep_progress
    from dvae_core.recipe import source as recipe_source
    from dvae_core.recipe import timeline as weights
    from dvae_core.runs import rows, significance
    from dvae_core.sweep import plan

    core = (errors, randomness, recipe_source, weights, epoch_text, plan, sweep_progress)
    for module in (*core, rows, significance, findings):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


@pytest.mark.slow
def test_the_lines_for_notebooks_run(recipe_file, tmp_path, monkeypatch, judged_after):
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"## From Python.*?```python\n(.*?)```", readme, re.DOTALL)
    code = code.replace("recipes/quick.toml", str(recipe_file)).replace("0, 8", "0, 2")
    monkeypatch.chdir(tmp_path)
    with np.load(recipe_file.parent / "blobs.npz") as blobs:
        names = {"images": blobs["images"][:5, None]}
    judged_after(10)
    exec(code, names)  # our own README
    assert names["mean"].shape == (5, 2)
    assert names["snapshot"].paths().direct_path.shape == (3, 3)


@pytest.mark.slow
def test_the_tutorials_components_conform_and_train():
    from dvae_core.model.data import load_data
    from dvae_core.plugin.kinds import Component
    from dvae_core.testing import check
    from dvae_core.testing.toys import toy_recipe, toy_registry
    from dvae_core.training.state import Training

    found = {}
    for block in code_blocks(PLUGINS, "python"):
        if not block.startswith(" "):
            names = {}
            exec(compile(block, str(PLUGINS), "exec"), names)
            found |= {
                cls.kind: cls
                for cls in names.values()
                if isinstance(cls, type) and issubclass(cls, Component) and "name" in vars(cls)
            }
    assert {"schedule", "posterior", "kl", "decoder", "reconstruction"} <= set(found)
    # What stands in a page alone can be named by nobody else; its keys may speak for themselves.
    elsewhere = {"can_be_pickled", "keys_have_descriptions"}
    for cls in found.values():
        wrong = [o for o in check(cls) if o.status == "failed" and o.check not in elsewhere]
        assert wrong == [], cls
    tables = {kind: {"name": cls.name} for kind, cls in found.items() if kind != "schedule"}
    listed = {"callbacks": [tables.pop("callback")]}
    recipe = toy_recipe(toy_registry(*found.values()), **tables, **listed)
    training = Training(recipe, load_data(recipe.dataset))
    means = []
    for epoch in range(6):
        for batch in training.batches.epoch(epoch):
            training.take_step(*batch)
        assert training.ledger.read() is None
        means.append(training.ledger.means()["train/loss"])
        training.finish_epoch()
    assert means[-1] < means[0]


def test_what_is_cited_is_this_version():
    cited = dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text(), re.M))
    assert cited["version"] == dvae_core.__version__
    assert cited["license"] == "MIT"
