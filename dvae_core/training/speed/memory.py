"""How the C library hands out memory while a processor trains."""

from __future__ import annotations

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h; see mallopt(3)."""
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one.

    By itself it gives a block of more than 32 MiB back at once, and the system has to make each of
    its pages anew, a step later: a seventh of the conv model's time at batch 512. The process then
    stays as large as it once was. Other C libraries, and settings of one's own in the
    environment, are left alone.
    """
    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if own or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(MMAP_THRESHOLD, NEVER)
    mallopt(TRIM_THRESHOLD, NEVER)
