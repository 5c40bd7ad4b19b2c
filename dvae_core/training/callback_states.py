"""What callbacks want kept in a checkpoint, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dvae_core.plugin.guard import guarded
from dvae_core.plugin.kinds import Callback
from dvae_core.runs.checkpoints import packed


def states_of(callbacks: Sequence[Callback], warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """The name and the state of each; one that cannot be kept is left out, with a warning."""
    kept = []
    for callback in callbacks:
        with guarded(f'the state of callback "{callback.name}" is not kept', warn):
            state = callback.state()
            packed(state)
            kept.append({"name": callback.name, "state": state})
    return kept


def is_empty(state: Any) -> bool:
    """Whether a callback has nothing to keep. A state may be anything, such as a tensor."""
    return isinstance(state, dict) and not state


def restore(
    callbacks: Sequence[Callback], kept: Sequence[Any], warn: Callable[[str], None]
) -> None:
    """Hand each callback the state that was kept under its name, in order.

    Checkpoints of earlier versions have no names: their states go by place, if none was added.
    """
    if kept and all(isinstance(state, dict) and {*state} == {"name", "state"} for state in kept):
        left = list(kept)
    elif len(kept) == len(callbacks):
        left = [{"name": c.name, "state": s} for c, s in zip(callbacks, kept, strict=True)]
    else:
        return
    for callback in callbacks:
        found = next((state for state in left if state["name"] == callback.name), None)
        if found is not None:
            left.remove(found)
            with guarded(f'callback "{callback.name}" does not take back its state', warn):
                callback.restore(found["state"])
