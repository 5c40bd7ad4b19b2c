"""Writes a new plugin package from the templates in this folder."""

from __future__ import annotations

import keyword
import re
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template

import tomli_w

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.plugin.kinds import KINDS
from dvae_core.plugin.places import put
from dvae_core.plugin.registry import DISTRIBUTION

TEMPLATES = Path(__file__).parent


def new_plugin(name: str, kinds: Sequence[str], parent: Path) -> Path:
    """Write a package that adds one component of each kind; all of it or nothing.

    Args:
        name: the distribution, such as "dvae-halving"; "halving" is the component then.
        kinds: at least one.
        parent: the package's folder is made in here.

    Returns:
        The package's folder.

    Raises:
        RecipeError: the name cannot be used, or its folder is there already.
        DvaeError: the folder cannot be written.
    """
    module = name.replace("-", "_").replace(".", "_").lower()
    _check_name(name, module)
    target = parent / name
    if target.exists():
        raise RecipeError(f"{target}: is there already, and nothing is overwritten")
    component = module.removeprefix("dvae_")
    kinds = list(dict.fromkeys(kinds))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent) as folder:
            _write(Path(folder) / name, name, module, component, kinds)
            (Path(folder) / name).rename(target)
    except OSError as error:
        raise DvaeError(f"{target}: cannot be written: {error.strerror}") from error
    return target


def way_to_use(kinds: Sequence[str]) -> str:
    """The command that runs what a new package of these kinds adds."""
    return "dvae sweep sweep.toml" if "launcher" in kinds else "dvae run recipe.toml"


def _write(target: Path, name: str, module: str, component: str, kinds: list[str]) -> None:
    stem = "".join(part.capitalize() for part in component.split("_"))
    classes = {kind: f"{stem}{KINDS[kind].__name__}" for kind in kinds}
    *most, last = (f"{_article(kind)} {kind}" for kind in kinds)
    what = f"{', '.join(most)} and {last}" if most else last
    values = {
        "distribution": name,
        "module": module,
        "plugin": component,
        "what": what,
        "use": way_to_use(kinds).ljust(29),
        "core_version": ".".join(version(DISTRIBUTION).split(".")[:2]),
        "import_classes": _import(module, sorted(classes.values())),
        "imports": "\n".join(f"from {module}.{k} import {classes[k]}" for k in sorted(kinds)),
        "hooks": "\n\n\n".join(
            f"@hookimpl\ndef register_{kind}s():\n    return [{classes[kind]}]" for kind in kinds
        ),
        "tests": "\n".join(f"test_{kind} = conformance({classes[kind]})" for kind in kinds),
        "describe_lines": "\n".join(
            f"`dvae describe {kind} {component}` shows the keys of the {kind}." for kind in kinds
        ),
    }
    package = TEMPLATES / "package"
    source = target / "src" / module
    source.mkdir(parents=True)
    (target / "tests").mkdir()
    for template, file in (
        ("pyproject.toml.txt", target / "pyproject.toml"),
        ("README.md.txt", target / "README.md"),
        ("init.py.txt", source / "__init__.py"),
        ("tests/test_conformance.py.txt", target / "tests" / "test_conformance.py"),
    ):
        file.write_text(_filled(package / template, values), encoding="utf-8")
    for kind in kinds:
        text = _filled(
            TEMPLATES / "kinds" / f"{kind}.py.txt", {"Class": classes[kind], "name": component}
        )
        (source / f"{kind}.py").write_text(text, encoding="utf-8")
    recipe = tomllib.loads((TEMPLATES / "recipe.toml").read_text(encoding="utf-8"))
    recipe["title"] = f"Trying {name}"
    for kind in kinds:
        if kind in ("metric", "plot"):
            put(recipe, kind, component)
        elif kind != "launcher":  # which sweep.toml names
            put(recipe, kind, {KINDS[kind].name_key: component})
    (target / "recipe.toml").write_text(tomli_w.dumps(recipe), encoding="utf-8")
    if "launcher" in kinds:
        sweep = {"recipe": "recipe.toml", "seeds": 2, "launcher": {"name": component}}
        (target / "sweep.toml").write_text(tomli_w.dumps(sweep), encoding="utf-8")


def _check_name(name: str, module: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", name) or len(name) > 80:
        raise RecipeError(
            f'"{name}" cannot name a package: use letters, digits and single hyphens, such as '
            "dvae-halving"
        )
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in TAKEN:
        raise RecipeError(f'"{name}" would hide the Python module {module}; try dvae-{name}')


TAKEN = {"dvae_core", "dvae_plugins", "dvae", "torch", "numpy", "pluggy", "pydantic"}


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 88:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _article(word: str) -> str:
    return "an" if word[0] in "aeio" else "a"


def _filled(template: Path, values: dict[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(values)
