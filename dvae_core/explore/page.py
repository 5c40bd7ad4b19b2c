"""Puts the page together: templates, style, scripts and content in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from dvae_core.explore.content import Explored
from dvae_core.explore.packing import json_for_script
from dvae_core.loaded_run import LoadedRun
from dvae_core.watch import Watch

SCRIPTS = (
    "unpack", "colours", "maps", "lattice", "plane", "ways", "morph", "beyond", "epochs",
    "tables", "run", "controls", "about",
)  # fmt: skip

NEEDS = {
    False: "This file needs no server and asks nothing of the network.",
    True: "A server on this machine stands behind this page; nothing goes anywhere else.",
}


def explore_page(*runs: LoadedRun, planes: Sequence[str] = (), watch: Watch | None = None) -> str:
    """The HTML of a page to move through the latent spaces of runs; it needs no network.

    Args:
        runs: what `load_run` gave; several stand side by side.
        planes: for more than two latent dimensions, "pc1,pc2" or "z1,z4" or three classes.
        watch: who is told what goes on.

    Raises:
        DataError: the data of a run cannot be had, or has no labels.
        RecipeError: there is no such plane.
    """
    watch = watch or Watch()
    return page([Explored(run, planes, watch).content() for run in runs])


def page(contents: Sequence[dict[str, Any]], report: str = "", *, live: bool = False) -> str:
    """The HTML of a page that explores runs.

    Args:
        contents: what `Explored.content` gave for each.
        report: more sections, as HTML, to stand below.
        live: whether a `Server` stands behind it.
    """
    from dvae_core import __version__

    title = " and ".join(content["title"] for content in contents)
    scripts = (*SCRIPTS, "live", "main") if live else (*SCRIPTS, "main")
    return Template(_read("page.html")).substitute(
        title=escape(title),
        style=_read("page.css"),
        script="\n".join(_read(f"{name}.js") for name in scripts),
        template=_read("run.html"),
        content=json_for_script({"runs": list(contents), "live": live}),
        connect="'self'" if live else "'none'",
        report=report,
        needs=NEEDS[live],
        version=escape(__version__),
    )


def _read(name: str) -> str:
    return resources.files("dvae_core.explore").joinpath("template", name).read_text("utf-8")
