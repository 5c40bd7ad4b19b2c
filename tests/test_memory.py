"""Memory that a step frees is kept for the next one."""

import os
import platform
import subprocess
import sys

import pytest

LARGE_BLOCKS = """
import ctypes
from dvae_core.training.speed.memory import keep_freed_memory

class Mallinfo2(ctypes.Structure):  # malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2
libc.malloc.restype = ctypes.c_void_p

def mapped():
    before = libc.mallinfo2().hblks
    block = ctypes.c_void_p(libc.malloc(64 * 2**20))
    after = libc.mallinfo2().hblks
    libc.free(block)
    return after - before

print(mapped(), end=" ")
keep_freed_memory()
print(mapped())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
@pytest.mark.parametrize(
    ("settings", "blocks"), [({}, "1 0"), ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, "1 1")]
)
def test_large_blocks_are_kept_unless_the_environment_says_otherwise(settings, blocks):
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run(
        [sys.executable, "-c", LARGE_BLOCKS],
        env=plain | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == blocks
