"""What can go wrong, sorted by what the user has to do about it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence


class DvaeError(Exception):
    """Something failed while running: data, disk, a plugin. Exit code 1."""

    exit_code = 1


class RecipeError(DvaeError):
    """The recipe, or the way it was asked for, is wrong. Exit code 2.

    `problems` holds one line each, all of them at once.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DataError(DvaeError):
    """A data set is missing, damaged, or not what its plugin promised."""


class RunFolderError(DvaeError):
    """A run folder cannot be written, read, or resumed."""


class NoCheckpoint(RunFolderError):
    """A run folder has no good checkpoint to go on from."""


class Diverged(DvaeError):
    """The loss stopped being a finite number."""


class RankLost(DvaeError):
    """Another process that trains the same run is gone."""


class Interrupted(DvaeError):
    """The user stopped the run; `resume` is the line that goes on with it."""

    exit_code = 130

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def more_packages(
    what: str, extra: str, error: ImportError, kind: type[DvaeError] = DvaeError
) -> DvaeError:
    """The error to raise where something needs packages that an extra of this one installs."""
    return kind(f'{what} needs more packages ({error}): pip install "dvae-core[{extra}]"')


def text_of(error: BaseException) -> str:
    """What an error says, even where it fails to say it."""
    try:
        return str(error)
    except BaseException:  # it may even exit
        return "it cannot say what"


def reason(error: BaseException) -> str:
    """What an error is and says, in a line.

    >>> reason(ValueError("too  much")), reason(SystemExit())
    ('ValueError: too much', 'SystemExit')
    """
    return f"{type(error).__name__}: {' '.join(text_of(error).split())}".rstrip(": ")


def printable(text: str) -> str:
    """A text for a terminal: what would steer it is shown as an escape.

    >>> print(printable(chr(27) + "[2J"))
    \\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t" else c
        for c in text
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a message, or nothing.

    >>> did_you_mean("wieght", ["name", "weight"])
    ', did you mean "weight"?'
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f', did you mean "{close[0]}"?' if close else ""
