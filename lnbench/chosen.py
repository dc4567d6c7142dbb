"""A part of a run's results, chosen by the columns of results.csv; every figure stays what it is in the whole run."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from lnbench.errors import UsageError
from lnbench.exported import Export
from lnbench.row_summary import RowSummary
from lnbench.selection import Filter, matches
from lnbench.tables import Table
from lnbench.view import RunView, TableRow, WorkloadTable


def chosen_view(view: RunView, only: Filter) -> RunView:
    """The view with the rows alone that match; raises UsageError where none does."""
    tables = [found for table in view.tables if (found := _chosen_table(table, only)).rows]
    if only and not tables:
        raise UsageError("--only: no row of the run matches", hint=_what_there_is(view))
    return replace(view, tables=tuple(tables))


def chosen_rows(table: Table, only: Filter) -> Table:
    """A table of results, or of samples, with the rows alone that match."""
    places = {column.name: place for place, column in enumerate(table.columns)}

    def kept(row: tuple[Any, ...]) -> bool:
        return _fits(only, lambda column: row[places[column]] if column in places else None)

    return replace(table, rows=tuple(filter(kept, table.rows)))


def chosen_export(export: Export, only: Filter) -> Export:
    """What other tools are given, with the rows alone that match."""
    return replace(
        export,
        rows=tuple(row for row in export.rows if fits(row.summary, only)),
        failed=tuple(row for row in export.failed if fits(row, only)),
    )


def fits(row: RowSummary, only: Filter) -> bool:
    """True when a row matches."""
    return _fits(only, lambda column: getattr(row, column, None))


def _fits(only: Filter, value_of: Callable[[str], Any]) -> bool:
    return all(matches(_text(column, value_of), patterns) for column, patterns in only.items())


def _text(column: str, value_of: Callable[[str], Any]) -> str:
    if column == "norm_dims":
        return str(len(str(value_of("normalized_shape")).split("x")))
    value = value_of(column)
    return "" if value is None else str(value)


def _chosen_table(table: WorkloadTable, only: Filter) -> WorkloadTable:
    rows = [found for row in table.rows if (found := _chosen_row(row, only)).cells]
    phases = {cell.phase for row in rows for cell in row.cells}
    return replace(table, rows=tuple(rows), phases=tuple(phase for phase in table.phases if phase in phases))


def _chosen_row(row: TableRow, only: Filter) -> TableRow:
    return replace(row, cells=tuple(cell for cell in row.cells if fits(cell, only)))


def _what_there_is(view: RunView) -> str:
    cells = [cell for table in view.tables for row in table.rows for cell in row.cells]

    def known(values: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    return (
        f"there are implementation={known(cell.implementation for cell in cells)}; "
        f"phase={known(cell.phase.value for cell in cells)}; dtype={known(cell.dtype for cell in cells)}; "
        f"input_shape={known(cell.input_shape for cell in cells)}"
    )
