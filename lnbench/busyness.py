"""Is a machine too busy for the work that is to be measured on it: the rule, and the sentences that say so."""

from collections.abc import Iterable, Sequence
from math import floor, inf

from lnbench.observed import MachineLook
from lnbench.units import format_significant

SPARE_CORES = 0.2
"""Cores that others may use beyond what the work leaves free. Measured on two virtual cores: the kernel and services
used 0.02 of a core at most; one CPU-bound process beside two threads of the work gets two thirds of one."""

WAITING = 0.2
"""Threads that may wait for a core, on average, where use by others is not known. Wake-ups alone amount to under 0.03
where cores are free; three CPU-bound threads on two cores to 0.5 and more."""

QUIET_CORES = 0.05
"""While others use less of a core than this, none of them counts as running. The kernel and services use 0.02."""

SPARE_LOAD = 1.0
"""The same in units of load, where the load is all that the system reports: it lags by a minute and counts work that
has just ended."""


def is_busy(look: MachineLook) -> bool:
    """True when the work has fewer cores than it uses, because others use them.

    What others use decides, since threads that wait for each other beside a free core do not disturb. Where that is not
    known, threads that wait do; where neither is, the load. What the work lacks although others use nothing (it has
    more threads than there are cores) does not count.
    """
    wanted = min(look.wanted, look.cores)
    if look.others is not None:
        return look.others + wanted > look.cores + SPARE_CORES
    waiting = look.waiting if look.waiting is not None else look.pressure
    if waiting is not None:
        return waiting > WAITING
    if look.load is None:
        return False
    of_others = look.load if look.process is None else look.load - wanted
    return of_others + wanted > look.cores + SPARE_LOAD


def free_cores(look: MachineLook) -> int:
    """Whole cores that others leave free."""
    used = look.others if look.others is not None else look.load or 0.0
    return max(floor(look.cores - used + SPARE_CORES), 0)


def worst(looks: Iterable[MachineLook]) -> MachineLook | None:
    """The look in which others left the work the least; None where there is none."""
    return max(looks, key=lambda it: (is_busy(it), it.others or 0.0, it.waiting or 0.0, it.load or 0.0), default=None)


def busy_look(looks: Sequence[MachineLook], workload: int) -> MachineLook | None:
    """The worst look at a machine that was busy while a workload was measured; None where it was not.

    Where nothing is known of that time, the look before the run stands for it.
    """
    during = [look for look in looks if look.workload == workload]
    look = worst(during or (look for look in looks if look.workload is None))
    return look if look is not None and is_busy(look) else None


def alone(looks: Iterable[MachineLook]) -> set[tuple[int, int]]:
    """Every (process, workload) in each look of which other processes used less than 0.05 of a core."""
    most: dict[tuple[int, int], float] = {}
    for look in looks:
        if look.process is not None and look.workload is not None:
            key = look.process, look.workload
            most[key] = max(most.get(key, 0.0), inf if look.others is None else look.others)
    return {key for key, others in most.items() if others < QUIET_CORES}


def short_sentence(look: MachineLook) -> str:
    """A few words for a progress line."""
    return f"machine busy ({_figure(look)})"


def sentence(look: MachineLook) -> str:
    """What was seen before a run, what follows for it, and what helps."""
    return f"busy machine: {seen(look)}; this run needs {look.wanted}: expect fewer undisturbed samples; {advice(look)}"


def seen(look: MachineLook) -> str:
    """The figures of a look: the load, and what others use."""
    parts = []
    if look.load is not None:
        parts.append(f"load {_rounded(look.load)} on {_cores(look.cores)}")
    if look.others is not None:
        where = "of which other processes use" if parts else f"of {_cores(look.cores)} other processes use"
        parts.append(f"{where} {_rounded(look.others)}")
    if look.waiting is not None and look.waiting > WAITING:
        parts.append(f"{_rounded(look.waiting)} threads wait for a core")
    return ", ".join(parts)


def advice(look: MachineLook) -> str:
    """What to do about it."""
    fewer = max(free_cores(look), 1)
    return "stop other work" if look.wanted <= fewer else f"stop other work, or use threads: {fewer}"


def busy_line(looks: Sequence[MachineLook]) -> str:
    """One line about all looks of a run, for the top of its outputs; "" where the machine was not busy."""
    busy = [look for look in looks if is_busy(look)]
    if not busy:
        return ""
    when = []
    if any(look.workload is None for look in busy):
        when.append("before the run")
    during = {look.workload for look in busy if look.workload is not None}
    if during:
        every = {look.workload for look in looks if look.workload is not None}
        when.append(f"in {len(during)} of {len(every)} workload{'s' if len(every) != 1 else ''}")
    most = worst(busy)
    assert most is not None  # there is a busy one
    loads = [look.load for look in busy if look.load is not None]
    load = f" (load up to {_rounded(max(loads))})" if loads else ""
    used = "cores" if most.others is None else f"up to {_rounded(most.others)} of {_cores(most.cores)}"
    return (
        f"busy machine: other processes used {used} {' and '.join(when)}{load}; rows with too few undisturbed samples "
        "are unstable"
    )


def host_text(look: MachineLook) -> str:
    """What a busy host means for times of a GPU's work that were read on the host's clock."""
    return (
        f"busy host: {seen(look)}; this time is read on the host's clock and can include waiting for a core, which the "
        "device's clock does not"
    )


def _figure(look: MachineLook) -> str:
    if look.load is not None:
        return f"load {_rounded(look.load)}"
    return f"others use {_rounded(look.others or 0.0)} of {_cores(look.cores)}"


def _rounded(value: float) -> str:
    return f"{value:.1f}" if value < 99.95 else format_significant(value, 3)


def _cores(count: int) -> str:
    return f"{count} core{'s' if count != 1 else ''}"
