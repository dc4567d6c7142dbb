"""The stages of a check: its first processes screen every row, and fresh ones judge again what looked slower.

Screening lets few rows through by chance (false discoveries); confirming lets hardly any check turn red by chance
(Holm). Where both stages share a baseline's few processes, its luck is in both, and so Holm counts every row compared.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from lnbench.arbitration import Group, Place, everything_slower
from lnbench.compared import ComparedRow, Comparison
from lnbench.comparison import compare_between, compare_within, judge_contrasts
from lnbench.contrasts import Contrast, contrast_runs, contrast_sides, spreads_of
from lnbench.events import Confirming
from lnbench.evidence import Evidence
from lnbench.multiplicity import Correction, holm
from lnbench.record import Check, Run
from lnbench.reference_groups import groups_of
from lnbench.sides import RowKey, Side
from lnbench.units import format_change
from lnbench.verdict import Verdict

OTHER_MACHINE = frozenset({"machine", "threads", "allocator"})
"""Conditions that change times by themselves: where one of them may differ, times of two runs say nothing."""


class Stage:
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

    def moves(self, correction: Correction) -> dict[Place, str]:
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


def stages_of(check: Check, run: Run) -> tuple[Stage, Stage | None]:
    """The screening processes, and the fresh ones that were asked about what looked slower."""
    base = baseline_run(check)
    side = None if base is None else Side(base)
    confirming = next((event for event in run.log.others if isinstance(event, Confirming)), None)
    if confirming is None:
        return Stage(check, run, side), None
    first = confirming.first_process
    fresh = run.among(range(first, sys.maxsize))
    return Stage(check, run.among(range(first)), side), Stage(check, fresh, side)


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


def unconfirmed(row: ComparedRow, lost: str) -> ComparedRow:
    """The row as undecided where fresh processes should have judged it and did not."""
    if row.verdict is Verdict.SLOWER and not row.confirmed:
        why = f"looks slower ({row.reason})"
    elif lost and row.confirmed is None:
        why = lost
    else:
        return row
    reason = f"{why}; not measured again in fresh processes"
    return replace(row, verdict=Verdict.INCONCLUSIVE, reason=reason, confirmed=False)


def _reads_slower(row: ComparedRow) -> bool:
    """True for a row with evidence and size of a slowdown, whatever its verdict."""
    return (row.slowdown_low or 0.0) > 1 and (row.slowdown or 0.0) > 1 + row.margin
