"""The conformance kit: whether a component keeps its kind's contract.

In a plugin's tests, one line makes a test of each check:

    from dvae_core.testing import conformance
    from my_package import Halving

    test_halving = conformance(Halving)

A class is made with its defaults and its `example`; give an instance to choose. From the command,
`dvae check-plugin` runs the same checks over everything that a plugin registers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dvae_core.plugin.kinds import Component
from dvae_core.testing.outcomes import Failure as Failure
from dvae_core.testing.outcomes import NotChecked as NotChecked
from dvae_core.testing.outcomes import Note as Note


@dataclass(frozen=True)
class Outcome:
    """What came of a check. `reason` is None where it passed."""

    check: str
    status: str
    """passed, note, failed, or "not checked"."""
    reason: str | None = None


def check(component: Component | type[Component]) -> list[Outcome]:
    """Make every check that the component's kind calls for.

    Args:
        component: an instance, or a class that is made with its defaults and its `example`.
    """
    from dvae_core.testing.checks import checks_of, instance_of

    try:
        instance = instance_of(component)
    except Failure as failure:
        return [Outcome("can_be_made", "failed", str(failure))]
    return [Outcome("can_be_made", "passed")] + [
        _outcome(name, function, instance) for name, function in checks_of(instance.kind).items()
    ]


def conformance(component: Component | type[Component]) -> Any:
    """A pytest test, parametrized with every check of the component's kind."""
    import pytest

    from dvae_core.testing.checks import checks_of, instance_of

    @pytest.mark.parametrize("check", checks_of(component.kind))
    def test_conformance(check: str) -> None:
        try:
            checks_of(component.kind)[check](instance_of(component))
        except (NotChecked, Note) as reason:
            pytest.skip(str(reason))

    return test_conformance


def _outcome(name: str, function: Callable[[Any], None], instance: Component) -> Outcome:
    try:
        function(instance)
    except Failure as failure:
        return Outcome(name, "failed", _one_line(str(failure)))
    except NotChecked as reason:
        return Outcome(name, "not checked", _one_line(str(reason)))
    except Note as note:
        return Outcome(name, "note", _one_line(str(note)))
    except Exception as error:
        return Outcome(name, "failed", _one_line(f"{type(error).__name__}: {error}"))
    return Outcome(name, "passed")


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."
