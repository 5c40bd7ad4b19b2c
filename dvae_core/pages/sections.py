"""What the sections of reports are made of, as HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


class Html(str):
    """Text that is HTML already; `table` puts all other text in letters for HTML."""


def anchors(sections: Iterable[str]) -> dict[str, str]:
    """The anchor of each section by its name."""
    return {name: name.lower().replace(" ", "-") for name in sections}


def links(sections: Mapping[str, str]) -> str:
    """The links to sections, given their anchors."""
    found = "".join(f'<a href="#{anchor}">{name}</a>' for name, anchor in sections.items())
    return f'<nav aria-label="Sections">{found}</nav>'


def cards(sections: Mapping[str, str]) -> str:
    """Sections, given their insides, each with an anchor."""
    return "\n".join(
        f'<section class="card" id="{anchor}" aria-label="{name}"><h2>'
        f'<a class="anchor" href="#{anchor}">{name}</a></h2>{sections[name]}</section>'
        for name, anchor in anchors(sections).items()
    )


def drawing(png: bytes, caption: str, alt: str) -> str:
    """A figure that is in the page itself."""
    data = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def scrolling(name: str, inside: str, kind: str = "") -> str:
    """What may be wider than the page; the keyboard scrolls it too."""
    reached = f'tabindex="0" role="group" aria-label="{escape(name)}"'
    return f'<div class="{f"scroll {kind}".strip()}" {reached}>{inside}</div>'


def listing(name: str, text: str) -> str:
    """A file as it is."""
    return f'<pre tabindex="0" role="group" aria-label="{escape(name)}">{escape(text)}</pre>'


def table(name: str, head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A plain table, under a name for who cannot see it."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{c if isinstance(c, Html) else escape(c)}</td>" for c in row)
        + "</tr>"
        for row in rows
    )
    return scrolling(
        name,
        f'<table class="plain"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>',
    )


def value(of: Any) -> str:
    """A value of run.json for people."""
    if isinstance(of, float):
        return f"{of:.4g}"
    if isinstance(of, list | tuple):
        joiner = " → " if all(isinstance(v, float) for v in of) else ", "
        shown = list(dict.fromkeys(map(value, of))) if joiner == " → " else map(value, of)
        return joiner.join(shown)
    return "" if of is None else str(of)


def provenance(infos: Sequence[Mapping[str, Any]], about: Sequence[str]) -> str:
    """What runs were made with, given their run.json: each different value once.

    `about` are the keys of run.json that stand above the versions and the components.
    """
    facts = [[key, _each([info.get(key) for info in infos])] for key in about]
    libraries = dict.fromkeys(name for info in infos for name in info.get("versions", {}))
    versions = [
        [name, _each([info.get("versions", {}).get(name) for info in infos])] for name in libraries
    ]
    columns = ("kind", "name", "plugin", "distribution", "version")
    parts = dict.fromkeys(
        tuple(value(row.get(key)) for key in columns)
        for info in infos
        for row in info.get("components", ())
    )
    return (
        table("Runs", ("key", "value"), [fact for fact in facts if fact[1]])
        + table("Versions", ("version of", "version"), versions)
        + table("Components", ("component", *columns[1:]), list(parts))
    )


def _each(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(value(one) for one in values if one is not None))
