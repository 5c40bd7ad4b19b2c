"""Rich's console, for words that a stranger may have written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from dvae_core.errors import printable


class PlainConsole(Console):
    """Shows as escapes what would steer the terminal, wherever it stands in what is printed."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        for text, style, control in super().render(*arguments, **options):
            yield Segment(text if control else printable(text), style, control)
