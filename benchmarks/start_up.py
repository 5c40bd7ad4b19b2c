"""How long the light verbs take, beside a bare program of the same libraries.

    python benchmarks/start_up.py [--plugins 50] [--runs 9]

Prints the median of each command in seconds, in turn A B A B, and what so many installed fake
plugins add to `dvae list-plugins`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BARE = "import typer, pydantic, rich.console, rich.table"
PLUGIN = """
from dvae_core import Schedule, hookimpl

class Fake(Schedule):
    "Does nothing."
    name = "fake_{n}"
    start: float = 1.0
    def value(self, t):
        return self.start

@hookimpl
def register_schedules():
    return [Fake]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    recipe = str(ROOT / "recipes" / "mnist_abs.toml")
    dvae = [sys.executable, "-m", "dvae_core"]
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder), options.plugins)
        commands = {
            "bare typer + pydantic + rich": ([sys.executable, "-c", BARE], None),
            "dvae --help": ([*dvae, "--help"], None),
            "dvae validate": ([*dvae, "validate", recipe], None),
            "dvae show": ([*dvae, "show", recipe], None),
            "dvae list-plugins": ([*dvae, "list-plugins"], None),
            f"dvae list-plugins, {options.plugins} more": ([*dvae, "list-plugins"], folder),
        }
        times = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, (command, path) in commands.items():
                times[name].append(seconds(command, path))
    for name, values in times.items():
        print(f"{name:32} {statistics.median(values):.3f} s  (fastest {min(values):.3f})")


def install(folder: Path, count: int) -> None:
    for n in range(count):
        (folder / f"fake_{n}.py").write_text(PLUGIN.format(n=n))
        info = folder / f"fake_{n}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{n}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[dvae]\nfake_{n} = fake_{n}\n")


def seconds(command: list[str], path: str | None) -> float:
    environment = {**os.environ, **({"PYTHONPATH": path} if path else {})}
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
