"""How a check can end, other than well."""

from __future__ import annotations


class NotChecked(Exception):
    """A check cannot be made here; the message says why."""


class Note(Exception):
    """A check passed, and the message says what could be better, or need not be wrong."""


class Failure(AssertionError):
    """A check failed; the message is its one-line reason."""
