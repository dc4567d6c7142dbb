"""Ratios of samples that were taken close in time, with their intervals: what notices and limits rest on."""

import math
from typing import NamedTuple

from lnbench import across, stats
from lnbench.case_turns import Series
from lnbench.evidence import Evidence
from lnbench.pairing import pair_nearest
from lnbench.workload import Clock, Phase


class Share(NamedTuple):
    """A share of a time between the bounds of its 95 % interval; 0 to 1 where too little is known."""

    low: float
    high: float


NO_SHARE = Share(0.0, 0.0)


def paired(series: Series, base: Series) -> dict[int, stats.FloatArray]:
    """log(base) - log(series) of the turns that stand nearest, for every process that has both."""
    found = {process: pair_nearest(turns, base[process]) for process, turns in series.items() if process in base}
    return {process: ratios for process, ratios in found.items() if len(ratios)}


def log_ratio(numerator: Series, denominator: Series) -> stats.Interval | None:
    """log(numerator) - log(denominator) with its interval over rounds, or over processes; None without pairs."""
    return across.combine(list(paired(denominator, numerator).values()))


def call_share_of_copy(evidence: Evidence, workload: int, phase: Phase, *, clock: Clock) -> Share:
    """The share of the probe's copy that is its own call: what a copy of one element takes of one of all bytes.

    None of it where the probe took no such copy, as before version 3 of the journal.
    """
    launch = evidence.launches(workload, clock=clock)
    copy = evidence.probe(workload, phase, clock=clock)
    found = log_ratio(launch, copy) if launch and copy else None
    return NO_SHARE if found is None else Share(_share(found.low), _share(found.high))


def launch_share(evidence: Evidence, case: int, phase: Phase, *, clock: Clock) -> Share:
    """The share of launching in a row's time: 0.5 and more where it takes as long as the work.

    With two clocks, what the host takes beyond the device. On the CPU alone that of the copy: where copies as small as
    these are all launch, so is each operation of a case. None of it on clocks that the host's launches do not reach.
    """
    if clock in {Clock.BATCH, Clock.GRAPH}:
        return NO_SHARE
    if not evidence.planned_workload(case).workload.is_cuda:
        return call_share_of_copy(evidence, evidence.case(case).workload, phase, clock=clock)
    found = host_over_device(evidence, case, phase)
    return NO_SHARE if found is None else Share(*(max(1 - _inverse(it), 0.0) for it in (found.low, found.high)))


def host_over_device(evidence: Evidence, case: int, phase: Phase) -> stats.Interval | None:
    """log(host time) - log(device time) of the same turns; None where a phase has one clock only."""
    wall = evidence.series(case, phase, clock=Clock.WALL)
    device = evidence.series(case, phase, clock=Clock.DEVICE)
    return log_ratio(wall, device) if wall and device else None


def _share(log: float) -> float:
    return 1.0 if log >= 0 else math.exp(log)


def _inverse(log: float) -> float:
    """exp(-log), 1 at most: a device takes no longer than the host that waits for it."""
    return 1.0 if log <= 0 else math.exp(-log)
