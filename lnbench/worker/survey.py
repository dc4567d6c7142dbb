"""A look at the machine in a process of its own: copy bandwidth by working set, the clock, page faults, launches."""

import os
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter_ns
from typing import Any

import torch

from lnbench.examined import Bandwidth, Survey
from lnbench.measure.environment import cache_sizes
from lnbench.measure.heap import page_fault_s
from lnbench.measure.sampler import NANOSECOND, empty_pair_ns, median, warm

LEAST_SET_B = 1 << 14
MOST_SET_B = 1 << 30
"""Larger sets tell nothing new, and take memory."""

BEYOND_CACHE = 4
"""The largest working set, as a multiple of the last-level cache."""

SAMPLES = 7
SAMPLE_S = 10e-3
_STAMPS = 20_000


def survey(descriptor: int, threads: int, device: str) -> None:
    """Write a Survey as JSON to an open descriptor."""
    torch.set_num_threads(threads)
    data = take_survey(threads=threads, device=device).model_dump_json().encode()
    while data:
        data = data[os.write(descriptor, data) :]


def take_survey(*, threads: int, device: str = "cpu") -> Survey:
    """Measure the machine, in a few seconds."""
    sets = [LEAST_SET_B]
    largest = min(BEYOND_CACHE * (cache_sizes().last_level_b or MOST_SET_B // BEYOND_CACHE), MOST_SET_B)
    while sets[-1] * 4 <= largest:
        sets.append(sets[-1] * 4)
    if largest > sets[-1]:
        sets.append(largest)
    wait = torch.cuda.synchronize if device.startswith("cuda") else _nothing
    return Survey(
        device=device,
        threads=threads,
        bandwidths=tuple(copy_bandwidth(size_b, device=device, wait=wait) for size_b in sets),
        timer_step_s=_timer_step_s(),
        stamp_s=empty_pair_ns(perf_counter_ns) * NANOSECOND,
        fault_s=page_fault_s(),
        launch_s=_seconds(_copy(2, device), wait),
    )


def copy_bandwidth(working_set_b: int, *, device: str = "cpu", wait: Callable[[], object] = lambda: None) -> Bandwidth:
    """The median bandwidth of a copy whose source and target together are the working set."""
    seconds = _seconds(_copy(working_set_b, device), wait)
    return Bandwidth(working_set_b=working_set_b, bytes_per_s=working_set_b / seconds)


def _copy(working_set_b: int, device: str) -> Callable[[], Any]:
    source = torch.ones(working_set_b // 2, dtype=torch.uint8, device=device).view(torch.uint8)
    if source.numel() % 4 == 0:
        source = source.view(torch.float32)
    target = source.clone()
    return lambda: target.copy_(source)


def _seconds(call: Callable[[], Any], wait: Callable[[], object]) -> float:
    calls = warm(call, least_s=SAMPLE_S)
    found = []
    for _ in range(SAMPLES):
        wait()
        start = perf_counter_ns()
        for _ in range(calls):
            call()
        wait()
        found.append((perf_counter_ns() - start) * NANOSECOND / calls)
    return median(found)


def _timer_step_s() -> float:
    """The smallest step that the clock was seen to take."""
    stamps = [perf_counter_ns() for _ in range(_STAMPS)]
    return min(later - earlier for earlier, later in pairwise(stamps) if later > earlier) * NANOSECOND


def _nothing() -> None:
    """The CPU is done when its call returns."""
