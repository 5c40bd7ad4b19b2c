"""Finds plugins: who provides what, and what is broken and why."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, entry_points, version
from pathlib import Path
from typing import Any, TypeVar, cast

import pluggy

from dvae_core.errors import did_you_mean, reason
from dvae_core.plugin import hookspecs
from dvae_core.plugin.guard import preserved
from dvae_core.plugin.kinds import KINDS, Component
from dvae_core.plugin.offers import NAME, NAME_OF, BadPlugin, Offer, offers

DISTRIBUTION = "dvae-core"
"""Our own distribution; plugins that come with it cannot be deselected."""
GROUP = "dvae"
SLOW = 2.0
"""Seconds after which a plugin that is still loading is named."""


class UnknownComponent(LookupError):
    """No component, recipe or command, or more than one, answers to a name."""


@dataclass(frozen=True)
class Provider:
    """A component and who provides it."""

    kind: str
    name: str
    component: type[Component]
    plugin: str
    distribution: str
    version: str
    seconds: float = 0.0
    """How long the plugin took to load."""


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded. Nothing of it is registered."""

    plugin: str
    distribution: str
    version: str
    error: str


P = TypeVar("P", Provider, Offer)


class Registry:
    """All components of all working plugins.

    Args:
        points: the entry points to load, each by itself: whatever one raises, SystemExit
            included, costs that plugin alone.
        strict: raise what a plugin raises.
    """

    def __init__(self, points: Iterable[EntryPoint] = (), *, strict: bool = False) -> None:
        self.providers: list[Provider] = []
        self.offers: list[Offer] = []
        """Recipes and commands."""
        self.broken: list[Broken] = []
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        for point in sorted(points, key=lambda p: (p.name, _distribution(p))):
            try:
                # What a plugin prints is talk, and stdout is for data.
                with contextlib.redirect_stdout(sys.stderr), _patience(point), preserved():
                    started = time.perf_counter()
                    loaded, offered = self._load(point)
                seconds = time.perf_counter() - started
                self.providers += [replace(p, seconds=seconds) for p in loaded]
                self.offers += offered
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if strict:
                    raise
                self.broken.append(Broken(*_origin(point), error=_reason(error)))

    def get(self, kind: str, name: str) -> type[Component]:
        """The component class of that kind and name.

        `name` may be "distribution:name" to choose between two providers.

        Raises:
            UnknownComponent: there is none, or there are several; the message says what to do.
        """
        return self.provider(kind, name).component

    def provider(self, kind: str, name: str) -> Provider:
        """Like `get`, with the provider around the class."""
        return self._chosen(kind, name, self.of_kind(kind))

    def recipe(self, name: str) -> Path:
        """The file of a plugin's recipe, by its name or by "distribution:name".

        Raises:
            UnknownComponent: there is none, or there are several; the message says what to do.
        """
        return cast(Path, self._chosen("recipe", name, self.offered("recipe")).value)

    def offered(self, kind: str) -> list[Offer]:
        """All recipes, or all commands, of plugins."""
        return [offer for offer in self.offers if offer.kind == kind]

    def of_kind(self, kind: str) -> list[Provider]:
        """All providers of a kind, by name."""
        return sorted(
            (p for p in self.providers if p.kind == kind),
            key=lambda p: (p.name, p.distribution, p.plugin),
        )

    def _load(self, point: EntryPoint) -> tuple[list[Provider], list[Offer]]:
        _check_requirements(point)
        plugin = point.load()
        try:
            self.manager.register(plugin, name=f"{_distribution(point)}:{point.name}")
            found = list(self._registered(plugin, point))
        except BaseException:
            with contextlib.suppress(Exception):
                self.manager.unregister(plugin)
            raise
        providers = [f for f in found if isinstance(f, Provider)]
        return providers, [f for f in found if isinstance(f, Offer)]

    def _registered(self, plugin: Any, point: EntryPoint) -> Iterator[Provider | Offer]:
        for caller in self.manager.get_hookcallers(plugin) or ():
            if not caller.has_spec():
                known = [name for name in vars(hookspecs) if name.startswith("register_")]
                known += hookspecs.LATER
                raise BadPlugin(f'unknown hook "{caller.name}"{did_you_mean(caller.name, known)}')
            if caller.name in hookspecs.LATER:
                continue
            kind = caller.name.removeprefix("register_").removesuffix("s")
            for impl in caller.get_hookimpls():
                if impl.plugin is not plugin:
                    continue
                given = cast(Iterable[Any], impl.function())
                if kind in NAME_OF:
                    yield from offers(kind, given, _origin(point))
                    continue
                for component in given:
                    check_component(kind, component, caller.name)
                    yield Provider(kind, component.name, component, *_origin(point))

    def _chosen(self, kind: str, name: str, known: Sequence[P]) -> P:
        owner, _, short = name.rpartition(":")
        found = [p for p in known if p.name == short]
        if owner:
            found = [p for p in found if owner in (p.distribution, p.plugin)]
        if not found:
            raise UnknownComponent(self._unknown(kind, name, sorted({p.name for p in known})))
        if len(found) > 1:
            raise UnknownComponent(_clash(kind, short, found))
        return found[0]

    def _unknown(self, kind: str, name: str, known: list[str]) -> str:
        text = f'unknown {kind} "{name}"{did_you_mean(name, known)}'
        text += f"; known: {', '.join(known)}" if known else "; no plugin provides any"
        for b in self.broken:
            text += f"; broken plugin {b.plugin} ({b.distribution} {b.version}): {b.error}"
        return text


