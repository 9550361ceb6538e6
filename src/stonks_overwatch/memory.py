"""Keeps the app small, on systems with the GNU C library, and what is collected out of its way."""

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h


def share_one_arena() -> None:
    """Let all threads take memory from one place; otherwise each would keep free parts of its own."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """What is loaded by now stays: to look for what of it can go would take a page 70 ms now and then."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return to the system what was needed for a while, as by a sync; it would be kept for later."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
