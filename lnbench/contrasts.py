"""Rows of two sides brought together: what is held against what, and why some rows can't be compared."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from lnbench.across import Mean, Spread, mean_of
from lnbench.conditions import obstacles
from lnbench.crowding import ALL_LEFT, ProcessesLeft
from lnbench.planned import Status
from lnbench.row_summary import RowSummary
from lnbench.sides import RowKey, Side, is_same_run, row_key
from lnbench.verdict import LEAST_PROCESSES, Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One row to be judged. `head` and `base`: log speedups by process over what they share.

    `base` is empty where head was timed against the base itself. `finding` stands where nothing is left to judge; where
    a side is unstable, what its rounds read is still there. `base_left`, `head_left`: how many processes of each count.
    """

    key: RowKey
    margin: float
    base_row: RowSummary | None
    head_row: RowSummary | None
    base: Mapping[int, float]
    head: Mapping[int, float]
    is_paired: bool = False
    finding: Finding | None = None
    base_left: ProcessesLeft = ALL_LEFT
    head_left: ProcessesLeft = ALL_LEFT

    @property
    def has_few_processes(self) -> bool:
        """True where a side has too few processes for a verdict, and both have some."""
        sides = [len(self.head)] if self.is_paired else [len(self.head), len(self.base)]
        return self.finding is None and 0 < min(sides) < LEAST_PROCESSES

    @property
    def is_crowded_out(self) -> bool:
        """True where a busy machine took more of head than of base, so that an open verdict may hide a slowdown.

        A row that got slower has longer samples, of which more are disturbed; and one with more threads than cores
        disturbs itself. Where both sides are unstable, base can be read and head can't.
        """
        if self.finding is not None and self.finding.verdict is not Verdict.INCONCLUSIVE:
            return False
        base_share = 0.0 if _is_unstable(self.base_row) else self.base_left.share
        if self.head_left.share < base_share:
            return True
        base_processes = self.base_left.counting if self.is_paired else len(self.base)
        return _is_unstable(self.head_row) and len(self.head) < 2 <= base_processes

    @property
    def lost(self) -> str:
        """What other processes took of head, for a sentence."""
        counting, measured = self.head_left
        if measured and self.finding is None:
            gone = measured - counting
            return f"{gone} of {measured} processes {'was' if gone == 1 else 'were'} disturbed by other processes"
        return self.finding.reason if self.finding is not None else "disturbed by other processes"

    @property
    def is_unstable(self) -> bool:
        """True where the machine spoiled a side, and both sides have turns all the same."""
        is_spoiled = self.finding is not None and self.finding.verdict is Verdict.INCONCLUSIVE
        return is_spoiled and bool(self.head and (self.base or self.is_paired))

    @property
    def kind(self) -> tuple[str, ...]:
        """Rows of one kind lie about equally far apart from process to process: one implementation, many workloads."""
        row = self.head_row or self.base_row
        return (self.key.implementation, self.key.norm_mode, self.key.phase, self.key.clock, row.device if row else "")

    def difference(self, spreads: "Spreads") -> Mean:
        """The log slowdown: head's log time less base's, each over what they share."""
        head = mean_of(list(self.head.values()), pooled=spreads.head.without(self.kind, self.key))
        if self.is_paired:
            return -head
        return mean_of(list(self.base.values()), pooled=spreads.base.without(self.kind, self.key)) - head


class Spreads(NamedTuple):
    """How much processes vary on either side, by kind of row."""

    base: Spread
    head: Spread


def spreads_of(contrasts: Iterable[Contrast], *, again: Iterable[Contrast] = ()) -> Spreads:
    """The spreads that moderate each row's own: those of the other rows of its kind.

    `again`: the same rows in further processes of head, against the same base.
    """
    found = Spreads(Spread(), Spread())
    for contrast in contrasts:
        if contrast.finding is None:
            found.base.add(contrast.kind, contrast.key, list(contrast.base.values()))
            found.head.add(contrast.kind, contrast.key, list(contrast.head.values()))
    for contrast in again:
        if contrast.finding is None:
            found.head.add(contrast.kind, contrast.key, list(contrast.head.values()))
    return found


def contrast_runs(
    base: Side, head: Side, *, margin: float | None, different: frozenset[str], only_planned: bool = False
) -> list[Contrast]:
    """Every row of base that has times with its row of head. References are left out: they read 1 by definition.

    `different`: conditions that need not match. `only_planned`: rows that head never planned are left out, because
    head was asked for a part.
    """
    partners = _join(base, head)
    found = []
    for key, row in base.rows.items():
        partner = partners.get(key)
        if not _was_measured(row) or base.is_reference(row) or (only_planned and partner is None):
            continue
        found.append(_contrast(base, head, row, partner, margin=margin, different=different))
    return found


