"""Puts the page together: templates, style, scripts and content in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from dvae_core.errors import RecipeError
from dvae_core.latent.loaded_run import LoadedRun
from dvae_core.pages.explore.content import Explored
from dvae_core.pages.explore.packing import json_for_script
from dvae_core.pages.notebook import Page
from dvae_core.plugin.registry import DISTRIBUTION
from dvae_core.runs.provenance import version_of
from dvae_core.runs.watch import Watch

SCRIPTS = (
    "unpack", "colours", "maps", "lattice", "camera", "plane", "paths", "morph", "beyond",
    "tween", "density", "epochs", "tables", "select", "run", "controls", "filter", "gestures",
    "roving", "svg", "save", "about", "address",
)  # fmt: skip

MAIN = (
    '<main id="runs" class="runs"><noscript>This page draws itself with JavaScript, which is '
    "switched off.</noscript></main>"
)
"""Where the scripts put the runs."""

NEEDS = {
    False: "This file needs no server and asks nothing of the network.",
    True: "A server on this machine stands behind this page; nothing goes anywhere else.",
}


def explore_page(
    *runs: LoadedRun,
    planes: Sequence[str] = (),
    watch: Watch | None = None,
    shown_classes: Sequence[str] = (),
) -> Page:
    """The HTML of a page to move through the latent spaces of runs; it needs no network.

    A notebook shows the page where it is the last line of a cell.

    Args:
        runs: what `load_run` gave; several stand side by side.
        planes: for more than two latent dimensions, "pc1,pc2" or "z1,z4" or three classes.
        watch: who is told what goes on.
        shown_classes: with conditional decoders, the classes to decode, by name or number; each run
            stands there once for each of them.

    Raises:
        DataError: the data of a run cannot be had, or has no labels.
        RecipeError: there is no such plane.
        DvaeError: there is no such class, or a decoder takes no labels.
    """
    explored = explore_runs(runs, planes, watch or Watch(), shown_classes)
    return page([one.content() for one in explored])


def explore_runs(
    runs: Sequence[LoadedRun], planes: Sequence[str], watch: Watch, shown_classes: Sequence[str]
) -> list[Explored]:
    """The runs as pages and their server see them; as `explore_page`."""
    classes = tuple(shown_classes) or (None,)
    if planes and all(run.recipe.latent.dim <= 2 for run in runs):
        raise RecipeError(f'plane "{planes[0]}": of two dimensions there is but one; choose none')
    return [Explored(run, planes, watch, shown) for run in runs for shown in classes]


def page(
    contents: Sequence[dict[str, Any]],
    report: str = "",
    *,
    live: bool = False,
    title: str | None = None,
    above: str = "",
) -> Page:
    """The HTML of a page that explores runs.

    Args:
        contents: what `Explored.content` gave for each; without any, the page is what the report
            says.
        report: more sections, as HTML, to stand below.
        live: whether a `Server` stands behind it.
        title: the page's, if not those of the runs.
        above: more sections to stand above.
    """
    html = Template(_read("page.html")).substitute(
        title=escape(title or " and ".join(content["title"] for content in contents)),
        style=_read("page.css"),
        above=above,
        explored=MAIN if contents else "",
        report=report,
        script=_script(contents, live=live) if contents else "",
        connect="'self'" if live else "'none'",
        needs=NEEDS[live],
        version=escape(version_of(DISTRIBUTION) or ""),
    )
    return Page(html)


def _script(contents: Sequence[dict[str, Any]], *, live: bool) -> str:
    scripts = (*SCRIPTS, "live", "main") if live else (*SCRIPTS, "main")
    return Template(_read("script.html")).substitute(
        template=_read("run.html"),
        content=json_for_script({"runs": list(contents), "live": live}),
        script="\n".join(_read(f"{name}.js") for name in scripts),
    )


def _read(name: str) -> str:
    return resources.files("dvae_core.pages.explore").joinpath("template", name).read_text("utf-8")
