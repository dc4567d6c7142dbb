"""What moved as a whole between two runs: a reference under its cases, a reference against the probe, the plan."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lnbench.across import mean_of
from lnbench.compared import ComparedRow
from lnbench.contrasts import RowKey, Side
from lnbench.stats import Interval
from lnbench.units import format_change, format_change_interval
from lnbench.verdict import LEAST_PROCESSES, Verdict, moved

LEAST_TOGETHER = 3
"""With fewer rows beside the reference, that they moved together tells nothing about the reference."""


def set_aside_common_moves(rows: Sequence[ComparedRow]) -> tuple[list[ComparedRow], list[str]]:
    """Where most rows of a workload and phase moved the same way, it is the reference that moved.

    Gives the rows, of which those that moved are judged no more, and a sentence for each such workload and phase.
    """
    together: dict[tuple[str, str, str], list[ComparedRow]] = defaultdict(list)
    for row in rows:
        if row.slowdown_low is not None and row.p_slower is not None:
            together[row.workload, row.phase, row.clock].append(row)
    notes: list[str] = []
    aside: dict[RowKey, str] = {}
    for (workload, phase, _), group in together.items():
        directions = Counter(map(_direction, group))
        way = 1 if directions[1] >= directions[-1] else -1
        movers = [row for row in group if _direction(row) == way]
        if len(group) < LEAST_TOGETHER or 2 * len(movers) <= len(group):
            continue
        typical = math.exp(sorted(_log_slowdown(row).estimate for row in movers)[len(movers) // 2])
        text = (
            f"{len(movers)} of {len(group)} rows moved together, by about {format_change(typical)}: "
            "it is the reference that moved"
        )
        notes.append(f"{workload}, {phase}: {text}")
        aside |= {row.key: text for row in movers}
    return [_undecided(row, aside.get(row.key)) for row in rows], notes


def reference_moves(base: Side, head: Side) -> Iterator[str]:
    """Where a reference itself moved against the probe's copy; advice, for copy speed differs between processes too."""
    for key, row in head.rows.items():
        old = base.rows.get(key)
        if old is None or not (head.is_reference(row) and base.is_reference(old)):
            continue
        before, now = list(base.against_copy(old).values()), list(head.against_copy(row).values())
        if base.run.header.run_id == head.run.header.run_id or min(len(before), len(now)) < LEAST_PROCESSES:
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


def _undecided(row: ComparedRow, text: str | None) -> ComparedRow:
    return row if text is None else replace(row, verdict=Verdict.INCONCLUSIVE, reason=text)


def _direction(row: ComparedRow) -> int:
    return moved(_log_slowdown(row), row.margin)


def _log_slowdown(row: ComparedRow) -> Interval:
    value, low, high = (math.log(number or 1.0) for number in (row.slowdown, row.slowdown_low, row.slowdown_high))
    return Interval(value, low, high, "process", 0)
