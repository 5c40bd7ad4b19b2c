"""Starts and ends runs of W&B, so that no server keeps anyone waiting for long."""

from __future__ import annotations

import contextlib
import netrc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KNOCK_TIMEOUT = 5
"""Seconds in which a server must answer at all."""
INIT_TIMEOUT = 15
"""Seconds to wait for a server to take a run; after that the run is logged offline."""
FINISH_TIMEOUT = 5
"""Seconds to wait for the last uploads; what is not uploaded by then, `wandb sync` uploads."""


def start(mode: str, folder: Path, **about: Any) -> Any:
    """A run of W&B whose files lie in a folder: offline, if no server takes it, with a warning.

    Args:
        mode: auto, online or offline.
        about: what `wandb.init` is told of it.

    Returns:
        None where W&B is switched off.
    """
    if mode == "auto" and os.environ.get("WANDB_MODE") == "disabled":
        return None
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # what matters, the callback says
    # Its own figures about itself would delay the exit where the server does not answer.
    with contextlib.suppress(ImportError):
        from wandb.analytics.opentelemetry import opentelemetry_proxy

        opentelemetry_proxy.disable()
    chosen = _chosen(mode)
    if chosen == "online":
        try:
            knock(_base_url())
            return _init(folder, chosen, about)
        except Exception as error:
            warnings.warn(
                "logging offline, because the server did not take the run: "
                f"{_first_line(error)}; "
                f"upload it later: wandb sync {folder}/wandb/offline-run-*",
                stacklevel=2,
            )
            wandb.teardown()
            chosen = "offline"
    return _init(folder, chosen, about)


@contextlib.contextmanager
def ending(folder: Path) -> Iterator[None]:
    """Say what to do where the server does not take the last of a run."""
    try:
        yield
    except Exception as error:
        reason = "it stopped answering" if isinstance(error, TimeoutError) else error
        warnings.warn(
            f"the server did not take everything: {reason}; "
            f"upload it later: wandb sync --include-online {folder}/wandb/run-*",
            stacklevel=3,
        )
        let_go()


def let_go() -> None:
    """Keep W&B's exit handler from waiting for what is broken, or stumbling over it."""
    import wandb

    with contextlib.suppress(Exception):
        wandb.teardown()


@contextlib.contextmanager
def left_out(what: str) -> Iterator[None]:
    """Go on without what cannot be made or sent."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"{what} is left out: {_first_line(error)}", stacklevel=3)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def knock_for_artifacts(run: Any) -> None:
    """A table is an artifact too, and W&B asks the server about each before it goes on."""
    if not run.offline:
        knock(_base_url())


def _chosen(mode: str) -> str:
    if mode != "auto":
        return mode
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    return "online" if _has_key(_base_url()) else "offline"


def _init(folder: Path, mode: Any, about: dict[str, Any]) -> Any:
    import wandb

    return wandb.init(
        **about,
        resume="allow" if mode == "online" else None,
        dir=str(folder),
        mode=mode,
        settings=wandb.Settings(
            init_timeout=INIT_TIMEOUT,
            finish_timeout=FINISH_TIMEOUT,
            finish_timeout_raises=True,
            silent=True,
            console="off",
            save_code=False,
        ),
    )


def _base_url() -> str:
    import wandb

    return str(wandb.setup().settings.base_url)


def _has_key(base_url: str) -> bool:
    """Whether a key is in the environment or in the netrc file, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    file = os.environ.get("NETRC") or Path.home() / ".netrc"
    try:
        return netrc.netrc(file).authenticators(urlsplit(base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def knock(base_url: str) -> None:
    """Raise unless a server answers soon; wandb.init would wait and try again for much longer."""
    # It brings half of the standard library along, which no light verb should wait for.
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        urlopen(base_url, timeout=KNOCK_TIMEOUT).close()
    except HTTPError as error:
        error.close()
        if error.code >= 500:
            raise
