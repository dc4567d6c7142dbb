"""What one line of a journal can't know alone: whether it speaks of the cases and workloads that were planned."""

from collections.abc import Sequence
from typing import Protocol

from lnbench.events import PROBE_CASE, AnyEvent, Confirming, Noticed, Resumed, RunFinished, Turn, WorkerStarted
from lnbench.planned import PlannedCase, PlannedWorkload


class Planned(Protocol):
    """What was planned, as a header says it."""

    @property
    def workloads(self) -> Sequence[PlannedWorkload]:
        """In plan order."""

    @property
    def cases(self) -> Sequence[PlannedCase]:
        """In plan order."""


def plan_contradiction(plan: Planned) -> str:
    """What is wrong with a plan as a whole; empty when nothing is. Keys that stand twice would join runs wrongly."""
    seen: set[tuple[str, str, str]] = set()
    for number, case in enumerate(plan.cases):
        if case.workload >= len(plan.workloads):
            return f"cases.{number}: there is no workload {case.workload}"
        key = (plan.workloads[case.workload].id, case.implementation, case.norm_mode)
        if key in seen:
            return f"cases.{number}: {case.title[:60]!a} is planned twice on {key[0][:60]!a}"
        seen.add(key)
    return ""


def contradiction(plan: Planned, event: AnyEvent) -> str:
    """Why an event can't belong to a plan; empty when it can."""
    match event:
        case WorkerStarted() | RunFinished() | Resumed():
            return ""
        case Confirming():
            missing = next((number for number in event.cases if number >= len(plan.cases)), None)
            return "" if missing is None else f"there is no case {missing}"
    case, workload = getattr(event, "case", None), getattr(event, "workload", None)
    if case is not None and case >= len(plan.cases):
        return f"there is no case {case}"
    if workload is not None and workload >= len(plan.workloads):
        return f"there is no workload {workload}"
    if isinstance(event, Turn) and event.case != PROBE_CASE and plan.cases[event.case].workload != event.workload:
        return f"case {event.case} belongs to workload {plan.cases[event.case].workload}, not to {event.workload}"
    if isinstance(event, Noticed) and case is not None and workload is not None:
        return "" if plan.cases[case].workload == workload else f"case {case} does not belong to workload {workload}"
    return ""
