"""A page that shows itself where a notebook ends a cell with it."""

from __future__ import annotations

from html import escape, unescape

HEIGHT = 900
"""Pixels of a cell's output."""


class Page(str):
    """The HTML of a page, to write into a file; in a notebook it is the page itself.

    There it lies in a frame of its own, whose style and scripts touch nothing else. Its links to
    its own sections work; those to files beside it lead nowhere.
    """

    def __repr__(self) -> str:
        return f"<a page of {len(self.encode()) / 1e6:.1f} MB; write it to a file, or show it>"

    def _repr_html_(self) -> str:
        """What Jupyter asks for."""
        inside = self.replace("<head>", '<head><base href="about:srcdoc">', 1)
        return (
            f'<iframe srcdoc="{escape(inside)}" title="{escape(self._title)}" '
            'sandbox="allow-scripts allow-downloads" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    @property
    def _title(self) -> str:
        return unescape(self.partition("<title>")[2].partition("</title>")[0])
