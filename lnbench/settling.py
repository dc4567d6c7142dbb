"""Who moved where rows of a check are slower than in its baseline, as its stages show it together.

What fresh processes confirm is a ratio to the reference, so who moved is settled last: rows that moved make exit 1, a
reference that moved makes exit 3, and so does whatever stays open.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from lnbench.arbitration import Group, Mover, Place
from lnbench.compared import ComparedRow
from lnbench.multiplicity import false_discovery, holm
from lnbench.sides import RowKey
from lnbench.stages import Stage
from lnbench.verdict import Verdict


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


def _not_the_row(row: ComparedRow, mover: Mover, reference: str) -> ComparedRow:
    why = f"{reference} got faster" if mover is Mover.REFERENCE else f"{reference} may have become faster"
    return replace(row, verdict=Verdict.INCONCLUSIVE, reason=f"{row.reason}; but {why}")


def moves_beside_rows(screening: Stage, fresh: Stage | None) -> list[str]:
    """What got slower beside the rows' ratios, and again in fresh processes where they measured it.

    Where a busy machine left the screening too few processes of a reference, what the fresh ones show counts alone.
    """
    found = screening.moves(false_discovery)
    if fresh is None or not fresh.groups:
        return list(found.values())
    known = {group.place for group in screening.groups.values() if group.own_time is not None}
    measured = {group.place for group in fresh.groups.values()}
    again = fresh.moves(partial(holm, among=max(len(screening.groups), len(fresh.groups))))
    found_again = [again.get(place, text) for place, text in found.items() if place in again or place not in measured]
    return found_again + [text for place, text in again.items() if place not in found and place not in known]
