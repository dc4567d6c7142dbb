"""A run made small: what each process found out about each row, in place of every turn. What a baseline keeps."""

from collections.abc import Iterator

import numpy as np

from lnbench.events import Condensed, Ended, Event, Noticed, RunFinished, WorkerStarted, WorkloadFinished
from lnbench.evidence import Evidence
from lnbench.observed import Launching, MachineLook, MemoryUse
from lnbench.planned import Stage, Status
from lnbench.record import Run
from lnbench.speedups import Speedups

KEPT = (WorkerStarted, WorkloadFinished, Ended, MemoryUse, Launching, MachineLook, Noticed, RunFinished, Condensed)
"""Events that tell how a run went, beside the samples."""


def condense(run: Run) -> Run:
    """The run with one Condensed event per process, case, phase and clock; verdicts about it stay what they are.

    A run that is condensed already, or a check's own baseline, is not carried along.
    """
    kept = (event for event in run.log.others if isinstance(event, KEPT))
    header = run.header.model_copy(update={"check": None})
    return Run.model_construct(header=header, events=(*_rows(run), *kept), torn=False)


def _rows(run: Run) -> Iterator[Event]:
    if not len(run.log.turns):
        return
    evidence = Evidence(run)
    speedups = Speedups(evidence)
    for number, case in enumerate(run.header.cases):
        planned = run.header.workloads[case.workload]
        status, reason = evidence.status(number)
        if status is Status.UNSTABLE:  # followed from conditions, which are not kept
            yield Ended(process=0, case=number, status=status, stage=Stage.TIMING, reason=reason)
        for phase in planned.phases:
            for clock in planned.clocks:
                row_status, why, series = evidence.row(number, phase, clock=clock)
                locations = speedups.locations(number, phase, clock=clock)
                copies = speedups.against_copy(number, phase, clock=clock)
                is_unstable = row_status is Status.UNSTABLE and status is not Status.UNSTABLE
                if is_unstable and not series:  # no sample was undisturbed
                    yield Condensed(
                        process=0, case=number, phase=phase, clock=clock, rounds=0, median_s=None, unstable=why
                    )
                for process, turns in series.items():
                    yield Condensed(
                        process=process,
                        case=number,
                        phase=phase,
                        clock=clock,
                        rounds=len(np.unique(turns.rounds)),
                        median_s=float(np.median(np.asarray(turns.seconds))),
                        log_speedup=locations.get(process),
                        log_copy=copies.get(process),
                        unstable=why if is_unstable else "",
                    )
