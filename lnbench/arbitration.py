"""Who moved where rows changed relative to their reference: the rows, the reference, or everything together.

Between runs a slowdown is a ratio to the reference. A reference that got faster makes all of its rows read slower, and
fresh processes confirm that, because it is true of them as well. The plain copy that took turns in the same rounds
separates the two cases: reference over copy shows whether the reference moved, row over copy whether the row did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from lnbench.across import Mean
from lnbench.compared import ComparedRow
from lnbench.multiplicity import Correction
from lnbench.sides import RowKey
from lnbench.units import format_change, format_change_interval, format_percent
from lnbench.verdict import Verdict, is_within, moved

MOST_OF_ALL = 3.0
"""How many margins everything may get slower by the clock, the copy included, before a check asks what happened. Times
of two runs differ by more than the processes of one run show: a few percent from one day to the next are normal."""

NEW_BASELINE = "the reference changed: measure a new baseline"

MOST_NAMED = 3

REMEDY = (
    "compare both versions with --against, which needs no copy; or use more processes on a quieter machine; or, if the "
    "reference or its library changed, measure a new baseline"
)


class Mover(Enum):
    """Who moved where a row got slower relative to its reference."""

    ROW = auto()
    REFERENCE = auto()
    OPEN = auto()


class Place(NamedTuple):
    """What the rows of a group share: workload, phase, clock, and their reference's title."""

    workload: str
    phase: str
    clock: str
    reference: str

    def __str__(self) -> str:
        return f"{self.workload}, {self.phase}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rows of one reference as they were judged, and what is known beside their ratios to it.

    All changes are head / base in log, above 0 is slower, and None where a side has fewer than three processes of them.
    `over_copy`: the reference's, relative to the plain copy. `rows_over_copy`: the same of its rows that read slower.
    `own_time`, `copy_time`: the reference's and the copy's, by the clock alone. `no_copy`: why `over_copy` is None.
    """

    place: Place
    margin: float
    rows: tuple[ComparedRow, ...]
    over_copy: Mean | None
    rows_over_copy: Mapping[RowKey, Mean]
    own_time: Mean | None
    copy_time: Mean | None
    no_copy: str

    def mover(self, row: ComparedRow) -> Mover:
        """Who moved, for a row of the group that got slower relative to the reference.

        The copy decides where it can. The rows moved where the reference stayed within the margin of the copy, and
        where the row got slower than the copy as well. The reference moved where it got faster than the copy and the
        row did not get slower than the copy. What the copy leaves open, another row that stayed the same settles: a
        reference that moved takes the rows along that do not share its kernel, as `module` does.
        """
        if self.over_copy is not None:
            reference = self.over_copy.interval()
            if is_within(reference, self.margin) or self._is_slower_than_copy(row):
                return Mover.ROW
            if moved(reference, self.margin) < 0:
                return Mover.REFERENCE
        is_one_same = any(other.verdict is Verdict.SAME for other in self.rows if other.key != row.key)
        return Mover.ROW if is_one_same else Mover.OPEN

    def explain(self, mover: Mover, rows: Sequence[ComparedRow]) -> str:
        """The sentence about rows of the group that got slower and were ruled alike; what to do where it is no row."""
        title, names = self.place.reference, _names(rows)
        together = f"{self.place}: {names} got slower relative to {title}, typically by {_typical(rows)}"
        copy = "" if self.over_copy is None else f"{title} changed by {_read(self.over_copy)} relative to a plain copy"
        if mover is Mover.REFERENCE:
            return f"{NEW_BASELINE} ({together}; but {copy}, and {names} did not get slower than the copy)"
        if mover is Mover.OPEN:
            why = f"{copy}, and the margin is {format_percent(self.margin)}" if copy else self.no_copy
            return f"{together}, or {title} got faster: {why}; {REMEDY}"
        if self.over_copy is not None and not is_within(self.over_copy.interval(), self.margin):
            if all(map(self._is_slower_than_copy, rows)):
                own = (f"{row.title} by {_read(self.rows_over_copy[row.key])}" for row in rows)
                copy = f"{copy}, {', '.join(own)}"
            else:
                copy = ""
        return f"{together}; {copy or 'other rows of it stayed the same'}, so the rows moved"

    @property
    def slower_reference(self) -> str:
        """The sentence about a reference that got slower under rows that read faster; "" where it did not."""
        faster = [row for row in self.rows if row.verdict is Verdict.FASTER]
        if not faster or self.over_copy is None or not self.is_slower_than_copy:
            return ""
        change = f"{self.place.reference} changed by {_read(self.over_copy)} relative to a plain copy"
        return f"{NEW_BASELINE} ({self.place}: {change}, and {_names(faster)} read {_typical(faster)} relative to it)"

    @property
    def is_slower_than_copy(self) -> bool:
        """True where the reference got slower relative to the copy, unless the clock shows that the copy got faster."""
        if self.over_copy is None or moved(self.over_copy.interval(), self.margin) <= 0:
            return False
        return self._by_clock(self.copy_time) >= 0 or self._by_clock(self.own_time) > 0

    @property
    def is_slower_with_copy(self) -> bool:
        """True where reference and copy both got slower by the clock, the reference by far."""
        if self.own_time is None or moved(self.own_time.interval(), MOST_OF_ALL * self.margin) <= 0:
            return False
        return self._by_clock(self.copy_time) > 0

    def _is_slower_than_copy(self, row: ComparedRow) -> bool:
        own = self.rows_over_copy.get(row.key)
        return own is not None and moved(own.interval(), row.margin) > 0

    def _by_clock(self, change: Mean | None) -> int:
        return 0 if change is None else moved(change.interval(), self.margin)


def everything_slower(groups: Sequence[Group], *, correction: Correction) -> dict[Place, str]:
    """Where a reference got slower and its rows with it, which no ratio between them shows: a sentence for each group.

    It takes evidence among all groups, and two measurements that agree: the reference is slower than the copy by more
    than the margin; or by the clock the reference is slower by more than 3 margins, and the copy is slower too. The
    clock alone is no evidence: of nine identical runs on a busy machine, taken as baseline, screening and confirmation
    in every order, 2 % read slower by more than 9 % in both stages; the pairs of measurements never agreed on that.
    """
    over_copy = _chosen([group.over_copy for group in groups], correction)
    by_clock = _chosen([group.own_time for group in groups], correction)
    found: dict[Place, str] = {}
    for group, is_over_copy, is_by_clock in zip(groups, over_copy, by_clock, strict=True):
        if is_over_copy and group.is_slower_than_copy:
            found[group.place] = _everything(group, "everything but a plain copy got slower")
        elif is_by_clock and group.is_slower_with_copy:
            found[group.place] = _everything(group, "everything got slower, a plain copy included")
    return found


def _chosen(changes: Sequence[Mean | None], correction: Correction) -> list[bool]:
    """Which of the known changes stand among all of them; false for the unknown ones."""
    answers = iter(correction([change.p_above_zero() for change in changes if change is not None]))
    return [change is not None and next(answers) for change in changes]


def _everything(group: Group, what: str) -> str:
    title = group.place.reference
    read = [f"{_read(group.over_copy)} relative to a plain copy"] if group.over_copy is not None else []
    read += [f"{_read(group.own_time)} by the clock"] if group.own_time is not None else []
    return (
        f"{what} ({group.place}: {title} changed by {', '.join(read)}): if nothing else was running and the change is "
        "intended, measure a new baseline"
    )


def _names(rows: Sequence[ComparedRow]) -> str:
    names = list(dict.fromkeys(row.title for row in rows))
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} implementations"


def _typical(rows: Sequence[ComparedRow]) -> str:
    changes = sorted(row.slowdown or 1.0 for row in rows)
    return format_change(changes[len(changes) // 2])


def _read(change: Mean) -> str:
    value, low, high = change.interval().exp()
    return f"{format_change(value)} {format_change_interval(low, high)}"
