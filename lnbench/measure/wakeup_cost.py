"""What a wake-up costs on this machine in run-queue delay, measured before a worker's first case."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from lnbench.measure.scheduling import counts_of
from lnbench.undisturbed import DEFAULT_WAKEUP_S

_ROOT = Path("/")
_NANOSECOND = 1e-9

LEAST_WAKEUP_S = 5e-6
"""An idle core often takes a woken thread with no delay at all, but not every time: one in ten took 5 us."""

MOST_WAKEUP_S = 20e-6
"""A wake-up that takes longer than this waited for another process's time slice."""

_BLOCKS, _WAKEUPS = 5, 40


def wakeup_cost_s(*, root: Path = _ROOT) -> float:
    """The run-queue delay of a wake-up on this machine when it is quiet: what a parked pool of threads pays per call.

    Two threads wake each other over pipes. Of blocks of 40 wake-ups the 90th percentile is taken, and of the blocks the
    least, because neighbours only ever add; bounded to 5 to 20 us. DEFAULT_WAKEUP_S where nothing counts delay.
    """
    tasks = root / "proc/self/task"
    waking, woken = os.pipe()
    answering, answered = os.pipe()
    number: list[int] = []

    def answer() -> None:
        number.append(threading.get_native_id())
        os.write(answered, b"!")
        while os.read(waking, 1) == b"?":
            os.write(answered, b"!")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    os.read(answering, 1)
    descriptor = -1
    try:
        descriptor = os.open(tasks / str(number[0]) / "schedstat", os.O_RDONLY | os.O_CLOEXEC)
        return _least_block(descriptor, lambda: (os.write(woken, b"?"), os.read(answering, 1)))
    except (OSError, ValueError, IndexError):
        return DEFAULT_WAKEUP_S
    finally:
        os.write(woken, b".")
        thread.join()
        for opened in (waking, woken, answering, answered, descriptor):
            if opened >= 0:
                os.close(opened)


def _least_block(descriptor: int, wake: Callable[[], object]) -> float:
    blocks = []
    for _ in range(_BLOCKS):
        found = []
        for _ in range(_WAKEUPS):
            before = counts_of(descriptor)
            wake()
            after = counts_of(descriptor)
            if after[2] > before[2]:
                found.append((after[1] - before[1]) / (after[2] - before[2]))
        if found:
            blocks.append(sorted(found)[int(0.9 * (len(found) - 1))])
    if not blocks:
        return DEFAULT_WAKEUP_S
    return min(max(min(blocks) * _NANOSECOND, LEAST_WAKEUP_S), MOST_WAKEUP_S)
