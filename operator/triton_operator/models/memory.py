"""Settings of the C library's allocator for a program that takes and returns many large buffers.

Not for: Python's own objects.
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3)
_MIB = 2**20


def keep_buffers() -> None:
    """Let freed buffers be used again instead of going back to the system, and keep them in few arenas.

    Otherwise each buffer of obstore is mapped, cleared page by page and unmapped: a third of the time of a fetch.
    Before the first thread; does nothing where the C library is not glibc.
    """
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, 32 * _MIB)
        set_option(_TRIM_THRESHOLD, 64 * _MIB)
        set_option(_ARENA_MAX, 2)
