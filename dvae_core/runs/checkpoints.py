"""The checkpoints of a run folder: the last two epochs, and the best one if it is kept."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any, Literal

from dvae_core.errors import NoCheckpoint, RunFolderError, more_packages, reason
from dvae_core.files import is_inside, open_inside, small_text, unwritable, write_atomically

KEPT = 2

WEIGHTS = "weights.safetensors"
"""What a run that was fetched from others has in place of checkpoints."""

LARGEST_COUNT = 2**40
"""Of epochs and steps, more than any run has."""

Epoch = int | Literal["best"]
"""Which epoch's checkpoint: epochs finished, or the one that `train.keep_best` keeps."""


class Checkpoints:
    """The checkpoints in a run's folder, each beside its SHA-256."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / "checkpoints"

    def save(self, state: dict[str, Any], name: str | None = None) -> Path:
        """Write a checkpoint and drop all but the last two, and those that have a `name`.

        It is read back before anything older goes.

        `state` has `epoch` (finished ones), `epoch_step` (steps into the next one), and what
        torch.load reads with weights_only.
        """
        if name is None:
            name = f"epoch-{state['epoch']:04d}"
            if state["epoch_step"]:
                name += f"-step-{state['epoch_step']:07d}"
        if not is_inside(self.folder, self.run):
            raise RunFolderError(f"{self.folder}: leads out of the run's folder, and is left alone")
        file = self.folder / f"{name}.pt"
        data = packed(state)
        digest = hashlib.sha256(data).hexdigest()
        # The hash first: a checkpoint is only looked at when its name is there. Where there is one
        # of that name it stays good until the new one is in its place.
        hashes, line = _hash_file(file), f"{digest}  {file.name}\n"
        old_line = ""
        with contextlib.suppress(OSError, ValueError):
            old_line = small_text(hashes, self.run).partition("\n")[0] + "\n"
        write_atomically(hashes, (line + old_line).encode())
        write_atomically(file, data)
        if old_line:
            write_atomically(hashes, line.encode())
        try:
            for old in self.files()[:-KEPT]:
                old.unlink(missing_ok=True)
                _hash_file(old).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(old, error) from error
        return file

    def load(self, epoch: Epoch | None = None) -> tuple[dict[str, Any], list[str]]:
        """The newest good checkpoint, and a warning for each newer one that is damaged.

        Args:
            epoch: take the checkpoint of this epoch's end, or "best", and no other.

        Raises:
            RunFolderError: there is no good one, or that epoch's is not kept.
        """
        if self.published:
            return self._weights(epoch), []
        if epoch is not None:
            return self._load_one(epoch), []
        warnings: list[str] = []
        tried: set[Path] = set()
        # Listed anew each time: a run that goes on may drop a file and write a newer one.
        while left := [file for file in self.files() if file not in tried]:
            file = left[-1]
            tried.add(file)
            try:
                return self._read(file), warnings
            except Exception as error:
                if file.exists():
                    warnings.append(f"{file}: damaged checkpoint left out: {_reason(error)}")
        raise NoCheckpoint("\n".join([*warnings, f"{self.run}: there is no good checkpoint"]))

    def set_best_aside(self) -> Path | None:
        """Where the best checkpoint is now; None where there was none."""
        best, aside = self.folder / "best.pt", self.folder / "best-before.pt"
        if not best.exists():
            return None
        try:
            best.replace(aside)
            _hash_file(best).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(best, error) from error
        return aside

    @property
    def published(self) -> bool:
        """Whether others were shown this run, so that there are weights to look at it, no more."""
        return (self.run / WEIGHTS).exists() and not self.files()

    def _weights(self, epoch: Epoch | None) -> dict[str, Any]:
        file = self.run / WEIGHTS
        try:
            from safetensors import safe_open
        except ImportError as error:
            raise more_packages(str(file), "hub", error, RunFolderError) from error
        parts: dict[str, Any] = {"model": {}, "objective": {}}
        try:
            open_inside(file, self.run).close()
            with safe_open(file, "pt") as tensors:
                held = int(tensors.metadata()["epoch"])
                for name in tensors.keys():  # noqa: SIM118
                    part, _, rest = name.partition(".")
                    parts[part][rest] = tensors.get_tensor(name)
            if not 0 <= held < LARGEST_COUNT:
                raise ValueError(f"it is of epoch {held}")
        except Exception as error:  # what is in a stranger's file may raise anything
            raise RunFolderError(f"{file}: damaged: {_reason(error)}") from error
        if epoch not in (None, held):
            raise RunFolderError(f"{self.run}: holds the weights of epoch {held} alone")
        return {"epoch": held, "epoch_step": 0, **parts}

    def files(self) -> list[Path]:
        """Those of epochs and of steps within one, oldest first."""
        files = self.folder.glob("epoch-*.pt")
        return sorted(files, key=lambda file: [int(n) for n in re.findall(r"\d+", file.stem)])

    def has(self, epoch: int) -> bool:
        """Whether the checkpoint of an epoch's end is there."""
        return (self.folder / f"epoch-{epoch:04d}.pt").exists()

    def _load_one(self, epoch: Epoch) -> dict[str, Any]:
        name = "best" if epoch == "best" else f"epoch-{epoch:04d}"
        file = self.folder / f"{name}.pt"
        try:
            return self._read(file)
        except Exception as error:
            if file.exists():
                problem = f"{file}: damaged checkpoint: {_reason(error)}"
            else:
                which = "the best epoch" if epoch == "best" else f"epoch {epoch}"
                problem = f"{self.run}: the checkpoint of {which} is not kept"
            raise RunFolderError(f"{problem}; {self._kept()}") from error

    def _read(self, file: Path) -> dict[str, Any]:
        import torch

        with open_inside(file, self.run) as stream:
            with zipfile.ZipFile(stream) as archive:
                # torch.save packs nothing; only a bomb unpacks to more than there is.
                held = os.fstat(stream.fileno()).st_size
                claimed = sum(entry.file_size for entry in archive.infolist())
                if claimed > held:
                    raise ValueError("it claims to hold more than the file does")
                if held > 2 * claimed + 1_000_000:
                    raise ValueError("it holds less than the file does")
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest not in small_text(_hash_file(file), self.run).split()[::2]:
                raise ValueError("its SHA-256 differs from the one beside it")
            stream.seek(0)
            # Never unpickles: a checkpoint from a stranger is data.
            state = torch.load(stream, "cpu", weights_only=True)
        if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
            raise ValueError("it holds something else")
        counts = (state.get("epoch"), state.get("epoch_step"))
        if not all(type(count) is int and 0 <= count < LARGEST_COUNT for count in counts):
            raise ValueError("it does not say how far the run had come")
        if not isinstance(state.get("callbacks", []), list):
            raise ValueError("its callbacks are no list")
        return state

    def _kept(self) -> str:
        """What there is to be had, and how a run keeps more."""
        best = ["best"] * (self.folder / "best.pt").exists()
        whole = [int(f.stem[6:]) for f in self.files() if f.stem[6:].isdecimal()]
        listed = ", ".join([*(f"epoch {n}" for n in whole), *best]) or "none"
        return (
            f"kept: {listed}. A run keeps the last {KEPT}; a recipe with "
            'train.keep_best = "highest val/knn_accuracy", for example, keeps the best one too'
        )


def packed(state: Any) -> bytes:
    """A state as a checkpoint's file holds it, read back to be sure.

    Raises:
        RunFolderError: torch does not read it back without unpickling; the message says why.
    """
    import torch

    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        torch.load(buffer, "cpu", weights_only=True)
    except Exception as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"holds {found[1]}, which is" if found else f"is ({reason(error)[:200]})"
        raise RunFolderError(
            f"{what} not among what a checkpoint keeps: numbers, strings, lists, dicts and tensors"
        ) from error
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """The state that `packed` has put into a file."""
    import torch

    return torch.load(io.BytesIO(data), "cpu", weights_only=True)


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def _hash_file(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")
