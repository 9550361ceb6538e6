"""Keeps the app small on systems with the GNU C library; does nothing elsewhere."""

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h


def share_one_arena() -> None:
    """Let all threads take memory from one place; otherwise each would keep free parts of its own."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the system what was needed for a while, as by a sync; it would be kept for later."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
