"""A part of a run's rows, chosen by the columns of results.csv."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from lnbench.errors import UsageError
from lnbench.row_summary import RowSummary
from lnbench.selection import Filter, matches
from lnbench.tables import Table

NO_FILTER: Filter = MappingProxyType({})
"""Every row."""


def fits(row: RowSummary, only: Filter) -> bool:
    """True when a row matches."""
    return _fits(only, lambda column: getattr(row, column, None))


def chosen_summaries(rows: Iterable[RowSummary], only: Filter) -> list[RowSummary]:
    """The rows that match. Raises UsageError where none does."""
    found = [row for row in rows if fits(row, only)]
    if only and not found:
        raise UsageError("--only: no row of the run matches")
    return found


def chosen_rows(table: Table, only: Filter) -> Table:
    """A table of results with the rows alone that match. Raises UsageError where none does."""
    places = {column.name: place for place, column in enumerate(table.columns)}

    def kept(row: Sequence[Any]) -> bool:
        return _fits(only, lambda column: row[places[column]] if column in places else None)

    rows = tuple(filter(kept, table.rows))
    if only and not rows:
        raise UsageError("--only: no row of the run matches")
    return replace(table, rows=rows)


def chosen_samples(samples: Table, rows: Iterable[RowSummary]) -> Table:
    """A table of samples with those of some rows alone; what releasing costs counts to a case's every row."""
    names = [column.name for column in samples.columns]
    keys = [names.index(name) for name in ("run_id", "workload", "implementation", "norm_mode")]
    phase = names.index("phase")
    wanted = set()
    for row in rows:
        case = (row.run_id, row.workload, row.implementation, row.norm_mode)
        wanted |= {(*case, row.phase.value), (*case, "disposal")}
    kept = (row for row in samples.rows if (*(row[place] for place in keys), row[phase]) in wanted)
    return replace(samples, rows=tuple(kept))


def what_there_is(rows: Iterable[RowSummary]) -> str:
    """The values that a filter could have named."""
    found = list(rows)
    columns = ("implementation", "phase", "dtype", "input_shape")
    named = (f"{column}={', '.join(dict.fromkeys(str(getattr(row, column)) for row in found))}" for column in columns)
    return f"there are {'; '.join(named)}"


_DIMS = "norm_dims"


def _fits(only: Filter, value_of: Callable[[str], Any]) -> bool:
    return all(matches(_text(column, value_of), patterns) for column, patterns in only.items())


def _text(column: str, value_of: Callable[[str], Any]) -> str:
    if column == _DIMS:
        return str(len(str(value_of("normalized_shape")).split("x")))
    value = value_of(column)
    return "" if value is None else str(value)
