"""lnbench's clock of CUDA events: does it start, hold the stream, and cost little?"""

import time
from collections.abc import Callable
from typing import Any

import torch

from lnbench.measure.cuda import CudaSampler, device_uuid
from lnbench.measure.nvml import Nvml
from lnbench.measure.watch import GpuWatcher
from tools.gpu_check.agreement.checks import DEVICE, MIB, Setting, microseconds
from tools.gpu_check.agreement.sampled import OneCopy
from tools.gpu_check.summary import Outcome, Result, passed_if

PAIR_S = (0.2e-6, 6e-6)
"""What two events with nothing between them may measure."""

MOST_LOOK_S = 15e-3
"""A look at NVML comes in every turn."""

SPINS_S = (5e-4, 2e-3, 2e-2, 0.1)
SPIN_SHARES = (0.6, 1.7)
"""A spin counts cycles, and the clock rises when there is work."""


def starts(setting: Setting) -> Outcome:
    """The clock, and what an empty pair of events measures, ten times."""
    began = time.perf_counter()
    clock = setting.clock
    seconds = time.perf_counter() - began
    properties = torch.cuda.get_device_properties(0)
    pairs = [CudaSampler(clock).empty_pair_s for _ in range(10)]
    found = {
        "start_s": round(seconds, 3),
        "l2_mib": properties.L2_cache_size / MIB,
        "multiprocessors": properties.multi_processor_count,
        "empty_pairs_us": [microseconds(pair) for pair in pairs],
    }
    return passed_if(setting.rehearsal or all(PAIR_S[0] < pair < PAIR_S[1] for pair in pairs), found)


def first_cold_sample_is_kept(setting: Setting) -> Outcome:
    """A kernel is loaded at its first launch, which may wait for the spin; that of the displacement may not."""
    source = torch.ones(1 << 20, device=DEVICE)
    target = source.clone()
    sampler = CudaSampler(setting.clock, cold=True)
    copy = OneCopy(lambda: target.copy_(source))
    kept = [bool(sampler.sample_copy(copy, "copy", 20).device_s) for _ in range(3)]
    return Outcome(Result.NOTE, {"kept": kept}) if setting.rehearsal else passed_if(kept[0], {"kept": kept})


def spins_last_as_asked(setting: Setting) -> Outcome:
    """Spins between two events."""
    clock, shares = setting.clock, {}
    for asked in SPINS_S:
        clock.wait()
        start = clock.record()
        clock.spin(asked)
        end = clock.record()
        clock.wait()
        shares[f"{asked:g}"] = round(clock.elapsed_s(start, end) / asked, 3)
    is_right = all(SPIN_SHARES[0] < share < SPIN_SHARES[1] for share in shares.values())
    return passed_if(is_right, {"measured_over_asked": shares})


def costs_on_the_host(setting: Setting) -> Outcome:
    """What the harness itself costs: an event, a wait, a launch, a look at NVML."""
    clock, count = setting.clock, 20 if setting.rehearsal else 200
    cell = torch.zeros(1, device=DEVICE)
    watcher = GpuWatcher(Nvml(), device_uuid(DEVICE))
    found = {
        "event_us": microseconds(_each_s(clock.record, count, clock.wait)),
        "wait_us": microseconds(_each_s(clock.wait, count, clock.wait)),
        "launch_us": microseconds(_each_s(lambda: cell.add_(1.0), count, clock.wait)),
    }
    look_s = _each_s(watcher.look, 20, clock.wait)
    return passed_if(look_s < MOST_LOOK_S, {**found, "look_us": microseconds(look_s), "notices": watcher.notices()})


def queue_holds(setting: Setting) -> Outcome:
    """At which launch behind a spin the host has to wait: the sampler counts on about 1,000."""
    clock = setting.clock
    cell = torch.zeros(1, device=DEVICE)

    def between_events() -> None:
        clock.record()
        cell.add_(1.0)
        clock.record()

    found = {
        "launches": _first_late(setting, lambda: cell.add_(1.0), most=3000),
        "events": _first_late(setting, clock.record, most=6000),
        "launches_between_events": _first_late(setting, between_events, most=2000),
    }
    return Outcome(Result.NOTE, found)


def _first_late(setting: Setting, call: Callable[[], Any], *, most: int) -> int | None:
    """The first call that took the host more than 5 ms; None where none of so many did."""
    clock = setting.clock
    clock.wait()
    clock.spin(0.12)
    stamps = [time.perf_counter()]
    for _ in range(most):
        call()
        stamps.append(time.perf_counter())
    clock.wait()
    late = (number for number in range(1, len(stamps)) if stamps[number] - stamps[number - 1] > 5e-3)
    return next(late, None)


def _each_s(call: Callable[[], Any], count: int, wait: Callable[[], Any]) -> float:
    """The host's seconds for each of so many calls, after a first one."""
    call()
    wait()
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count
