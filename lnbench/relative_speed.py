"""How fast the cases of a table are beside each other, in one number each: what a bar shows."""

from lnbench.row_summary import RowSummary
from lnbench.view import WorkloadTable
from lnbench.workload import main_phase


def relative_speeds(table: WorkloadTable) -> tuple[float | None, ...]:
    """For each row its speed in the main phase over that of the fastest row, in (0, 1]; None where it has no time.

    From speedups where every timed row has one, because those are of turns in the same rounds; else from medians.
    All None where fewer than two rows have times: nothing stands beside anything.
    """
    phase = main_phase(table.phases)
    cells = [next((cell for cell in row.cells if cell.phase is phase), None) for row in table.rows]
    timed = [cell for cell in cells if cell is not None and cell.median_s is not None]
    if len(timed) < 2:
        return (None,) * len(cells)
    by_speedup = all(cell.speedup for cell in timed)
    speeds = [_speed(cell, by_speedup=by_speedup) for cell in cells]
    fastest = max(speed for speed in speeds if speed is not None)
    return tuple(None if speed is None else speed / fastest for speed in speeds)


def _speed(cell: RowSummary | None, *, by_speedup: bool) -> float | None:
    if cell is None or cell.median_s is None:
        return None
    return cell.speedup if by_speedup else 1 / cell.median_s
