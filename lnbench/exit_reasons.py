"""Each exit code that applies to a check, with the sentence that says why."""

from collections.abc import Mapping, Sequence

from lnbench.compared import ComparedRow, Comparison
from lnbench.errors import ExitCode
from lnbench.evidence import Evidence
from lnbench.record import Check
from lnbench.sides import RowKey
from lnbench.units import format_percent
from lnbench.verdict import Verdict

MOST_INCONCLUSIVE = 0.20
"""The share of compared rows that may stay inconclusive (design, section 6)."""

LIFTABLE = (Verdict.INCONCLUSIVE, Verdict.MISSING, Verdict.NOT_COMPARABLE)
"""What `--allow` can let pass."""


def exit_reasons(
    evidence: Evidence, check: Check, comparison: Comparison, moves: Sequence[str], hidden: Mapping[RowKey, str]
) -> list[tuple[ExitCode, str]]:
    """What applies to a check, the code that passes only alone.

    `moves`: what got slower or faster beside the rows' ratios. `hidden`: the rows that a busy machine hid, with what it
    took of each.
    """
    rows, counts, cases = comparison.rows, comparison.counts, evidence.run.header.cases
    compared = [row for row in rows if row.verdict.is_compared]
    found: list[tuple[ExitCode, str]] = []
    regressions = [row for row in rows if row.verdict is Verdict.SLOWER]
    if regressions:
        names = ", ".join(sorted({row.title for row in regressions}))
        found.append((ExitCode.REGRESSION, f"regression: {names} is slower in {_of(regressions, rows)}, confirmed"))
    failed = [case for number, case in enumerate(cases) if evidence.status(number)[0].is_failure]
    if evidence.run_finished is not None and evidence.run_finished.interrupted:
        found.append((ExitCode.INTERRUPTED, "the check was interrupted: what was measured before is shown"))
    if failed:
        names = ", ".join(sorted({case.title for case in failed}))
        found.append((ExitCode.CASE_FAILED, f"{_count(len(failed), 'case')} failed: {names}"))
    if not compared:
        found.append((ExitCode.NOTHING_MEASURED, "nothing was compared"))
    found += [(ExitCode.UNFIT, text) for text in (*moves, *_left_open(rows, hidden))]
    found += [(ExitCode.UNFIT, text) for text in _unknowns(check, comparison, compared)]
    if not found:
        counted = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
        found.append((ExitCode.FINE, f"no regression in {_count(len(rows), 'row')}: {counted}"))
    return found


def _left_open(rows: Sequence[ComparedRow], hidden: Mapping[RowKey, str]) -> list[str]:
    """That rows looked slower, or may have, and fresh processes did not settle it.

    Neither the share nor `--allow` lifts that. `hidden`: the rows that a busy machine hid, with what it took of each.
    """
    left = [row for row in rows if row.confirmed is False and row.verdict is Verdict.INCONCLUSIVE]
    slower, unread = [row for row in left if row.key not in hidden], [row for row in left if row.key in hidden]
    found = []
    if slower:
        names = ", ".join(sorted({row.title for row in slower}))
        found.append(
            f"{_count(len(slower), 'row')} looked slower and remained undecided in fresh processes: {names}; measure "
            "again with more processes (--processes)"
        )
    if unread:
        names = ", ".join(sorted({row.title for row in unread}))
        found.append(
            f"{_count(len(unread), 'row')} disturbed by other processes remained undecided in fresh processes: {names} "
            f"({hidden[unread[0].key]}); free a core and measure again"
        )
    return found


def _unknowns(check: Check, comparison: Comparison, compared: Sequence[ComparedRow]) -> list[str]:
    """What is too much unknown to pass, one sentence each."""
    rows, counts, found = comparison.rows, comparison.counts, []
    open_rows = counts[Verdict.INCONCLUSIVE]
    most = 0.0 if check.strict else MOST_INCONCLUSIVE
    if Verdict.INCONCLUSIVE not in check.allowed and compared and open_rows > most * len(compared):
        limit = "none may be" if check.strict else f"at most {format_percent(most)} may be"
        found.append(f"{open_rows} of {len(compared)} compared rows are inconclusive ({limit})")
    elif compared and not any(row.verdict.is_decided for row in compared):
        found.append(f"none of {_count(len(compared), 'row')} was decided: too little to pass")
    for verdict in (Verdict.MISSING, Verdict.NOT_COMPARABLE):
        if counts[verdict] and verdict not in check.allowed:
            found.append(f"{counts[verdict]} of {_count(len(rows), 'row')} {_is(counts[verdict])} {verdict}")
    if check.missing and Verdict.MISSING not in check.allowed:
        found.append(f"the new side has no {', '.join(check.missing)}")
    return found


def _of(some: Sequence[ComparedRow], rows: Sequence[ComparedRow]) -> str:
    return f"{len(some)} of {_count(len(rows), 'row')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
