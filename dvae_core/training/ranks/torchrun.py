"""What torchrun, or a launcher like it, says of this process in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """This process among those that train one run together.

    torch's own words: https://docs.pytorch.org/docs/stable/elastic/run.html
    """

    rank: int = 0
    """0 is the first, which alone writes and speaks."""
    count: int = 1
    """The processes on all machines."""
    local_rank: int = 0
    """Among those on this machine."""
    local_count: int = 1
    attempt: int = 0
    """How often torchrun has started the processes anew."""

    @classmethod
    def here(cls) -> Process:
        """This process's; alone where no launcher speaks of more than one."""

        def number(name: str, otherwise: int) -> int:
            return int(os.environ.get(name) or otherwise)

        rank, count = number("RANK", 0), number("WORLD_SIZE", 1)
        attempt = number("TORCHELASTIC_RESTART_COUNT", 0)
        if count == 1:
            return cls(attempt=attempt)
        here = number("LOCAL_RANK", rank), number("LOCAL_WORLD_SIZE", count)
        return cls(rank, count, *here, attempt)
