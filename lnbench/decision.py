"""What a check comes to: rows that looked slower are judged by fresh processes alone, and all together pass or not.

Screening lets few rows through by chance (false discoveries); confirming lets hardly any check turn red by chance
(Holm). Where both stages share a baseline's few processes, its luck is in both, and so Holm counts every row compared.

Against a baseline, what fresh processes confirm is a ratio to the reference, so who moved is settled last: rows that
moved make exit 1, a reference that moved makes exit 3, and so does whatever stays open. A row that looked slower never
passes unless fresh processes found it the same or faster.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

from lnbench.arbitration import Group, Mover, Place, everything_slower, groups_of
from lnbench.compared import ComparedRow, Comparison
from lnbench.comparison import busy_lines, compare_between, compare_within, judge_contrasts
from lnbench.contrasts import Contrast, RowKey, Side, contrast_runs, contrast_sides, spreads_of
from lnbench.errors import ExitCode, most_telling
from lnbench.events import Confirming
from lnbench.evidence import Evidence
from lnbench.multiplicity import Correction, false_discovery, holm
from lnbench.record import Check, Run
from lnbench.units import format_change, format_percent
from lnbench.verdict import Verdict

MOST_INCONCLUSIVE = 0.20
"""The share of compared rows that may stay inconclusive (design, section 6)."""

LIFTABLE = (Verdict.INCONCLUSIVE, Verdict.MISSING, Verdict.NOT_COMPARABLE)
"""What `--allow` can let pass."""

OTHER_MACHINE = frozenset({"machine", "threads", "allocator"})
"""Conditions that change times by themselves: where one of them may differ, times of two runs say nothing."""


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


class _Stage:
    """One stage of a check: its processes, held against the baseline or against the old version beside them."""

    def __init__(self, check: Check, run: Run, base: Side | None) -> None:
        self.run = run
        self._base = base
        self._head = Side(run)
        self._is_same_machine = not OTHER_MACHINE & set(check.different)
        if base is None:
            self.contrasts = contrast_sides(self._head, margin=None)
        else:
            different = frozenset(check.different)
            self.contrasts = contrast_runs(
                base, self._head, margin=None, different=different, only_planned=check.narrowed
            )

    @property
    def base_evidence(self) -> Evidence | None:
        """What the baseline found out; None without one."""
        return None if self._base is None else self._base.evidence

    @cached_property
    def comparison(self) -> Comparison:
        """Every row, judged among all; one that is unstable or has too few processes is flagged where it reads slower.

        More work can use up a CPU quota and so make its own row unstable, and lose more processes to a busy machine.
        """
        if self._base is None:
            found = compare_within(self._head, self.contrasts)
        else:
            found = compare_between(self._base, self._head, self.contrasts)
        unjudged = {it.key for it in self.contrasts if it.is_unstable or it.has_few_processes}
        rows = (
            replace(row, verdict=Verdict.SLOWER) if row.key in unjudged and _reads_slower(row) else row
            for row in found.rows
        )
        return replace(found, rows=tuple(rows))

    @cached_property
    def groups(self) -> Mapping[RowKey, Group]:
        """The group of each row, against a baseline; without one each row has its old version as the reference."""
        if self._base is None:
            return {}
        return groups_of(self._base, self._head, self.contrasts, self.comparison.rows)

    def shifts(self, correction: Correction) -> dict[Place, str]:
        """What got slower beside rows relative to their reference, one sentence for each group."""
        groups = list({group.place: group for group in self.groups.values()}.values())
        slower = everything_slower(groups, correction=correction) if self._is_same_machine else {}
        references = {group.place: group.slower_reference for group in groups if group.slower_reference}
        return slower | references

    @cached_property
    def crowded_out(self) -> dict[RowKey, str]:
        """The undecided rows of which a busy machine took more than of the base, with what it took."""
        return _crowded_out(self.comparison.rows, self.contrasts)

    @property
    def flagged(self) -> list[ComparedRow]:
        """The rows to measure again: those that look slower, and those that a busy machine may have hidden."""
        return [row for row in self.comparison.rows if row.verdict is Verdict.SLOWER or row.key in self.crowded_out]


def decide(run: Run) -> Decision:
    """The decision about a check from its journal alone. Raises ValueError for a run that is no check."""
    check, evidence = checked(run), Evidence(run)
    screening, fresh = _stages(check, run)
    rows = list(screening.comparison.rows)
    if fresh is not None:
        shares_base = check.baseline is not None
        rows = judge_in_two_stages(rows, screening.contrasts, fresh.contrasts, shares_base=shares_base)
    rows = [_unasked(row, screening.crowded_out.get(row.key, "")) for row in rows]
    settled = settle(rows, screening.groups, fresh.groups if fresh is not None else {})
    comparison = replace(
        screening.comparison,
        rows=tuple(settled.rows),
        notes=(*settled.notes, *screening.comparison.notes),
        busy=busy_lines(screening.base_evidence, evidence),
    )
    moves = [*settled.moves, *_shifts(screening, fresh)]
    still = fresh.crowded_out if fresh is not None else {}
    hidden = {key: still.get(key, lost) for key, lost in screening.crowded_out.items()}
    return Decision(comparison, tuple(_findings(evidence, check, comparison, moves, hidden)))


def cases_to_confirm(run: Run) -> frozenset[int]:
    """The cases of a screened check to measure again in fresh processes.

    Of two versions: those that looked slower in some row, or undecided ones of which a busy machine took more than of
    the old version, and what they are compared with. Against a baseline: all cases of the workloads with such a row, or
    in which everything looked slower. Among fewer neighbours than in the baseline a case can be 3 % off
    (`benchmarks/hot.py`), and rows that stay the same show that the reference did.
    """
    check = checked(run)
    screening, _ = _stages(check, run)
    flagged = screening.flagged
    if check.baseline is not None:
        names = {row.workload for row in flagged} | {place.workload for place in screening.shifts(false_discovery)}
        return frozenset(
            number for number, case in enumerate(run.header.cases) if run.header.workloads[case.workload].id in names
        )
    side, found = Evidence(run), set()
    keys = {tuple(row.key[:3]) for row in flagged}
    for number, case in enumerate(run.header.cases):
        if tuple(run.key(case)) in keys:
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


def _stages(check: Check, run: Run) -> tuple[_Stage, _Stage | None]:
    """The screening processes, and the fresh ones that were asked about what looked slower."""
    base = baseline_run(check)
    side = None if base is None else Side(base)
    confirming = next((event for event in run.log.others if isinstance(event, Confirming)), None)
    if confirming is None:
        return _Stage(check, run, side), None
    first = confirming.first_process
    fresh = run.among(range(first, sys.maxsize))
    return _Stage(check, run.among(range(first)), side), _Stage(check, fresh, side)


class Settled(NamedTuple):
    """Rows when it is settled who moved: undecided where they did not move, or may not have.

    `moves`: a sentence for each reference that moved or may have. `notes`: one for each group of rows that all moved.
    """

    rows: list[ComparedRow]
    moves: list[str]
    notes: list[str]


def settle(rows: Sequence[ComparedRow], screened: Mapping[RowKey, Group], fresh: Mapping[RowKey, Group]) -> Settled:
    """Settle who moved, for every row that was confirmed to be slower than in the baseline.

    `screened`, `fresh`: the groups as the screening and the fresh processes have them.
    """
    groups: dict[Place, Group] = {}
    ruled: dict[tuple[Place, Mover], list[ComparedRow]] = defaultdict(list)
    found: list[ComparedRow] = []
    for row in rows:
        group = _group_of(row.key, screened, fresh) if row.verdict is Verdict.SLOWER else None
        if group is None:
            found.append(row)
            continue
        mover = group.mover(row)
        groups[group.place] = group
        ruled[group.place, mover].append(row)
        found.append(row if mover is Mover.ROW else _not_the_row(row, mover, group.place.reference))
    texts = {(place, mover): groups[place].explain(mover, them) for (place, mover), them in ruled.items()}
    moves = [text for (_, mover), text in texts.items() if mover is not Mover.ROW]
    notes = [
        text
        for (place, mover), text in texts.items()
        if mover is Mover.ROW and len(ruled[place, mover]) == len(groups[place].rows)
    ]
    return Settled(found, moves, notes)


def _group_of(key: RowKey, screened: Mapping[RowKey, Group], fresh: Mapping[RowKey, Group]) -> Group | None:
    """A row's group as the fresh processes have it; what they did not measure is taken from the screening."""
    first, again = screened.get(key), fresh.get(key)
    if first is None or again is None:
        return again or first
    measured = {row.key for row in again.rows}
    rows = (*again.rows, *(row for row in first.rows if row.key not in measured))
    copies = again if again.over_copy is not None else first
    return replace(
        again, rows=rows, over_copy=copies.over_copy, rows_over_copy=copies.rows_over_copy, no_copy=copies.no_copy
    )


