"""A kind that the user names, checked the same way by every verb that takes one."""

from __future__ import annotations

from collections.abc import Iterable

from dvae_core.errors import RecipeError, did_you_mean


def check_kind(kind: str, where: str = "", known: Iterable[str] = ()) -> None:
    """Raise RecipeError unless there is such a kind.

    `where` goes before the message, and what else is `known` there goes into it.
    """
    from dvae_core.plugin.kinds import KINDS

    if kind not in KINDS:
        words = [*KINDS, *known]
        hint = did_you_mean(kind, words)
        raise RecipeError(f'{where}unknown kind "{kind}"{hint}; known: {", ".join(words)}')
