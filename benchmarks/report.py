"""Tables for people, JSON for programs."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any


class Table:
    """A titled table of text."""

    def __init__(self, title: str, columns: list[str]) -> None:
        self.title, self.columns = title, columns
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def show(self) -> None:
        """Print it on stdout."""
        from rich.console import Console
        from rich.table import Table as RichTable

        table = RichTable(title=self.title, title_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*row)
        Console().print(table)


def machine() -> dict[str, Any]:
    """Where and when the figures were measured, and how busy the machine was."""
    import torch

    return {
        "date": datetime.date.today().isoformat(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def write(file: Path, results: dict[str, Any]) -> None:
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
