"""What a check comes to: rows that looked slower are judged by fresh processes alone, and all together pass or not.

Screening lets few rows through by chance (false discoveries); confirming lets hardly any check turn red by chance
(Holm). Where both stages share a baseline's few processes, its luck is in both, and so Holm counts every row compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from lnbench.compared import ComparedRow, Comparison
from lnbench.comparison import busy_lines, compare_runs, compare_sides, judge_contrasts
from lnbench.contrasts import Contrast, Side, contrast_runs, contrast_sides, spreads_of
from lnbench.errors import ExitCode, most_telling
from lnbench.events import Confirming
from lnbench.evidence import Evidence
from lnbench.multiplicity import holm
from lnbench.record import Check, Run
from lnbench.units import format_change, format_percent
from lnbench.verdict import Verdict

MOST_INCONCLUSIVE = 0.20
"""The share of compared rows that may stay inconclusive (design, section 6)."""

LIFTABLE = (Verdict.INCONCLUSIVE, Verdict.MISSING, Verdict.NOT_COMPARABLE)
"""What `--allow` can let pass."""

_EVERY_LATER = 1 << 31


@dataclass(frozen=True, slots=True)
class Decision:
    """A check's rows, and each exit code that applies with the sentence that says why."""

    comparison: Comparison
    findings: tuple[tuple[ExitCode, str], ...]

    @property
    def exit_code(self) -> ExitCode:
        """The one that tells most."""
        return most_telling(code for code, _ in self.findings)

    @property
    def regressions(self) -> tuple[ComparedRow, ...]:
        """The rows that fresh processes confirmed to be slower."""
        return tuple(row for row in self.comparison.rows if row.verdict is Verdict.SLOWER)

    @property
    def headline(self) -> str:
        """The sentence that says most."""
        return next(text for code, text in self.findings if code is self.exit_code)


def decide(run: Run) -> Decision:
    """The decision about a check from its journal alone. Raises ValueError for a run that is no check."""
    check = checked(run)
    confirming = next((event for event in run.log.others if isinstance(event, Confirming)), None)
    first = confirming.first_process if confirming else _EVERY_LATER
    screening = run.among(range(first))
    screened = _compare(check, screening)
    rows = screened.rows
    if confirming:
        fresh = run.among(range(first, _EVERY_LATER))
        before, again = _contrasts(check, screening), _contrasts(check, fresh)
        rows = tuple(judge_in_two_stages(rows, before, again, shares_base=check.baseline is not None))
    rows = tuple(_unconfirmed(row) if row.verdict is Verdict.SLOWER and not row.confirmed else row for row in rows)
    comparison = replace(screened, rows=rows, busy=busy_lines(baseline_run(check), run))
    return Decision(comparison, tuple(_findings(run, check, comparison)))


def cases_to_confirm(run: Run) -> frozenset[int]:
    """The cases of a screened check that looked slower in some row, and what they are compared with."""
    side, found = Evidence(run), set()
    flagged = {row.key for row in _compare(checked(run), run).rows if row.verdict is Verdict.SLOWER}
    for number, case in enumerate(run.header.cases):
        key = run.key(case)
        if any(tuple(flag[:3]) == tuple(key) for flag in flagged):
            found |= {number, side.reference(number)}
    return frozenset(number for number in found if number is not None)


def checked(run: Run) -> Check:
    """What a run was held against; raises ValueError for a run that is no check."""
    if run.header.check is None:
        raise ValueError(f"run {run.header.run_id} is no check")
    return run.header.check


def baseline_run(check: Check) -> Run | None:
    """The run that a check holds its own against; None where both sides stand in one run."""
    if check.baseline is None:
        return None
    return Run.model_construct(header=check.baseline.header, events=check.baseline.events, torn=False)


def _compare(check: Check, run: Run) -> Comparison:
    base = baseline_run(check)
    if base is None:
        return compare_sides(run)
    return compare_runs(base, run, different=check.different, only_planned=check.narrowed)


def _contrasts(check: Check, run: Run) -> list[Contrast]:
    base = baseline_run(check)
    if base is None:
        return contrast_sides(Side(run), margin=None)
    different = frozenset(check.different)
    return contrast_runs(Side(base), Side(run), margin=None, different=different, only_planned=check.narrowed)


def judge_in_two_stages(
    screened: Sequence[ComparedRow], before: Sequence[Contrast], again: Sequence[Contrast], *, shares_base: bool
) -> list[ComparedRow]:
    """The screened rows, with those that looked slower replaced by what fresh processes say of them.

    `before`: the contrasts that were screened. `again`: the same rows in fresh processes. `shares_base`: both stages
    are held against the same few processes of a baseline.
    """
    flagged = {row.key: row for row in screened if row.verdict is Verdict.SLOWER}
    asked = [contrast for contrast in again if contrast.key in flagged]
    compared = sum(row.verdict.is_compared for row in screened)
    judged = judge_contrasts(
        asked,
        correction=partial(holm, among=max(compared, len(asked)) if shares_base else None),
        spreads=spreads_of(before, again=asked),
    )
    found = {row.key: _told(flagged[row.key], row) for row in judged}
    return [found.get(row.key, row) for row in screened]


def _told(first: ComparedRow, fresh: ComparedRow) -> ComparedRow:
    """The row of the fresh processes, saying what was read at first."""
    is_confirmed = fresh.verdict is Verdict.SLOWER
    read = f"{format_change(first.slowdown or 1.0)} at first"
    outcome = "confirmed by fresh processes" if is_confirmed else "not confirmed by fresh processes"
    verdict = Verdict.INCONCLUSIVE if fresh.verdict is Verdict.MISSING else fresh.verdict
    return replace(fresh, verdict=verdict, reason=f"{read}, {outcome}: {fresh.reason}", confirmed=is_confirmed)


def _unconfirmed(row: ComparedRow) -> ComparedRow:
    reason = f"looks slower by {row.reason}, but fresh processes have not been asked"
    return replace(row, verdict=Verdict.INCONCLUSIVE, reason=reason, confirmed=False)


def _findings(run: Run, check: Check, comparison: Comparison) -> list[tuple[ExitCode, str]]:
    rows, counts = comparison.rows, comparison.counts
    compared = [row for row in rows if row.verdict.is_compared]
    found: list[tuple[ExitCode, str]] = []
    regressions = [row for row in rows if row.verdict is Verdict.SLOWER]
    if regressions:
        names = ", ".join(sorted({row.title for row in regressions}))
        found.append((ExitCode.REGRESSION, f"regression: {names} is slower in {_of(regressions, rows)}, confirmed"))
    evidence = Evidence(run)
    failed = [number for number in range(len(run.header.cases)) if evidence.status(number)[0].is_failure]
    if evidence.run_finished is not None and evidence.run_finished.interrupted:
        found.append((ExitCode.INTERRUPTED, "the check was interrupted: what was measured before is shown"))
    if failed:
        names = ", ".join(sorted({run.header.cases[number].title for number in failed}))
        found.append((ExitCode.CASE_FAILED, f"{_count(len(failed), 'case')} failed: {names}"))
    if not compared:
        found.append((ExitCode.NOTHING_MEASURED, "nothing was compared"))
    found += [(ExitCode.UNFIT, text) for text in _unknowns(check, comparison, compared)]
    if not found:
        told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
        found.append((ExitCode.FINE, f"no regression in {_count(len(rows), 'row')}: {', '.join(told)}"))
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
