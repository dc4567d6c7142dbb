"""Does this process work although nothing was asked of it? Threads and child processes that were left running do."""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

WINDOW_S = 15e-3
BUSY_SHARE = 0.3
"""Of one core: far above what a thread takes that wakes now and then, far below one that spins beside a neighbour."""

STILL_LOOKS = 2
"""In a row: in one window alone a neighbour may have had the core."""

PATIENCE_S = 10.0
"""Compilers warm their helper processes up in the background for a few seconds; what goes on for longer was left
behind."""

_NANOSECOND = 1e-9


class Task(NamedTuple):
    """A thread of this process or of a child of it, by the system's numbers."""

    process: int
    thread: int


def tasks_s() -> dict[Task, float]:
    """CPU seconds so far of all threads of this process but the calling one, and of all threads of its children.

    Linux alone tells them one by one; elsewhere all threads of this process count as one, and children are not seen.
    """
    own, me = os.getpid(), threading.get_native_id()
    if not Path("/proc/self/task").is_dir():
        return {Task(own, 0): time.process_time() - time.thread_time()}
    found: dict[Task, float] = {}
    for process in (own, *(child.pid for child in psutil.Process().children(recursive=True))):
        for schedstat in Path(f"/proc/{process}/task").glob("*/schedstat"):
            task = Task(process, int(schedstat.parent.name))
            used_s = _first_number(schedstat)
            if used_s is not None and task != Task(own, me):
                found[task] = used_s * _NANOSECOND
    return found


def busy_tasks(
    *,
    ignored: Collection[Task] = (),
    patience_s: float = PATIENCE_S,
    while_waiting: Callable[[], None] = lambda: None,
    used_s: Callable[[], Mapping[Task, float]] = tasks_s,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[Task, float]:
    """What goes on while this thread sleeps, with the cores that each takes; empty as soon as all is seen to be still.

    Waits up to `patience_s` for that, and calls `while_waiting` after each look that found something.
    """
    ends = now() + patience_s
    still = 0
    while True:
        began, before = now(), used_s()
        sleep(WINDOW_S)
        after, elapsed_s = used_s(), max(now() - began, WINDOW_S)
        shares = {
            task: (seconds - before.get(task, 0.0)) / elapsed_s
            for task, seconds in after.items()
            if task not in ignored
        }
        busy = {task: share for task, share in shares.items() if share >= BUSY_SHARE}
        still = 0 if busy else still + 1
        if still == STILL_LOOKS:
            return {}
        if now() >= ends and busy:
            return busy
        while_waiting()


def _first_number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
