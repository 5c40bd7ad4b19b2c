"""Runs on the Hugging Face hub: to it, and from it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from dvae_core.errors import DvaeError, RunFolderError, more_packages, reason
from dvae_core.files import cache_folder
from dvae_core.runs.checkpoints import Epoch
from dvae_core.runs.folder import RunFolder
from dvae_core.runs.published import PUBLISHED, publish

ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
"""hf://user/name, of which a revision may follow; a path has lost one of the slashes."""


def push(
    run: RunFolder,
    address: str,
    epoch: Epoch | None = None,
    *,
    private: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> str:
    """Put a run on the hub, as `publish` makes it: what was there of another one goes.

    Args:
        run: whose newest good checkpoint is taken, or that of an epoch.
        address: hf://user/name.
        private: whether a repository that is new is for its owner alone.
        say: told what goes on.

    Returns:
        Where it can be looked at.

    Raises:
        DvaeError: the hub does not take it, or a package is missing.
        RunFolderError: the checkpoint cannot be had, or holds more than tensors.
    """
    repository, revision = _parts(address)
    hub = _package()
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    with tempfile.TemporaryDirectory() as folder:
        name = publish(run, Path(folder), epoch, address=f"hf://{repository}")
        say(f"sending it to {repository}")
        try:
            api.create_repo(repository, private=private or None, exist_ok=True)
            api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                revision=revision,
                commit_message=name,
                delete_patterns=["figures/*"],
            )
        except Exception as error:  # a server raises nearly anything
            raise DvaeError(
                f"{address}: the hub does not take it: {_said(error)}. Is the name yours? "
                "`hf auth login` tells the hub who you are"
            ) from error
    return f"{api.endpoint}/{repository}"


def at_hand(path: str | Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """The folder of a run: itself, or for an address on the hub a copy in the cache.

    The copy is looked at anew each time; where the hub cannot be had, the last one will do.

    Raises:
        RunFolderError: there is no such run on the hub, or it cannot be had.
        DvaeError: a package is missing.
    """
    if not is_address(path):
        return Path(path)
    repository, revision = _parts(str(path))
    hub = _package()
    folder = cache_folder() / "hub" / repository.replace("/", os.sep) / (revision or "newest")
    say(f"fetching {repository}")
    try:
        hub.snapshot_download(
            repository,
            revision=revision,
            local_dir=folder,
            allow_patterns=list(PUBLISHED),
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except Exception as error:  # a server raises nearly anything
        raise RunFolderError(f"{path}: cannot be had from the hub: {_said(error)}") from error
    if not (folder / "run.json").exists():
        raise RunFolderError(f"{path}: holds no run that `dvae push` has put there")
    return folder


def is_address(path: str | Path) -> bool:
    """Whether this names a run on the hub."""
    return str(path).startswith("hf:/")


def _parts(address: str) -> tuple[str, str | None]:
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise RunFolderError(f"{address}: is no address on the hub; write hf://user/name")
    return found[1], found[2]


def _said(error: Exception) -> str:
    return reason(error).partition("\n")[0]


def _package() -> Any:
    try:
        import huggingface_hub
        import safetensors  # noqa: F401
    except ImportError as error:
        raise more_packages("the hub", "hub", error) from error
    utils: Any = import_module("huggingface_hub.utils")
    utils.disable_progress_bars()  # dvae has words of its own for what takes long
    return huggingface_hub
