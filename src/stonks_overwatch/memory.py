"""Keeps the app small, on systems with the GNU C library, and what is collected out of its way."""

import ctypes
import gc
from contextlib import suppress

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MIB = 1 << 20


def stay_small() -> None:
    """Let all threads take memory from one place: otherwise each would keep free parts of its own.

    What is large (the prices of all days) goes back to the system as soon as it is free. Left to itself the
    library keeps as much as was ever freed at once, because it may be needed again.
    """
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _MIB)
        library.mallopt(_M_TRIM_THRESHOLD, 4 * _MIB)


def settle() -> None:
    """What is loaded by now stays: to look for what of it can go would take a page 70 ms now and then."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return to the system what was needed for a while, as by a sync; it would be kept for later."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