def _reads_slower(row: ComparedRow) -> bool:
    """True for a row with evidence and size of a slowdown, whatever its verdict."""
    return (row.slowdown_low or 0.0) > 1 and (row.slowdown or 0.0) > 1 + row.margin


def _shifts(screening: _Stage, fresh: _Stage | None) -> list[str]:
    """What got slower beside the rows' ratios, and again in fresh processes where they measured it.

    Where a busy machine left the screening too few processes of a reference, what the fresh ones show counts alone.
    """
    found = screening.shifts(false_discovery)
    if fresh is None or not fresh.groups:
        return list(found.values())
    known = {group.place for group in screening.groups.values() if group.own_time is not None}
    measured = {group.place for group in fresh.groups.values()}
    again = fresh.shifts(partial(holm, among=max(len(screening.groups), len(fresh.groups))))
    told = [again.get(place, text) for place, text in found.items() if place in again or place not in measured]
    return told + [text for place, text in again.items() if place not in found and place not in known]


def _not_the_row(row: ComparedRow, mover: Mover, reference: str) -> ComparedRow:
    why = f"{reference} got faster" if mover is Mover.REFERENCE else f"{reference} may have become faster"
    return replace(row, verdict=Verdict.INCONCLUSIVE, reason=f"{row.reason}; but {why}")


