"""Tells callbacks and plugins what happens to a run or a sweep. One that fails is switched off."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dvae_core.plugin.guard import asked_for, guarded
from dvae_core.plugin.hookspecs import EVENTS
from dvae_core.plugin.kinds import Callback
from dvae_core.plugin.registry import Registry
from dvae_core.randomness import set_aside


class Events:
    """Calls the events of the configured callbacks, and of plugins that implement them.

    Args:
        warn: told what a listener says by `warnings.warn`, and once about each that raised; that
            one is not called again.
        stage: told which of the callbacks is at work, which may take a while.
        seed: of the random numbers that listeners draw, which the run never misses.
    """

    def __init__(
        self,
        registry: Registry,
        callbacks: Iterable[Callback],
        warn: Callable[[str], None],
        stage: Callable[[str], None] = lambda text: None,
        seed: int = 0,
    ) -> None:
        self._warn = warn
        self._stage = stage
        self._seed = seed
        self._off: set[int] = set()
        self._listeners: dict[str, list[tuple[object, str, Callable[..., Any]]]] = {
            event: [] for event in EVENTS
        }
        for event, listeners in self._listeners.items():
            for impl in getattr(registry.manager.hook, event).get_hookimpls():
                listeners.append((impl.plugin, f'plugin "{impl.plugin_name}"', impl.function))
            for callback in callbacks:
                label = f'callback "{callback.name}"'
                listeners.append((callback, label, getattr(callback, event)))

    def tell(self, event: str, **arguments: Any) -> None:
        """Call everyone who listens to `event`, with the arguments that each one wants."""
        for owner, label, function in self._listeners[event]:
            if id(owner) in self._off:
                continue
            with guarded(f"{label} failed in {event} and is switched off", self._switch_off(owner)):
                given = {name: _own(v) for name, v in asked_for(function, arguments).items()}
                self._stage(f"{label}: {event}")
                with self._heard(label), set_aside(self._seed, "events", event, label):
                    function(**given)

    def _switch_off(self, owner: object) -> Callable[[str], None]:
        def report(text: str) -> None:
            self._off.add(id(owner))
            self._warn(text)

        return report

    @contextlib.contextmanager
    def _heard(self, label: str) -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                self._warn(f"{label}: {warning.message}")


def _own(argument: Any) -> Any:
    """A row or a table as a copy, so that what one listener changes no other sees."""
    return dict(argument) if isinstance(argument, dict) else argument
