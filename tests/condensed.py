"""Runs made of what each process found out about each row: as quick as plain numbers, and as whole as a baseline."""

from collections.abc import Iterable, Mapping, Sequence

import fabricate

from lnbench.events import Condensed, Confirming, Event
from lnbench.planned import PlannedCase
from lnbench.record import Baseline, Check, Run
from lnbench.workload import Clock, Phase

PHASE = Phase.FORWARD_BACKWARD


def workloads(count: int, *, phases=(PHASE,)):
    return [fabricate.workload((64 * (number + 1), 768), phases=phases) for number in range(count)]


def versions(count: int, *, margin=0.03) -> list[PlannedCase]:
    """An old and a new version on each of so many workloads: cases 2n and 2n + 1 on workload n."""
    return [
        fabricate.case(name, of=number, reference="mine@base", margin=margin)
        for number in range(count)
        for name in ("mine@base", "mine")
    ]


def suite(count: int, names: Sequence[str] = ("mine", "other", "third"), *, margin=0.03) -> list[PlannedCase]:
    """A reference, `fused`, and others beside it on each of so many workloads."""
    return [fabricate.case(name, of=number, margin=margin) for number in range(count) for name in ("fused", *names)]


def found(
    cases: Sequence[PlannedCase], logs: Mapping[int, Sequence[float]], *, first_process=0, phase=PHASE, copies=None
) -> list[Event]:
    """What so many processes found: for each case its log speedup over its reference, one per process.

    Cases that are not in `logs` are references. `copies`: log(copy / reference) per process, for references.
    """
    longest = max((len(values) for values in logs.values()), default=0)
    events: list[Event] = []
    for number, case in enumerate(cases):
        for place in range(len(logs[number]) if number in logs else longest):
            events.append(
                Condensed(
                    process=first_process + place,
                    case=number,
                    phase=phase,
                    clock=Clock.WALL,
                    rounds=100,
                    median_s=1e-4,
                    log_speedup=logs[number][place] if number in logs else 0.0,
                    log_copy=copies[place] if copies is not None and number not in logs else None,
                )
            )
        assert case.workload >= 0
    return events


def run(cases: Sequence[PlannedCase], events: Iterable[Event], *, run_id="made", **fields) -> Run:
    """A condensed run of these cases, each workload with one phase."""
    count = max(case.workload for case in cases) + 1
    made = workloads(count)
    if cases[0].reference:
        made = [workload.model_copy(update={"reference": cases[0].reference}) for workload in made]
    return fabricate.run(made, cases, events, run_id=run_id, **fields)


def check_of(base: Run | None = None, **fields) -> Check:
    """A check against a run; without one, of two versions."""
    if base is None:
        return Check(source="old.py", **fields)
    return Check(
        source="baseline.jsonl", baseline=Baseline(digest="0" * 64, header=base.header, events=base.events), **fields
    )


def confirming(cases: Iterable[int], *, first_process=3) -> Confirming:
    return Confirming(first_process=first_process, cases=tuple(cases))
