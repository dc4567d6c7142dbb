"""How far processes of a machine class lie apart, from runs of several processes: what a single process can't show."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from lnbench.evidence import Evidence
from lnbench.planned import Environment, ProcessSpread, Status
from lnbench.record import Header, Run
from lnbench.speedups import Speedups
from lnbench.summaries import device_name
from lnbench.view import default_clock


def is_of_machine_class(header: Header, environment: Environment) -> bool:
    """True for a run of several processes on such a machine: the same processor and as many cores.

    Versions do not count. How far processes lie apart comes from the layout of memory and the placement of threads, and
    a spread from before an update is closer to the truth than none.
    """
    theirs = header.environment
    same = ("machine", "cpu", "physical_cores")
    return header.sampling.processes > 1 and all(getattr(theirs, it) == getattr(environment, it) for it in same)


def process_spread(runs: Iterable[Run]) -> tuple[ProcessSpread, ...]:
    """The pooled standard deviation between processes of log speedups, by device.

    Over all rows that could be the fastest: of the reference's function, verified, stable, on the clock that tables
    show. An implementation that was compared with its own older version is left out: the two are much more alike than
    rivals are. The mean of variances, and not their median: rows differ in how far their processes lie apart, and a
    lead has to be beyond that of the wide ones too. Rows of a workload share the reference's times, so a workload
    counts once for the degrees of freedom.
    """
    squares: dict[str, float] = defaultdict(float)
    differences: Counter[str] = Counter()
    freedom: Counter[str] = Counter()
    of_runs: Counter[str] = Counter()
    for run in runs:
        seen = set()
        for device, rows in _rows(Evidence(run)):
            seen.add(device)
            freedom[device] += max(map(len, rows)) - 1
            for locations in rows:
                mean = math.fsum(locations) / len(locations)
                squares[device] += math.fsum((it - mean) ** 2 for it in locations)
                differences[device] += len(locations) - 1
        of_runs.update(seen)
    return tuple(
        ProcessSpread(
            device_name=device,
            deviation=math.sqrt(squares[device] / differences[device]),
            freedom=freedom[device],
            runs=of_runs[device],
        )
        for device in freedom
    )


def _rows(evidence: Evidence) -> Iterator[tuple[str, list[list[float]]]]:
    """For each workload its device, and the log speedups of each row by process, where there are several."""
    speedups = Speedups(evidence)
    for workload, planned in enumerate(evidence.run.header.workloads):
        device, clock = device_name(evidence, planned.workload.device), default_clock(planned)
        found = [
            list(speedups.locations(number, phase, clock=clock).values())
            for number in evidence.cases_of(workload)
            if _is_rival(evidence, number)
            for phase in planned.phases
            if evidence.row(number, phase, clock=clock).status is Status.OK
        ]
        several = [locations for locations in found if len(locations) > 1]
        if device and several:
            yield device, several


def _is_rival(evidence: Evidence, number: int) -> bool:
    """True for a case of the reference's function that is compared with another implementation."""
    reference, case = evidence.reference(number), evidence.case(number)
    if reference is None or reference == number or case.reference:
        return False
    return case.function == evidence.case(reference).function
