"""The C heap: whether freed memory is kept for the next call, and the page faults that getting it again costs."""

import ctypes
import mmap
import platform
import resource
from time import perf_counter

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER_TRIM = -1

_TOUCHED_B = 1 << 22
_TRIES = 3


def can_retain_heap() -> bool:
    """True on Linux with glibc, where the heap's habits can be set."""
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


def retain_heap() -> bool:
    """Keep freed memory in this process's heap: no trimming, and no separate mapping for large blocks.

    Without it glibc returns large blocks at each release, and each call pays the page faults of getting them again.
    True when it took effect.
    """
    if not can_retain_heap():
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM))


_MALLINFO2_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _Mallinfo2(ctypes.Structure):
    """What glibc's mallinfo2 gives, in bytes; `fordblks` is what is free inside the heap."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO2_FIELDS)


def unused_heap_b() -> int:
    """Bytes that this process has from the system and does not use now; 0 where the C library does not say."""
    if not can_retain_heap():
        return 0
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)  # since glibc 2.33
    if tell is None:
        return 0
    tell.restype = _Mallinfo2
    return int(tell().fordblks)


def page_faults() -> int:
    """Page faults of this process so far that needed no disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def page_fault_s(*, size_b: int = _TOUCHED_B) -> float | None:
    """What one page fault costs: fresh memory is touched page by page, the fastest of a few times; None if none occurs.

    The kernel zeroes the page and enters it in the table, so it costs about as much here as in an output's memory.
    """
    best = None
    for _ in range(_TRIES):
        with mmap.mmap(-1, size_b) as memory:
            faults, started = page_faults(), perf_counter()
            for place in range(0, size_b, mmap.PAGESIZE):
                memory[place] = 1
            seconds, faults = perf_counter() - started, page_faults() - faults
            started = perf_counter()
            for place in range(0, size_b, mmap.PAGESIZE):
                memory[place] = 2
            seconds -= perf_counter() - started  # the loop itself, on pages that are there
        if faults > 0 and seconds > 0:
            best = min(seconds / faults, best or seconds / faults)
    return best
