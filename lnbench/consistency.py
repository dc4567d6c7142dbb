"""What one line of a journal can't know alone: whether it speaks of the cases and workloads that were planned."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from lnbench.events import PROBE_CASE, AnyEvent, Confirming, Noticed, Resumed, RunFinished, Turn, WorkerStarted
from lnbench.planned import PlannedCase, PlannedWorkload

T = TypeVar("T")


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
    again = _first_repeat([workload.id for workload in plan.workloads], lambda name: name)
    if again is not None:
        return f"workloads.{again}: the id {plan.workloads[again].id[:60]!a} stands twice"
    for number, case in enumerate(plan.cases):
        if case.workload >= len(plan.workloads):
            return f"cases.{number}: there is no workload {case.workload}"
    again = _first_repeat(plan.cases, lambda case: (case.workload, case.implementation, case.norm_mode))
    if again is not None:
        return f"cases.{again}: {plan.cases[again].title[:60]!a} is planned twice on one workload"
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


def _first_repeat(values: Sequence[T], key: Callable[[T], object]) -> int | None:
    """The number of the first value whose key stood before."""
    seen: set[object] = set()
    for number, value in enumerate(values):
        found = key(value)
        if found in seen:
            return number
        seen.add(found)
    return None
