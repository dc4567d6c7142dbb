"""What changed between two runs beside the rows that are compared: a reference against the probe, and the plan."""

from collections.abc import Iterator

from lnbench.across import mean_of
from lnbench.sides import Side, is_same_run
from lnbench.units import format_change, format_change_interval
from lnbench.verdict import LEAST_PROCESSES, moved


def reference_moves(base: Side, head: Side) -> Iterator[str]:
    """Where a reference itself moved against the probe's copy; advice, for copy speed differs between processes too."""
    for key, row in head.rows.items():
        old = base.rows.get(key)
        if old is None or not (head.is_reference(row) and base.is_reference(old)):
            continue
        before, now = list(base.against_copy(old).values()), list(head.against_copy(row).values())
        if is_same_run(base.run.header, head.run.header) or min(len(before), len(now)) < LEAST_PROCESSES:
            continue
        interval = (mean_of(before) - mean_of(now)).interval()
        if moved(interval, head.evidence.case(row.case).margin):
            value, low, high = interval.exp()
            read = f"{format_change(value)} {format_change_interval(low, high)}"
            yield f"{key.workload}, {key.phase}: the reference, {key.implementation}, against a plain copy: {read}"


def new_rows(base: Side, head: Side) -> Iterator[str]:
    """What head measured and base had not."""
    new = [key for key, row in head.rows.items() if row.median_s is not None and key not in base.rows]
    if new:
        names = ", ".join(dict.fromkeys(key.implementation for key in new))
        yield f"{len(new)} row{'s are' if len(new) != 1 else ' is'} new, with nothing to compare: {names}"
