"""What a call takes the host to enqueue: calls in a row without waiting, while a spin keeps the device from them."""

from collections.abc import Callable, Mapping
from itertools import repeat
from statistics import median
from time import perf_counter_ns
from typing import Any

from lnbench.measure.event_timer import EventClock, Marks, Part, enqueue_ahead
from lnbench.measure.launch_queue import LaunchQueue
from lnbench.measure.sampler import NANOSECOND

BLOCKS = 9
"""Blocks of calls that the median is taken of; the host's times are skewed by whatever else it does."""

LEAST_BLOCKS = 5
CALLS = 16
"""Counted calls of a block, after one that is not: few enough for the queue of launches."""


def host_overhead_s(
    clock: EventClock, parts: Mapping[str, Part], *, now: Callable[[], int] = perf_counter_ns
) -> dict[str, float]:
    """Seconds of the host's time to enqueue each part of a call, by its name; empty for work that waits inside.

    The parts are called one after the other, each with what the one before gave, the first with None. What it takes to
    release results is left out.
    """
    queue, blocks = LaunchQueue(launches=len(parts), most_calls=CALLS), list[dict[str, float]]()

    def enqueue(count: int) -> Marks:
        start = clock.record()
        _enqueue_once(parts, now)
        calls = [_enqueue_once(parts, now) for _ in repeat(None, count)]
        blocks.append({name: sum(call[name] for call in calls) * NANOSECOND / count for name in parts})
        return [[start, clock.record()]]

    for _ in range(2 * BLOCKS):
        before = len(blocks)
        if not enqueue_ahead(clock, queue, min(CALLS, queue.most_calls), enqueue, now=now):
            del blocks[before:]
        if len(blocks) == BLOCKS:
            break
    if len(blocks) < LEAST_BLOCKS:
        return {}
    return {name: median(block[name] for block in blocks) for name in parts}


def _enqueue_once(parts: Mapping[str, Part], now: Callable[[], int]) -> dict[str, int]:
    """Nanoseconds of the host's time that each part of one call takes."""
    spent_ns: dict[str, int] = {}
    results: list[Any] = [None]
    for name, part in parts.items():
        begun = now()
        result = part(results[-1])
        spent_ns[name] = now() - begun
        results.append(result)
    return spent_ns
