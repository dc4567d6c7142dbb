"""What was read of the machine's state while a workload was measured, as it is plotted: over a process's seconds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lnbench.evidence import Evidence
from lnbench.observed import Conditions
from lnbench.tables import Column, Table, Value
from lnbench.turns import Floats

MOST_POINTS = 20_000
LEAST_BINS = 12
MOST_BINS = 120


class Reading(NamedTuple):
    """A reading worth a line of its own: how it is called, and what makes one value of several.

    `scale`: from the journal's unit to that of the title. `per_second`: a count since the look before.
    """

    title: str
    scale: float = 1.0
    per_second: bool = False


READINGS: dict[str, Reading] = {
    "steal_share": Reading("stolen by the host, %", 100.0),
    "throttled_s": Reading("held by the quota, %", 100.0, True),
    "involuntary_switches": Reading("preemptions per second", 1.0, True),
    "minor_faults": Reading("page faults per second", 1.0, True),
    "load": Reading("load"),
    "frequency_hz": Reading("CPU clock, GHz", 1e-9),
    "sm_clock_hz": Reading("SM clock, GHz", 1e-9),
    "memory_clock_hz": Reading("memory clock, GHz", 1e-9),
    "power_w": Reading("power, W"),
    "temperature_c": Reading("temperature, °C"),
}
"""By their names in the journal, in the order in which they are shown."""

CONDITION_POINT_COLUMNS = (
    Column("workload", "string"),
    Column("process", "Int64"),
    Column("reading", "string"),
    Column("second", "float64"),
    Column("value", "float64"),
)


def condition_points_table(evidence: Evidence, *, most: int = MOST_POINTS) -> Table:
    """Each reading over the seconds since the workload's first turn in a process; neighbours are put together by their
    mean, so that about `most` points are left. A reading that never changes from 0 is left out."""
    lines = [
        (evidence.run.header.workloads[workload].id, process, looks, _seconds(evidence, workload, process, looks))
        for workload, found in sorted(evidence.conditions.items())
        for process, looks in _by_process(found)
    ]
    told = [name for name in READINGS if any(look.readings.get(name) for *_, looks, _ in lines for look in looks)]
    bins = max(LEAST_BINS, min(MOST_BINS, most // max(len(lines) * len(told), 1)))
    rows = tuple(
        row
        for workload, process, looks, seconds in lines
        for name in told
        for row in _points((workload, process), name, looks, seconds=seconds, bins=bins)
    )
    return Table(CONDITION_POINT_COLUMNS, rows)


def _by_process(looks: Sequence[Conditions]) -> Iterator[tuple[int, list[Conditions]]]:
    for process in sorted({look.process for look in looks}):
        yield process, sorted((look for look in looks if look.process == process), key=lambda look: look.last_round)


def _seconds(evidence: Evidence, workload: int, process: int, looks: Sequence[Conditions]) -> Floats:
    """When each look was taken: at the start of the last turn of its last round; by length where no turn was kept."""
    turns = evidence.run.log.turns
    own = np.flatnonzero((turns.workload == workload) & (turns.process == process))
    if not len(own):
        return np.cumsum([look.seconds for look in looks])
    order = own[np.argsort(turns.round[own], kind="stable")]
    latest = np.maximum.accumulate(turns.started_s[order])
    after = np.searchsorted(turns.round[order], [look.last_round for look in looks], side="right")
    return latest[np.maximum(after - 1, 0)]


def _points(
    key: tuple[str, int], name: str, looks: Sequence[Conditions], *, seconds: Floats, bins: int
) -> Iterator[tuple[Value, ...]]:
    reading = READINGS[name]
    known = [place for place, look in enumerate(looks) if name in look.readings]
    for found in np.array_split(np.array(known, dtype=int), min(bins, len(known)) or 1):
        if len(found):
            values = [looks[place].readings[name] for place in found]
            lasted = sum(looks[place].seconds for place in found)
            whole = sum(values) / lasted if reading.per_second and lasted else float(np.mean(values))
            yield (*key, reading.title, float(seconds[found].mean()), reading.scale * whole)
