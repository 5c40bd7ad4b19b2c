"""How a check can end, other than well."""

from __future__ import annotations


class NotChecked(Exception):
    """A check cannot be made here; the message says why."""


class Failure(AssertionError):
    """A check failed; the message is its one-line reason."""
