"""What a check can tell apart before it runs: from its baseline's spread, or from a short pilot of both versions."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lnbench.analysis.power import Power, power_of
from lnbench.conductor.listening import Observer
from lnbench.conductor.measuring import RunOptions, measure
from lnbench.conductor.preparation import Prepared
from lnbench.contrasts import Contrast, contrast_sides
from lnbench.plan import Plan
from lnbench.record import Check
from lnbench.sides import RowKey, Side, row_key
from lnbench.stages import baseline_run
from lnbench.verdict import LEAST_PROCESSES

PILOT_SHARE = 0.25
"""The part of the budget that a pilot spends: the spread it finds is a little too wide rather than too narrow."""


def pilot_plan(plan: Plan) -> Plan:
    """The plan with as few processes and as little time as still tell how far processes lie apart."""
    budget_s = plan.sampling.budget_s * PILOT_SHARE
    return replace(plan, sampling=plan.sampling.model_copy(update={"processes": LEAST_PROCESSES, "budget_s": budget_s}))


def expected_power(prepared: Prepared, check: Check, options: RunOptions, observer: Observer) -> list[Power]:
    """The power of every row of a check; without a baseline a pilot of both versions is measured for it.

    Raises NothingMeasuredError when no case can be measured here.
    """
    base = baseline_run(check)
    if base is not None:
        contrasts = list(_planned(Side(base), prepared.plan))
    else:
        with tempfile.TemporaryDirectory(prefix="lnbench-pilot-") as folder:
            pilot = replace(prepared, plan=pilot_plan(prepared.plan))
            outcome = measure(pilot, replace(options, folder=Path(folder, "run")), observer, check=check)
        contrasts = contrast_sides(Side(outcome.run), margin=None)
    return power_of(contrasts, processes=prepared.plan.sampling.processes)


def _planned(base: Side, plan: Plan) -> Iterator[Contrast]:
    """The baseline's rows that the plan is going to measure, each with the plan's margin."""
    margins = {
        RowKey(
            plan.workloads[case.workload].id, case.implementation, case.norm_mode, phase.value, clock.value
        ): case.margin
        for case in plan.cases
        if case.status is None
        for phase in plan.workloads[case.workload].phases
        for clock in plan.workloads[case.workload].clocks
    }
    for row in base.rows.values():
        key = row_key(row)
        if key in margins and row.median_s is not None and not base.is_reference(row):
            locations = base.locations(row)
            if locations:
                yield Contrast(key=key, margin=margins[key], base_row=row, head_row=None, base=locations, head={})
