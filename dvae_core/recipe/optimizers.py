"""torch.optim's optimizers by name, their keywords checked without importing torch."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvae_core.errors import did_you_mean

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

UNSUITABLE = {
    "Optimizer": "it is only the base class",
    "LBFGS": "it evaluates the loss several times a step",
    "SparseAdam": "it takes sparse gradients only",
    "Muon": "it takes matrices only, and a model has biases too",
}

OTHER_WAYS = {"fused", "foreach", "capturable", "differentiable"}
"""Keywords that say how an optimizer does its sums."""


def problems(name: str, keywords: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with an optimizer and its keywords, as (key, problem); empty if nothing."""
    if name in UNSUITABLE:
        return [("name", f'optimizer "{name}" cannot train this: {UNSUITABLE[name]}')]
    try:
        known = _keywords(name)
    except KeyError:
        names = sorted(set(_modules()) - set(UNSUITABLE))
        hint = did_you_mean(name, names)
        return [("name", f'torch.optim has no "{name}"{hint}; known: {", ".join(names)}')]
    found = []
    for key, value in keywords.items():
        if key not in known:
            hint = did_you_mean(key, known) or f"; {name} takes {', '.join(sorted(known))}"
            found.append((key, f'unknown key "{key}"{hint}'))
        elif not _fits(value, known[key]):
            found.append((key, f"{key} must be like its default {known[key]!r}, not {value!r}"))
    return found


def build(name: str, keywords: dict[str, Any], parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer itself.

    Where torch has an implementation that updates everything in one pass over the memory, and the
    recipe names no other, it is taken: Adam takes a third of the time.

    Raises:
        ValueError: torch refused a keyword's value.
    """
    from torch import optim

    keywords = {k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()}
    parameters = list(parameters)
    if "fused" in _keywords(name) and not keywords.keys() & OTHER_WAYS and _fusible(parameters):
        keywords["fused"] = True
    try:
        optimizer: Optimizer = getattr(optim, name)(parameters, **keywords)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"torch.optim.{name} refused: {error}") from error
    return optimizer


def _fusible(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)


def _fits(value: Any, default: Any) -> bool:
    """Whether a TOML value is of the kind of a keyword's default, as far as that tells."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and (default is None or isinstance(default, bool))
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default)
    return not isinstance(value, dict)


@functools.cache
def _modules() -> dict[str, Path]:
    """The file that defines each optimizer, read off torch.optim's own imports."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("torch is not installed")
    folder = Path(next(iter(spec.submodule_search_locations))) / "optim"
    imports = ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body
    return {
        (alias.asname or alias.name): folder / f"{node.module.rsplit('.', 1)[-1]}.py"
        for node in imports
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name[0].isupper()
    }


@functools.cache
def _keywords(name: str) -> dict[str, Any]:
    """An optimizer's keywords with their defaults (None where that is no plain value).

    Raises:
        KeyError: torch has no such optimizer.
    """
    tree = ast.parse(_modules()[name].read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    return _defaults(item.args)
    raise KeyError(name)


def _defaults(arguments: ast.arguments) -> dict[str, Any]:
    positional = [a.arg for a in arguments.args][2:]  # self and params
    first = [None] * (len(positional) - len(arguments.defaults))
    pairs = [
        *zip(positional, [*first, *arguments.defaults][-len(positional) :], strict=True),
        *zip([a.arg for a in arguments.kwonlyargs], arguments.kw_defaults, strict=True),
    ]
    return {name: _literal(node) for name, node in pairs}


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None