def load_registry() -> Registry:
    """All installed plugins, as DVAE_PLUGINS and DVAE_STRICT choose.

    DVAE_PLUGINS=a,b loads only the plugins or distributions a and b beside the built-in ones,
    and an empty value none.
    """
    chosen = os.environ.get("DVAE_PLUGINS")
    strict = os.environ.get("DVAE_STRICT", "") not in ("", "0")
    return _load_registry(chosen, strict)


@functools.lru_cache(maxsize=1)
def _load_registry(chosen: str | None, strict: bool) -> Registry:
    points: Iterable[EntryPoint] = entry_points(group=GROUP)
    if chosen is not None:
        wanted = {DISTRIBUTION, *(part.strip() for part in chosen.split(","))}
        points = [p for p in points if {p.name, _distribution(p)} & wanted]
    return Registry(points, strict=strict)


def check_component(kind: str, component: Any, hook: str) -> None:
    """Raise BadPlugin unless `component` is a class that keeps the contract of `kind`."""
    base = KINDS[kind]
    if not inspect.isclass(component):
        raise BadPlugin(f"{hook} gave {component!r}, which is not a class")
    label = f"{hook}: {component.__name__}"
    if not issubclass(component, base):
        raise BadPlugin(f"{label} is not a subclass of dvae_core.{base.__name__}")
    if inspect.isabstract(component):
        missing = ", ".join(sorted(component.__abstractmethods__))
        raise BadPlugin(f"{label} does not define {missing}")
    if not isinstance(component.__doc__, str | None):
        raise BadPlugin(f"{label}: its docstring is a {type(component.__doc__).__name__}, no text")
    directions = getattr(component, "directions", {})
    if not isinstance(directions, Mapping) or not {*directions.values()} <= {"higher", "lower"}:
        raise BadPlugin(f'{label}: directions must say "higher" or "lower" by name')
    if "name" in component.model_fields:
        raise BadPlugin(f'{label}: name is annotated, which makes it a key; write name = "halving"')
    if not re.fullmatch(NAME, str(getattr(component, "name", ""))):
        raise BadPlugin(f'{label} needs a class attribute `name`, such as name = "halving"')
    reserved = {base.name_key, *base.core_keys} & set(component.model_fields)
    if reserved:
        raise BadPlugin(f"{label}: the core owns the key {', '.join(sorted(reserved))}")


@contextlib.contextmanager
def _patience(point: EntryPoint) -> Iterator[None]:
    """Say which plugin it is that takes so long."""
    name, distribution, version = _origin(point)
    text = f"still loading plugin {name} ({distribution} {version})"
    timer = threading.Timer(SLOW, lambda: print(text, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_requirements(point: EntryPoint) -> None:
    """pip lets a plugin stay that asks for a newer core; better said than found out later."""
    requires = (point.dist.requires if point.dist else None) or ()
    wanted = [r for r in requires if re.match(r"dvae[-_.]core\b", r, re.IGNORECASE)]
    if not wanted:
        return
    from packaging.requirements import Requirement

    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            ours = version(DISTRIBUTION)
            if not requirement.specifier.contains(ours, prereleases=True):
                raise BadPlugin(f"needs {requirement}, and this is {DISTRIBUTION} {ours}")


def _distribution(point: EntryPoint) -> str:
    return _name_and_version(point.dist)[0]


def _origin(point: EntryPoint) -> tuple[str, str, str]:
    return point.name, *_name_and_version(point.dist)


@functools.cache
def _name_and_version(distribution: Distribution | None) -> tuple[str, str]:
    # Each look at a distribution's name or version parses all of its metadata.
    if distribution is None:
        return "unknown", "unknown"
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def _reason(error: BaseException) -> str:
    return reason(error).removeprefix("BadPlugin: ")


def _clash(kind: str, name: str, found: Sequence[Provider | Offer]) -> str:
    one_distribution = len({p.distribution for p in found}) == 1
    owners = [p.plugin if one_distribution else p.distribution for p in found]
    listed = " and ".join(f"{p.plugin} ({p.distribution} {p.version})" for p in found)
    choices = " or ".join(f'"{owner}:{name}"' for owner in owners)
    return f'{kind} "{name}" is provided by {listed}; write {choices} to choose'