def contrast_sides(run: Side, *, margin: float | None) -> list[Contrast]:
    """Every row of a new version with the row of the old one, where both took turns in one run."""
    found = []
    for key, row in run.rows.items():
        reference = run.evidence.reference(row.case)
        if reference is None or reference == row.case or not run.evidence.case(row.case).reference:
            continue
        base_row = run.rows.get(key._replace(implementation=run.evidence.reference_name(row.case)))
        if base_row is None or not (_was_measured(base_row) or _was_measured(row)):
            continue
        planned = run.evidence.case(row.case)
        finding = _unfit(base_row, there="the base") or _unfit(row, there="the head")
        found.append(
            Contrast(
                key=key,
                margin=planned.margin if margin is None else margin,
                base_row=base_row,
                head_row=row,
                base={},
                head=run.locations(row),
                is_paired=True,
                finding=finding,
                base_left=run.processes_left(base_row),
                head_left=run.processes_left(row),
            )
        )
    return [_settled(contrast) for contrast in found]


def _contrast(
    base: Side,
    head: Side,
    row: RowSummary,
    partner: RowSummary | None,
    *,
    margin: float | None,
    different: frozenset[str],
) -> Contrast:
    planned = base.evidence.case(row.case) if partner is None else head.evidence.case(partner.case)
    contrast = Contrast(
        key=row_key(partner or row),
        margin=planned.margin if margin is None else margin,
        base_row=row,
        head_row=partner,
        base={},
        head={},
    )
    if partner is None:
        return replace(contrast, finding=Finding(Verdict.MISSING, "head has no such row"))
    if is_same_run(base.run.header, head.run.header):
        return replace(contrast, finding=Finding(Verdict.SAME, "the same run"))
    # What could not be measured in other circumstances is no regression: those are told first.
    differences = obstacles(base.circumstances(row), head.circumstances(partner), allowed=different)
    if differences:
        return replace(contrast, finding=Finding(Verdict.NOT_COMPARABLE, "; ".join(map(str, differences))))
    finding = _unfit(partner, there="head") or _unfit(row, there="base")
    return _settled(
        replace(
            contrast,
            base=base.locations(row),
            head=head.locations(partner),
            finding=finding,
            base_left=base.processes_left(row),
            head_left=head.processes_left(partner),
        )
    )


def _settled(contrast: Contrast) -> Contrast:
    """The contrast with its finding where a side took no turns beside its reference."""
    if contrast.finding is None and not (contrast.head and (contrast.base or contrast.is_paired)):
        side, row = ("base", contrast.base_row) if contrast.head else ("head", contrast.head_row)
        reference = row.reference if row else ""
        reason = f"{side} has no turns of the reference, {reference}, in the same rounds"
        return replace(contrast, finding=Finding(Verdict.MISSING, reason))
    return contrast


def _is_unstable(row: RowSummary | None) -> bool:
    return row is not None and row.status is Status.UNSTABLE


def _was_measured(row: RowSummary) -> bool:
    """True for a row with times, and for one of which the machine spoiled them all."""
    return row.median_s is not None or _is_unstable(row)


def _unfit(row: RowSummary, *, there: str) -> Finding | None:
    """Why there is nothing to judge: no times, or times that the machine spoiled."""
    why = f": {row.reason}" if row.reason else ""
    if row.status is Status.UNSTABLE:
        return Finding(Verdict.INCONCLUSIVE, f"{there} is unstable{why}")
    if row.median_s is None:
        return Finding(Verdict.MISSING, f"{there} ended as {row.status}{why}")
    return None


def _join(base: Side, head: Side) -> dict[RowKey, RowSummary]:
    """Head's row for each of base's: by key, and else the one that differs in threads or allocator alone."""
    found = {key: head.rows[key] for key in base.rows.keys() & head.rows.keys()}
    loose: dict[tuple[object, ...], list[RowKey]] = defaultdict(list)
    for key in head.rows.keys() - base.rows.keys():
        loose[_loose_key(head, key)].append(key)
    asking: dict[tuple[object, ...], list[RowKey]] = defaultdict(list)
    for key in base.rows.keys() - head.rows.keys():
        asking[_loose_key(base, key)].append(key)
    for alike, keys in asking.items():
        if len(keys) == len(loose.get(alike, ())) == 1:
            found[keys[0]] = head.rows[loose[alike][0]]
    return found


def _loose_key(side: Side, key: RowKey) -> tuple[object, ...]:
    row = side.rows[key]
    workload = side.run.header.workloads[side.evidence.case(row.case).workload].workload
    return (replace(workload, threads=1, allocator="", label=""), *key[1:])
