"""The C heap: whether freed memory is kept for the next call, and the page faults that getting it again costs."""

import ctypes
import platform
import resource

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER_TRIM = -1


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


def page_faults() -> int:
    """Page faults of this process so far that needed no disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
