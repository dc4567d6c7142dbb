"""The tables of `lnbench list` and of `--dry-run`; imported when one is asked for."""

from collections import Counter

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from lnbench.conductor.preparation import shipped_suites
from lnbench.plan import Plan
from lnbench.planned import PlannedCase
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.suite import read_suite
from lnbench.units import format_duration

FEW_CASES = 60
"""Up to this many cases are listed one by one in a dry run; more are summed up."""


def suites_table() -> RenderableType:
    """Every shipped suite with the question that it answers."""
    table = _table("name", "question")
    for name, path in shipped_suites().items():
        suite = read_suite(path.read_text(encoding="utf-8"), source=path.name)
        table.add_row(name, _text(" ".join(suite.description.split())))
    return table


def cases_table(plan: Plan) -> RenderableType:
    """Every case of a plan with what would become of it."""
    table = _table("workload", "implementation", "phases", "here")
    for case in plan.cases:
        planned = plan.workloads[case.workload]
        table.add_row(_text(planned.id), _text(case.title), Text(" ".join(planned.phases)), _text(_fate(case)))
    return Group(table, plan_line(plan))


def dry_run(plan: Plan) -> RenderableType:
    """What a run would do: every case when they are few, else counts; and every reason for leaving some out."""
    if len(plan.cases) <= FEW_CASES:
        return cases_table(plan)
    table = _table("implementation", "function", "cases", "to measure")
    total = Counter((case.title, case.function) for case in plan.cases)
    measured = Counter((case.title, case.function) for case in plan.cases if case.status is None)
    for (title, function), count in total.items():
        table.add_row(_text(title), function, str(count), str(measured[title, function]))
    return Group(table, plan_line(plan))


ENERGY_S = 11.0
"""What the energy of a case takes: for each of two kinds of call two idle seconds, two of calls, and warm-up."""


def plan_line(plan: Plan, *, energy: bool = False) -> RenderableType:
    """How many cases there are, what is left out and why, and about how long it takes; `energy` takes more."""
    workloads = len({case.workload for case in plan.cases if case.status is None})
    sampling = plan.sampling
    lines = [
        f"plan: {_count(plan.measurable, 'case')} on {_count(workloads, 'workload')}, "
        f"{_count(sampling.processes, 'process', 'processes')} with {sampling.budget_s:g} s a workload; "
        f"about {format_duration(plan.estimated_s)}"
    ]
    extra_s = plan.most_timed_s - plan.timed_s
    if extra_s >= 1:
        lines[0] += f", up to {format_duration(extra_s)} more on a busy machine"
    lines += [f"  {status}: {_count(count, 'case')}: {reason}" for (status, reason), count in plan.set_aside.items()]
    if energy:
        more_s = plan.measurable * ENERGY_S
        lines.append(f"  energy: about {format_duration(more_s)} more, where there is a counter")
    return Text("\n".join(plain(line) for line in lines))


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def _fate(case: PlannedCase) -> str:
    return "measured" if case.status is None else f"{case.status}: {case.reason}"


def _text(value: str) -> Text:
    """Text from outside, shown as it is."""
    return Text(plain(value))


def _table(*heads: str) -> WholeTable:
    table = WholeTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table
