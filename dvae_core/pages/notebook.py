"""A page that shows itself where a notebook ends a cell with it."""

from __future__ import annotations

from html import escape, unescape

HEIGHT = 900
"""Pixels of a cell's output."""


class Page(str):
    """The HTML of a page, to write into a file; in a notebook it is the page itself.

    There it lies in a frame of its own, so that its style and scripts touch nothing else.
    """

    def __repr__(self) -> str:
        return f"<a page of {len(self.encode()) / 1e6:.1f} MB; write it to a file, or show it>"

    def _repr_html_(self) -> str:
        """What Jupyter asks for."""
        return (
            f'<iframe srcdoc="{escape(self)}" title="{escape(self._title)}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    @property
    def _title(self) -> str:
        return unescape(self.partition("<title>")[2].partition("</title>")[0])
