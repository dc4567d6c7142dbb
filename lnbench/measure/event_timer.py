"""Times on a device's clock: events around each call, behind a queue that a short spin keeps waiting.

The events measure the work alone only while the host is ahead of the device. So a spin kernel holds the stream until a
whole sample is enqueued; a sample whose first event had passed by then is dropped, and its queue learns from it.
Between two events lie also the launch and the drain of what is called, about 1 to 3 us on today's cards, the same for
everything that is timed so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from time import perf_counter_ns
from typing import Any, Protocol

from lnbench.measure.launch_queue import LaunchQueue
from lnbench.measure.sampler import NANOSECOND, Missed, median

EVENT_STEP_S = 0.5e-6
"""The resolution that CUDA's documentation gives for cudaEventElapsedTime. Shorter is no time; what launches one kernel
takes three times as long."""

DISPLACING_LAUNCHES = 3
"""Of each displacement: a write, and a read in one kernel or two."""

_CALIBRATION_PAIRS = 21

Part = Callable[[Any], Any]
"""A part of a call: takes what the part before it gave."""

Marks = list[list[Any]]
"""The events of a sample, group by group, in the order in which they were enqueued."""


class EventClock(Protocol):
    """A device's stream, as far as timing needs it. A fake one drives the tests."""

    def record(self) -> Any:
        """Enqueue an event."""

    def is_pending(self, event: Any) -> bool:
        """True until the device has passed the event."""

    def elapsed_s(self, start: Any, end: Any) -> float:
        """Seconds between two events that the device has passed."""

    def spin(self, seconds: float) -> None:
        """Enqueue a kernel that keeps the stream busy for about this long."""

    def displace(self) -> None:
        """Enqueue what leaves nothing in the L2 cache that a call reads, and nothing that has to be written back."""

    def wait(self) -> None:
        """Return when the device has finished."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds per call of each part, the mean of so many calls; empty with the reason where the sample was missed."""

    seconds: tuple[float, ...] = ()
    calls: int = 0
    missed: Missed | None = None


class DeviceTimer(Protocol):
    """Times calls on a device's own clock. Events are one way; others can stand beside it."""

    step_s: float
    """What is shorter this clock can't see."""

    empty_pair_s: float
    """What it measures of nothing, which it subtracts."""

    def time(self, work: object, parts: Sequence[Part], calls: int) -> Timed:
        """The means of at most so many calls, part by part. Samples of the same `work` are of one kind."""


class EventTimer:
    """Times the parts of calls between events. `cold`: the L2 cache is displaced before every call, outside them.

    `missed`: why nothing can be timed so, found out with events around nothing; None where it can.
    """

    step_s = EVENT_STEP_S

    def __init__(self, clock: EventClock, *, cold: bool, now: Callable[[], int] = perf_counter_ns) -> None:
        self._clock = clock
        self._cold = cold
        self._now = now
        self._queues: dict[object, LaunchQueue] = {}
        self.empty_pair_s = 0.0
        self.missed: Missed | None = None
        self._measure_empty_pair()

    def time(self, work: object, parts: Sequence[Part], calls: int) -> Timed:
        """The means of at most so many calls, part by part, without what an empty pair of events measures."""
        if self.missed is not None:
            return Timed(missed=self.missed)
        queue = self._queues.get(work)
        if queue is None:
            known = 1 + 2 * len(parts) + (DISPLACING_LAUNCHES if self._cold else 0)
            queue = self._queues[work] = LaunchQueue(launches=known)
        calls = min(calls, queue.most_calls)
        marks = self._enqueue(parts, calls, queue, displaces=self._cold)
        if not marks:
            return Timed(missed=queue.missed)
        spans = zip(*(pairwise(events) for events in marks), strict=True)
        totals = (sum(self._clock.elapsed_s(start, end) for start, end in found) for found in spans)
        return Timed(tuple(total / calls - self.empty_pair_s for total in totals), calls)

    def _enqueue(self, parts: Sequence[Part], calls: int, queue: LaunchQueue, *, displaces: bool) -> Marks:
        """The events around the parts of each call; none where the host was late."""
        clock = self._clock

        def enqueue(count: int) -> Marks:
            marks, result = [], None
            for _ in repeat(None, count):
                if displaces:
                    clock.displace()
                result = None
                events = [clock.record()]
                for part in parts:
                    result = part(result)
                    events.append(clock.record())
                marks.append(events)
            del result
            return marks

        return enqueue_ahead(clock, queue, calls, enqueue, now=self._now)

    def _measure_empty_pair(self) -> None:
        """What two events with nothing between them measure, while the host is ahead."""
        queue = LaunchQueue(most_calls=_CALIBRATION_PAIRS)
        while queue.most_calls:
            marks = self._enqueue([_nothing], queue.most_calls, queue, displaces=False)
            if marks:
                self.empty_pair_s = median([self._clock.elapsed_s(start, end) for start, end in marks])
                return
        self.missed = Missed.BLOCKED if queue.missed is Missed.WAITS else queue.missed


def enqueue_ahead(
    clock: EventClock, queue: LaunchQueue, calls: int, enqueue: Callable[[int], Marks], *, now: Callable[[], int]
) -> Marks:
    """What `enqueue` gives for so many calls, once the device has passed it; empty where the host was late.

    A spin holds the device meanwhile, and the queue learns from it. With no calls nothing is enqueued.
    """
    if not calls:
        return []
    clock.wait()
    began = now()
    before = clock.record()
    clock.spin(queue.spin_s)
    after = clock.record()
    marks = enqueue(calls)
    enqueue_s = (now() - began) * NANOSECOND
    in_time = clock.is_pending(marks[0][0])
    clock.wait()
    queue.learn(calls=calls, enqueue_s=enqueue_s, held_s=clock.elapsed_s(before, after), in_time=in_time)
    return marks if in_time else []


def _nothing(_: object) -> None:
    """Stands between two events that are to measure themselves."""
