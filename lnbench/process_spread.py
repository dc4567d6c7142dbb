"""How much processes of a machine class differ, from runs of several processes: what a single process can't show."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from lnbench.evidence import Evidence
from lnbench.planned import Environment, ProcessSpread, Status
from lnbench.record import Header, Run
from lnbench.speedups import Speedups
from lnbench.stats import Interval
from lnbench.summaries import device_name
from lnbench.view import default_clock

WIDEST_WITHIN = 0.1
"""The relative half-width of a speedup's interval within a process up to which it shows what processes differ by. In
the published runs 95 and 87 % of the rows are that precise, in one on a busy machine 4 %."""


def is_of_machine_class(header: Header, environment: Environment) -> bool:
    """True for a run of several processes on such a machine: the same processor, as far as is known, and as many cores.

    Versions do not count. Differences between processes come from the layout of memory and the placement of threads,
    and a spread from before an update is closer to the truth than none.
    """
    theirs = header.environment
    same = ("machine", "cpu", "physical_cores")
    signatures = {theirs.cpu_signature, environment.cpu_signature} - {""}
    if len(signatures) > 1:
        return False
    return header.sampling.processes > 1 and all(getattr(theirs, it) == getattr(environment, it) for it in same)


def process_spread(runs: Iterable[Run]) -> tuple[ProcessSpread, ...]:
    """The standard deviation between processes of log speedups, by device: of the median run, pooled over its rows.

    Of rows that could be the fastest: of the reference's function, verified, stable, on the clock that tables show, and
    precise within each process, since others show the noise of their rounds. An implementation that was compared with
    its own older version is left out: the two are much more alike than rivals are.
    Within a run it is the mean of variances and not their median: rows differ in how much their processes vary, and
    a lead has to be beyond that of the wide ones too. Of several runs the median counts, because one that was made on a
    busy machine would outweigh all others. Rows of a workload share the reference's times, so a workload counts once
    for the degrees of freedom; a median is worth half of them.
    """
    variances: dict[str, list[float]] = defaultdict(list)
    freedom: Counter[str] = Counter()
    for run in runs:
        of_run: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for device, rows in _rows(Evidence(run)):
            freedom[device] += max(map(len, rows)) - 1
            of_run[device] += [(_squares(locations), len(locations) - 1) for locations in rows]
        for device, found in of_run.items():
            variances[device].append(math.fsum(it for it, _ in found) / sum(count for _, count in found))
    return tuple(
        ProcessSpread(
            device_name=device,
            deviation=math.sqrt(median(found)),
            freedom=freedom[device] if len(found) == 1 else max(freedom[device] // 2, 1),
            runs=len(found),
        )
        for device, found in variances.items()
    )


def _squares(locations: Sequence[float]) -> float:
    mean = math.fsum(locations) / len(locations)
    return math.fsum((it - mean) ** 2 for it in locations)


def _rows(evidence: Evidence) -> Iterator[tuple[str, list[list[float]]]]:
    """For each workload its device, and the log speedups of each row by process, where there are several."""
    speedups = Speedups(evidence)
    for workload, planned in enumerate(evidence.run.header.workloads):
        device, clock = device_name(evidence, planned.workload.device), default_clock(planned)
        found = [
            [it.estimate for it in speedups.within(number, phase, clock=clock).values() if _is_precise(it)]
            for number in evidence.cases_of(workload)
            if _is_rival(evidence, number)
            for phase in planned.phases
            if evidence.row(number, phase, clock=clock).status is Status.OK
        ]
        several = [locations for locations in found if len(locations) > 1]
        if device and several:
            yield device, several


def _is_precise(interval: Interval) -> bool:
    return interval.is_bounded and interval.relative_half_width <= WIDEST_WITHIN


def _is_rival(evidence: Evidence, number: int) -> bool:
    """True for a case of the reference's function that is compared with another implementation."""
    reference, case = evidence.reference(number), evidence.case(number)
    if reference is None or reference == number or case.reference:
        return False
    return case.function == evidence.case(reference).function
