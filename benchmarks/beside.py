"""CPU-bound processes beside a measurement, for the other benchmarks."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

PROGRAM = """
import os, sys, time
duty, period_s = float(sys.argv[1]), 0.02
parent = os.getppid()
while os.getppid() == parent:
    end = time.perf_counter() + duty * period_s
    while time.perf_counter() < end:
        pass
    if duty < 1:
        time.sleep((1 - duty) * period_s)
"""
"""It ends with its parent, also where that was killed."""

SETTLED_S = 1.0


@contextmanager
def neighbours(count: int, *, duty: float = 1.0) -> Iterator[None]:
    """So many processes that each want a core for this share of the time while the context lasts.

    Each is in a session of its own, so that Linux schedules it as it does another user's work.
    """
    command = [sys.executable, "-c", PROGRAM, str(duty)]
    started = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    sleep(SETTLED_S if count else 0.0)
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