def judge_in_two_stages(
    screened: Sequence[ComparedRow], before: Sequence[Contrast], again: Sequence[Contrast], *, shares_base: bool
) -> list[ComparedRow]:
    """The screened rows, with those that looked slower, or may have, replaced by what fresh processes say of them.

    `before`: the contrasts that were screened. `again`: the same rows in fresh processes. `shares_base`: both stages
    are held against the same few processes of a baseline.
    """
    crowded = _crowded_out(screened, before)
    flagged = {row.key: row for row in screened if row.verdict is Verdict.SLOWER or row.key in crowded}
    asked = [contrast for contrast in again if contrast.key in flagged]
    compared = sum(row.verdict.is_compared for row in screened)
    judged = judge_contrasts(
        asked,
        correction=partial(holm, among=max(compared, len(asked)) if shares_base else None),
        spreads=spreads_of(before, again=asked),
    )
    still = _crowded_out(judged, asked)
    found = {row.key: _judged_again(flagged[row.key], row, crowded.get(row.key), still.get(row.key)) for row in judged}
    return [found.get(row.key, row) for row in screened]


def _crowded_out(rows: Sequence[ComparedRow], contrasts: Sequence[Contrast]) -> dict[RowKey, str]:
    open_ones = {row.key for row in rows if row.verdict is Verdict.INCONCLUSIVE}
    return {it.key: it.lost for it in contrasts if it.key in open_ones and it.is_crowded_out}


def _judged_again(first: ComparedRow, fresh: ComparedRow, lost: str | None, still_lost: str | None) -> ComparedRow:
    """The row of the fresh processes, saying what was read at first. `lost`: of a row that was not read then."""
    is_confirmed = fresh.verdict is Verdict.SLOWER
    read = f"{lost or format_change(first.slowdown or 1.0)} at first"
    outcome = f"{'' if is_confirmed else 'not '}{'found slower in' if lost else 'confirmed by'} fresh processes"
    verdict = Verdict.INCONCLUSIVE if fresh.verdict is Verdict.MISSING else fresh.verdict
    why = f"{fresh.reason} ({still_lost})" if still_lost and still_lost != fresh.reason else fresh.reason
    return replace(fresh, verdict=verdict, reason=f"{read}, {outcome}: {why}", confirmed=is_confirmed)


def _unasked(row: ComparedRow, lost: str) -> ComparedRow:
    """The row as undecided where fresh processes should have judged it and did not."""
    if row.verdict is Verdict.SLOWER and not row.confirmed:
        why = f"looks slower ({row.reason})"
    elif lost and row.confirmed is None:
        why = lost
    else:
        return row
    reason = f"{why}; not measured again in fresh processes"
    return replace(row, verdict=Verdict.INCONCLUSIVE, reason=reason, confirmed=False)


def _findings(
    evidence: Evidence, check: Check, comparison: Comparison, moves: Sequence[str], hidden: Mapping[RowKey, str]
) -> list[tuple[ExitCode, str]]:
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
        told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
        found.append((ExitCode.FINE, f"no regression in {_count(len(rows), 'row')}: {', '.join(told)}"))
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
