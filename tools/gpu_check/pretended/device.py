"""The pretended GPU itself: when its streams are done, what memory is in use, and whether it is lost."""

from collections import deque
from collections.abc import Callable
from time import perf_counter, sleep

NAME = "Pretended GPU"
UUID = "00000000-0000-0000-0000-000000000001"
CYCLES_PER_S = 1.98e9
L2_B = 1 << 20
MEMORY_B = 80 << 30
RESERVED_B = 2 << 30
"""What a driver and its contexts hold."""

MOST_QUEUED = 1024
"""Launches that a driver takes before the host has to wait (CUDA 12 and 13)."""


class PretendedDevice:
    """One GPU. Each stream carries out what was enqueued, in order, and real time passes while it does.

    `now` gives seconds, `pause` waits for so many. `count_b` gives the bytes of the tensors that are alive.
    """

    def __init__(self, *, now: Callable[[], float] = perf_counter, pause: Callable[[float], object] = sleep) -> None:
        self.stream = 0
        self.peak_b = 0
        self.count_b: Callable[[], int] = lambda: 0
        self._now = now
        self._pause = pause
        self._ends: dict[int, float] = {0: 0.0}
        self._queued: deque[float] = deque()
        self._lost = ""

    def enqueue(self, seconds: float, *, launched: float | None = None) -> None:
        """Put work of so many seconds in line on the current stream.

        launched: when the host began to launch it, now by default. A launch waits where the queue is full.
        """
        self.require_alive()
        while len(self._queued) >= MOST_QUEUED:
            self._wait_until(self._queued.popleft())
        start = max(self._ends[self.stream], self._now() if launched is None else launched)
        self._ends[self.stream] = start + seconds
        self._queued.append(start + seconds)
        while self._queued and self._queued[0] <= self._now():
            self._queued.popleft()

    def spin(self, cycles: int) -> None:
        """Keep the current stream busy for so many cycles."""
        self.enqueue(cycles / CYCLES_PER_S)

    def done_at(self, stream: int) -> float:
        """When a stream will have done all that it was given: the time of an event that is recorded now."""
        self.require_alive()
        return max(self._ends[stream], self._now())

    def is_done(self, at: float) -> bool:
        """True when the device has passed an event."""
        self.require_alive()
        return self._now() >= at

    def wait_for(self, at: float) -> None:
        """Let the host wait until the device has passed an event."""
        self.require_alive()
        self._wait_until(at)

    def hold_back(self, stream: int, until: float) -> None:
        """Let a stream wait for an event of another one."""
        self._ends[stream] = max(self._ends[stream], until)

    def synchronize(self) -> None:
        """Let the host wait until every stream is done."""
        self.require_alive()
        self._wait_until(max(self._ends.values()))
        self._queued.clear()

    def new_stream(self) -> int:
        """The number of a stream that did not exist before."""
        number = len(self._ends)
        self._ends[number] = 0.0
        return number

    @property
    def free_b(self) -> int:
        """Bytes that can be allocated."""
        return MEMORY_B - RESERVED_B - self.count_b()

    def note_peak(self) -> None:
        """Look whether more bytes are in use than before."""
        self.peak_b = max(self.peak_b, self.count_b())

    def reset_peak(self) -> None:
        """Look for the peak from now on."""
        self.peak_b = self.count_b()

    def lose(self, words: str = "an illegal memory access was encountered") -> None:
        """End every use of the device in this process, as a kernel does that writes outside its memory."""
        self._lost = words

    def require_alive(self) -> None:
        """Raise what PyTorch raises at every call once the device is lost."""
        if self._lost:
            raise RuntimeError(f"CUDA error: {self._lost}")

    def _wait_until(self, at: float) -> None:
        while (left := at - self._now()) > 0:
            self._pause(left)


DEVICE = PretendedDevice()
"""That of this process."""
