"""The points of the plots that show results: one table, a row per case and phase, each with its place in every plot."""

from collections import Counter
from collections.abc import Iterator, Sequence

from lnbench.planned import PlannedWorkload
from lnbench.row_summary import RowSummary
from lnbench.tables import Column, Table, Value
from lnbench.units import format_shape
from lnbench.view import RunView, TableRow

LEAST_BATCHES = 3
"""Fewer batch sizes show no trend, and no crossing of two lines."""

POINT_COLUMNS = (
    Column("workload", "string"),
    Column("place", "string"),
    Column("order", "Int64"),
    Column("device", "string"),
    Column("dtype", "string"),
    Column("phase", "string"),
    Column("clock", "string"),
    Column("conditions", "string"),
    Column("implementation", "string"),
    Column("function", "string"),
    Column("status", "string"),
    Column("is_fastest", "boolean"),
    Column("x_bytes", "Int64"),
    Column("batch", "Int64"),
    Column("batch_of", "string"),
    Column("median_s", "float64"),
    Column("low_s", "float64"),
    Column("high_s", "float64"),
    Column("speedup", "float64"),
    Column("speedup_low", "float64"),
    Column("speedup_high", "float64"),
    Column("minimum_bytes", "Int64"),
    Column("gb_per_s", "float64"),
    Column("percent_of_copy", "float64"),
    Column("peak_memory_bytes", "Int64"),
    Column("output_bytes", "Int64"),
    Column("saved_bytes", "Int64"),
    Column("temporary_bytes", "Int64"),
)
"""What a point has beside figures of its row: `place`, the workload's short name, and its `order` in the plan;
`conditions`, all of the workload but its shape, which a line through several shapes has in common; `batch`, the first
size of the shape, and `batch_of`, what workloads that differ in it alone have in common, empty where too few do."""


def points_table(view: RunView) -> Table:
    """A point for every case and phase that has a place in a plot, in the order of `plotted`."""
    planned = view.header.workloads
    names = place_names(planned)
    conditions = _joined_parts(planned, first=1)
    batch_of = _batch_groups(planned, conditions)
    numbers = {workload.id: number for number, workload in enumerate(planned)}
    rows = []
    for row, cell in plotted(view):
        number = numbers[cell.workload]
        place = (names[number], number, conditions[number], batch_of[number])
        rows.append(_point(row, cell, planned[number], place=place))
    return Table(POINT_COLUMNS, tuple(rows))


def plotted(view: RunView) -> Iterator[tuple[TableRow, RowSummary]]:
    """The rows that have a place in plots: all cases of a workload and phase of which one has a time, in plan order.

    The others stand there with their status.
    """
    for table in view.tables:
        timed = {cell.phase for row in table.rows for cell in row.cells if cell.median_s is not None}
        yield from ((row, cell) for row in table.rows for cell in row.cells if cell.phase in timed)


def place_names(planned: Sequence[PlannedWorkload]) -> list[str]:
    """A short name for each workload: its label, its shape, and those axes in which the workloads of the run differ.

    No two are the same: ids are unique, and what is left out is common to all.
    """
    return [
        f"{workload.workload.label}: {name}" if workload.workload.label else name
        for workload, name in zip(planned, _joined_parts(planned, first=0), strict=True)
    ]


def _joined_parts(planned: Sequence[PlannedWorkload], *, first: int) -> list[str]:
    """The parts of each id from the first on, but for those that all ids share; a shape always stays."""
    parts = [workload.id.split("/") for workload in planned]
    shared = set.intersection(*map(set, parts)) if parts else set()
    return [
        " ".join(part for place, part in enumerate(found) if place >= first and (place == 0 or part not in shared))
        for found in parts
    ]


def _batch_groups(planned: Sequence[PlannedWorkload], conditions: Sequence[str]) -> list[str]:
    """What workloads that differ in their first size alone have in common; empty where they are too few."""
    groups = []
    for found, rest in zip(planned, conditions, strict=True):
        shape = found.workload.shape
        has_batch = len(shape) > len(found.workload.normalized_shape)
        groups.append(f"Nx{format_shape(shape[1:])} {rest}".rstrip() if has_batch else "")
    counts = Counter(groups)
    return [group if counts[group] >= LEAST_BATCHES else "" for group in groups]


def _point(
    row: TableRow, cell: RowSummary, planned: PlannedWorkload, *, place: tuple[str, int, str, str]
) -> tuple[Value, ...]:
    name, order, conditions, batch_of = place
    own: dict[str, Value] = {
        "place": name,
        "order": order,
        "conditions": conditions,
        "implementation": row.title,
        "is_fastest": cell.phase in row.fastest,
        "x_bytes": planned.workload.x_bytes,
        "batch": planned.workload.shape[0],
        "batch_of": batch_of,
    }
    return tuple(_plain(own[it.name] if it.name in own else getattr(cell, it.name)) for it in POINT_COLUMNS)


def _plain(value: Value) -> Value:
    return str(value) if isinstance(value, str) else value
