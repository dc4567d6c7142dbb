"""The rows of each reference between two runs, with what the plain copy and the clock say beside their ratios to it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lnbench.across import Mean
from lnbench.arbitration import Group, Place
from lnbench.compared import ComparedRow
from lnbench.contrasts import Contrast, spreads_of
from lnbench.row_summary import RowSummary
from lnbench.sides import RowKey, Side, row_key
from lnbench.verdict import LEAST_PROCESSES


def groups_of(
    base: Side, head: Side, contrasts: Sequence[Contrast], rows: Sequence[ComparedRow]
) -> dict[RowKey, Group]:
    """The group of every row that was compared, by the row's key. `rows`: the contrasts as they were judged."""
    judged = {row.key: row for row in rows}
    members: dict[Place, list[Contrast]] = defaultdict(list)
    references: dict[Place, tuple[RowSummary, RowSummary]] = {}
    for contrast in contrasts:
        pair = _references(base, head, contrast)
        if pair is not None:
            mode = f" ({pair[1].norm_mode})" if pair[1].norm_mode else ""
            place = Place(
                contrast.key.workload, contrast.key.phase, contrast.key.clock, f"{pair[1].implementation}{mode}"
            )
            members[place].append(contrast)
            references[place] = pair
    slower = [it for group in members.values() for it in group if (judged[it.key].slowdown or 1.0) > 1.0]
    rows_over_copy = _changes(_over_copy(base, head, it.base_row, it.head_row) for it in slower)
    over_copy = _changes(_over_copy(base, head, *pair) for pair in references.values())
    own_time = _changes(_own_time(base, head, *pair) for pair in references.values())
    copy_time = _changes(_copy_time(base, head, *pair) for pair in references.values())
    found: dict[RowKey, Group] = {}
    for place, group in members.items():
        old, new = references[place]
        key = row_key(new)
        made = Group(
            place=place,
            margin=head.evidence.case(new.case).margin,
            rows=tuple(judged[it.key] for it in group),
            over_copy=over_copy.get(key),
            rows_over_copy={
                it.key: rows_over_copy[row_key(it.head_row)]
                for it in group
                if it.head_row is not None and row_key(it.head_row) in rows_over_copy
            },
            own_time=own_time.get(key),
            copy_time=copy_time.get(key),
            no_copy="" if key in over_copy else _why_no_copy(base, head, old, new),
        )
        found |= {it.key: made for it in group}
    return found


def _references(base: Side, head: Side, contrast: Contrast) -> tuple[RowSummary, RowSummary] | None:
    """The references of a row that was compared, on either side."""
    if contrast.finding is not None or contrast.base_row is None or contrast.head_row is None:
        return None
    old, new = base.reference_row(contrast.base_row), head.reference_row(contrast.head_row)
    return None if old is None or new is None else (old, new)


def _over_copy(base: Side, head: Side, old: RowSummary | None, new: RowSummary | None) -> Contrast:
    assert old is not None  # only what has both sides is compared
    assert new is not None
    return _contrast(old, new, base.against_copy(old), head.against_copy(new))


def _own_time(base: Side, head: Side, old: RowSummary, new: RowSummary) -> Contrast:
    return _contrast(old, new, base.log_speeds(old), head.log_speeds(new))


def _copy_time(base: Side, head: Side, old: RowSummary, new: RowSummary) -> Contrast:
    """The copy's own time follows from the reference's and from how they compare."""

    def log_speeds(side: Side, row: RowSummary) -> dict[int, float]:
        own = side.log_speeds(row)
        return {process: own[process] - over for process, over in side.against_copy(row).items() if process in own}

    return _contrast(old, new, log_speeds(base, old), log_speeds(head, new))


def _contrast(old: RowSummary, new: RowSummary, base: Mapping[int, float], head: Mapping[int, float]) -> Contrast:
    return Contrast(key=row_key(new), margin=0.0, base_row=old, head_row=new, base=base, head=head)


def _changes(contrasts: Iterable[Contrast]) -> dict[RowKey, Mean]:
    """The change of each row of which both sides have enough processes, moderated as in a verdict."""
    known = [it for it in contrasts if min(len(it.base), len(it.head)) >= LEAST_PROCESSES]
    spreads = spreads_of(known)
    return {it.key: it.difference(spreads) for it in known}


def _why_no_copy(base: Side, head: Side, old: RowSummary, new: RowSummary) -> str:
    for name, side, row in (("the baseline", base, old), ("this run", head, new)):
        found = len(side.against_copy(row))
        if not found:
            return f"{name} did not measure a plain copy beside {row.implementation}"
        if found < LEAST_PROCESSES:
            return f"{name} measured a plain copy in only {found} processes (needs {LEAST_PROCESSES})"
    raise AssertionError("both sides have copies")
