"""Puts the page together: templates, style, scripts and content in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from dvae_core.explore.packing import json_for_script

SCRIPTS = (
    "unpack", "colours", "maps", "lattice", "plane", "morph", "epochs", "tables", "run",
    "controls", "about",
)  # fmt: skip

NEEDS = {
    False: "This file needs no server and asks nothing of the network.",
    True: "A server on this machine stands behind this page; nothing goes anywhere else.",
}


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
