"""What a hypervisor took from the cores that this process may use."""

import os
import time
from pathlib import Path

_ROOT = Path("/")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MOST_STAT_B = 1 << 20
_TRIES = 5

CHEAP_S = 200e-6
"""/proc/stat grows with cores and interrupts. Where reading it takes longer, steal is left to the periodic look."""


class StealMeter:
    """The steal column of /proc/stat, kept open, for the cores that this process may use."""

    def __init__(self, root: Path) -> None:
        self._descriptor = -1
        self._cores = {b"cpu%d" % core for core in os.sched_getaffinity(0)}
        self._lines = 1 + (os.cpu_count() or 1)  # after those of the cores come interrupts, in lines that grow long
        try:
            self._descriptor = os.open(root / "proc/stat", os.O_RDONLY | os.O_CLOEXEC)
            if root == _ROOT and min(map(self._seconds_to_read, range(_TRIES))) > CHEAP_S:
                self._close()
        except (OSError, ValueError, IndexError):
            self._close()

    def __del__(self) -> None:
        self._close()

    def seconds(self) -> float | None:
        """Seconds so far; None where they can't be read."""
        if self._descriptor < 0:
            return None
        try:
            return self._read()
        except (OSError, ValueError, IndexError):
            return None

    def _seconds_to_read(self, _: int) -> float:
        began = time.perf_counter()
        self._read()
        return time.perf_counter() - began

    def _read(self) -> float:
        lines = (line.split() for line in os.pread(self._descriptor, _MOST_STAT_B, 0).split(b"\n", 1 + self._lines))
        ticks = sum(int(fields[8]) for fields in lines if fields and fields[0] in self._cores)
        return ticks / _TICKS_PER_S

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
