"""A comparison as tables: one row per compared row and per group, for CSV and JSON."""

from dataclasses import fields

from lnbench.compared import ComparedRow, Comparison, GroupMean
from lnbench.tables import Column, Dtype, Table, Value
from lnbench.verdict import Verdict

_DTYPES: dict[object, Dtype] = {
    str: "string",
    Verdict: "string",
    int: "Int64",
    float: "float64",
    float | None: "float64",
    bool | None: "boolean",
}


def _columns(kind: type[ComparedRow] | type[GroupMean]) -> tuple[Column, ...]:
    """A column for each field."""
    return tuple(Column(field.name, _DTYPES[field.type]) for field in fields(kind))


ROW_COLUMNS = _columns(ComparedRow)
"""The columns of a comparison's CSV, in order."""

GROUP_COLUMNS = _columns(GroupMean)


def rows_table(comparison: Comparison) -> Table:
    """Every compared row."""
    return _table(ROW_COLUMNS, comparison.rows)


def groups_table(comparison: Comparison) -> Table:
    """Every geometric mean."""
    return _table(GROUP_COLUMNS, comparison.groups)


def _table(columns: tuple[Column, ...], rows: tuple[ComparedRow, ...] | tuple[GroupMean, ...]) -> Table:
    return Table(columns, tuple(tuple(_plain(getattr(row, column.name)) for column in columns) for row in rows))


def _plain(value: Value) -> Value:
    """A verdict is told by its text."""
    return str(value) if isinstance(value, str) else value
