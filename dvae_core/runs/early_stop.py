"""What run.json says of a run that ends before all of its epochs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any


class EarlyStop:
    """The part of a run folder that knows of stops, asked for and done."""

    _info: dict[str, Any]

    def stop(self, reason: str, *, restore_best: bool = False) -> None:
        self.stop_after(None, reason, restore_best=restore_best)

    def stop_after(self, epoch: int | None, reason: str, *, restore_best: bool = False) -> None:
        """The same; `epoch` is that whose evaluation asks, before its checkpoint is there."""
        if "stopped" not in self._info:
            asked = {} if epoch is None else {"asked_in": epoch}
            self._info["stopped"] = {"reason": str(reason), "restore_best": restore_best, **asked}
            self._write_info()

    @property
    def stopped(self) -> dict[str, Any] | None:
        """`reason` and `restore_best` of a stop, and once it is done the `epoch`, `of` how many."""
        stopped = self._info.get("stopped")
        return dict(stopped) if isinstance(stopped, dict) else None

    def ended_early(self, epochs: int) -> str | None:
        """Why the run is at its end before so many epochs; None where it is not."""
        stopped = self.stopped or {}
        if self._info.get("status") != "finished" or stopped.get("of", 0) < epochs:
            return None
        return f"stopped after epoch {stopped['epoch']}: {stopped['reason']}"

    def set_stopped(self, stopped: dict[str, Any] | None) -> None:
        """Note how a stop was done, or that there is none any more."""
        self._info |= {"stopped": stopped}
        if stopped is None:
            del self._info["stopped"]
        self._write_info()

    @abstractmethod
    def _write_info(self) -> None:
        """Write run.json."""
