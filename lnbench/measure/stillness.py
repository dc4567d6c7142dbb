"""Does this process work although nothing was asked of it? Threads and child processes that were left running do."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

WINDOW_S = 15e-3
BUSY_SHARE = 0.3
"""Of one core: far above what a thread takes that wakes now and then, far below one that spins beside a neighbour."""

STILL_LOOKS = 2
"""In a row: in one window alone a neighbour may have had the core."""

PATIENCE_S = 10.0
"""Compilers warm their helper processes up in the background for a few seconds; what goes on for longer was left
behind."""

_OWN_THREADS = 0
_NANOSECOND = 1e-9


def others_s() -> dict[int, float]:
    """CPU seconds so far of this process's other threads, and by its number of each child process."""
    children = {child.pid: _used_s(child.pid) for child in psutil.Process().children(recursive=True)}
    return {_OWN_THREADS: time.process_time() - time.thread_time(), **children}


def busy_cores(
    *,
    patience_s: float = PATIENCE_S,
    while_waiting: Callable[[], None] = lambda: None,
    used_s: Callable[[], Mapping[int, float]] = others_s,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """How many cores go on being used while this thread sleeps; 0 as soon as it is seen to be still.

    Waits up to `patience_s` for that, and calls `while_waiting` after each look that found none.
    """
    ends = now() + patience_s
    still = 0
    while True:
        began, before = now(), used_s()
        sleep(WINDOW_S)
        after = used_s()
        used = sum(max(seconds - before.get(number, 0.0), 0.0) for number, seconds in after.items())
        share = used / max(now() - began, WINDOW_S)
        still = still + 1 if share < BUSY_SHARE else 0
        if still == STILL_LOOKS:
            return 0.0
        if now() >= ends and not still:
            return share
        while_waiting()


def _used_s(process: int) -> float:
    """CPU seconds of all threads of a process that live; 0 elsewhere than on Linux, which counts them in nanoseconds.

    What psutil reads comes in ticks of 10 ms, and so does not fit into a look.
    """
    try:
        tasks = list(Path(f"/proc/{process}/task").glob("*/schedstat"))
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) * _NANOSECOND
    except (OSError, ValueError, IndexError):
        return 0.0
