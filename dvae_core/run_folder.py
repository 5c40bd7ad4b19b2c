"""The run folder: provenance, metrics, checkpoints. A run can be read without this program.

runs/<recipe name>-<time>-<4 letters>/
  recipe.toml      resolved, complete, runnable
  run.json         status, versions, plugins, device, seed
  metrics.jsonl    one line an epoch, flushed
  checkpoints/     epoch-0010.pt and its SHA-256; the last two are kept
  figures/         epoch-0010-latent.png
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
import torch

from dvae_core.errors import RecipeError, RunFolderError
from dvae_core.provenance import FORMAT, provenance, provides, what_to_install
from dvae_core.recipe import Recipe, load_recipe
from dvae_core.registry import Registry

KEPT_CHECKPOINTS = 2


class RunFolder:
    """One run's folder. Make one with `create`, or `open` one that exists."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        """The folder."""
        self.info = info
        """What run.json holds."""

    # --- Making and finding.

    @classmethod
    def create(cls, recipe: Recipe, registry: Registry, out: Path, device: str) -> RunFolder:
        """A new folder under `out`, with its recipe and provenance written.

        Raises:
            RunFolderError: it cannot be written; nothing is left behind.
        """
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(4))
        path = out / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}-{letters}"
        made: list[Path] = []
        try:
            for folder in (*reversed(path.parents), path, path / "checkpoints", path / "figures"):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            run = cls(path, provenance(path.name, recipe, registry, device))
            run.set_recipe(recipe)
            run._write_info()
        except (OSError, RunFolderError) as error:
            shutil.rmtree(path, ignore_errors=True)
            for folder in reversed(made):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise _unwritable(path, error) from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            RunFolderError: it is no run folder, or of a format that this version cannot read.
        """
        path = Path(path)
        try:
            info = json.loads((path / "run.json").read_text(encoding="utf-8"))
            run_format = info["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path}: not a run folder: no readable run.json") from error
        if run_format != FORMAT:
            raise RunFolderError(
                f"{path}: run format {run_format}, and this version reads {FORMAT}; "
                "use the version of dvae-core that run.json names"
            )
        return cls(path, info)

    # --- What callbacks may use.

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""
        return self.path.name

    @property
    def recipe_table(self) -> dict[str, Any]:
        """The resolved recipe as a table."""
        import tomllib

        return tomllib.loads((self.path / "recipe.toml").read_text(encoding="utf-8"))

    def set_recipe(self, recipe: Recipe) -> None:
        """Write the recipe that the run follows from now on."""
        text = tomli_w.dumps(recipe.to_table())
        write_atomically(self.path / "recipe.toml", text.encode())

    def load_recipe(self, registry: Registry, overrides: Sequence[str] = ()) -> Recipe:
        """The run's recipe, with changes laid over it.

        Raises:
            RecipeError: a component's plugin is missing, with what to install; or as load_recipe.
        """
        missing = [row for row in self.info["components"] if not provides(registry, row)]
        if missing:
            raise RecipeError([what_to_install(self.path, row, registry) for row in missing])
        return load_recipe(self.path / "recipe.toml", overrides, registry)

    def version_warnings(self, registry: Registry) -> list[str]:
        """A line for each plugin of the run that is installed in another version now."""
        changed = {}
        for row in self.info["components"]:
            now = {p.version for p in provides(registry, row)}
            if now and row["version"] not in now:
                changed[row["distribution"]] = (row["version"], " or ".join(sorted(now)))
        return [
            f"{self.path}: the run used {name} {was}, and {now} is installed"
            for name, (was, now) in changed.items()
        ]

    def remember(self, key: str, value: Any) -> None:
        """Keep something (JSON) for a later resume, such as a logger's id."""
        self.info.setdefault("memory", {})[key] = value
        self._write_info()

    def recall(self, key: str, default: Any = None) -> Any:
        """What was remembered under a key."""
        return self.info.get("memory", {}).get(key, default)

    # --- Status and metrics.

    def set_status(self, status: str, **facts: Any) -> None:
        """running, finished, interrupted or failed; `facts` go into run.json beside it."""
        self.info |= {"status": status, **facts}
        self._write_info()

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last line that was cut off is left out."""
        rows = []
        file = self.path / "metrics.jsonl"
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add an epoch's row, on disk before this returns."""
        try:
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path / "metrics.jsonl", error) from error

    def forget_after(self, epoch: int) -> None:
        """Drop the rows of epochs after `epoch`, which a resume trains again."""
        kept = [row for row in self.metrics() if row["epoch"] <= epoch]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self.path / "metrics.jsonl", text.encode())

    def figure_path(self, epoch: int, name: str) -> Path:
        """Where the figure of a plot after an epoch lies."""
        return self.path / "figures" / f"epoch-{epoch:04d}-{name}.png"

    # --- Checkpoints.

    def save_checkpoint(self, state: dict[str, Any]) -> Path:
        """Write a checkpoint and drop all but the last two.

        `state` has `epoch` (finished ones), `epoch_step` (steps into the next one), and what
        torch.load reads with weights_only.
        """
        name = f"epoch-{state['epoch']:04d}"
        if state["epoch_step"]:
            name += f"-step-{state['epoch_step']:07d}"
        file = self.path / "checkpoints" / f"{name}.pt"
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        # The hash first: a checkpoint is only looked at when its name is there.
        write_atomically(_hash_file(file), f"{digest}  {file.name}\n".encode())
        write_atomically(file, data)
        for old in self._checkpoints()[:-KEPT_CHECKPOINTS]:
            old.unlink(missing_ok=True)
            _hash_file(old).unlink(missing_ok=True)
        return file

    def load_checkpoint(self, map_location: Any = "cpu") -> tuple[dict[str, Any], list[str]]:
        """The newest good checkpoint, and a warning for each newer one that is damaged.

        Raises:
            RunFolderError: there is no good one.
        """
        warnings: list[str] = []
        for file in reversed(self._checkpoints()):
            try:
                data = file.read_bytes()
                digest = _hash_file(file).read_text(encoding="utf-8").split()[0]
                if hashlib.sha256(data).hexdigest() != digest:
                    raise ValueError("its SHA-256 differs from the one beside it")
                state = torch.load(io.BytesIO(data), map_location, weights_only=True)
            except Exception as error:
                warnings.append(f"{file}: damaged checkpoint left out: {error}")
                continue
            return state, warnings
        raise RunFolderError("\n".join([*warnings, f"{self.path}: there is no good checkpoint"]))

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint's file."""
        return next(reversed(self._checkpoints()), None)

    def _checkpoints(self) -> list[Path]:
        """Oldest first."""
        files = (self.path / "checkpoints").glob("epoch-*.pt")
        return sorted(files, key=lambda file: [int(n) for n in re.findall(r"\d+", file.stem)])

    def _write_info(self) -> None:
        text = json.dumps(self.info, indent=2) + "\n"
        write_atomically(self.path / "run.json", text.encode())


def write_atomically(file: Path, data: bytes) -> None:
    """Write to a temporary name, sync, rename, sync the folder: all of it or nothing.

    Raises:
        RunFolderError: the disk is full or read-only, the folder is gone, ...
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(file, error) from error
        raise


def _unwritable(path: Path, error: Exception) -> RunFolderError:
    if isinstance(error, RunFolderError):
        return error
    reason = getattr(error, "strerror", None) or error
    return RunFolderError(
        f"{path}: cannot be written: {reason}; free some space, or choose another --out"
    )


def _hash_file(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")
