"""What the plots are drawn from, as records: points with their texts and the places of their labels, and samples."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lnbench.condition_points import condition_points_table
from lnbench.evidence import Evidence
from lnbench.planned import Status
from lnbench.points import plotted, points_table
from lnbench.record import Run
from lnbench.render.cells import speedup_text, time_text
from lnbench.render.outside import plain
from lnbench.render.plots.lines import HEIGHT
from lnbench.render.plots.palette import GLYPHS, Looks
from lnbench.row_summary import RowSummary
from lnbench.sample_points import sample_points_table
from lnbench.tables import Table, Value
from lnbench.units import format_bytes, format_significant
from lnbench.view import RunView

Records = list[dict[str, Value]]

OTHER = "†"
"""Marks a row that computes another function than the reference."""

LABEL_HEIGHT = 15
"""Pixels between the names at the ends of two lines."""


def point_records(view: RunView, found: Looks) -> Records:
    """A record per point: its columns, texts for its tooltip, and where its line ends the place of the line's name."""
    glyphs = {title: GLYPHS[shape] for title, shape in zip(found.titles, found.shapes, strict=True)}
    records = _records(points_table(view))
    for record, (_, cell) in zip(records, plotted(view), strict=True):
        record |= {
            "time_text": time_text(cell),
            "speedup_text": _speedup_text(cell, is_fastest=bool(record["is_fastest"])),
            "speedup_figures": _figures(_speedup_text(cell, is_fastest=bool(record["is_fastest"])), cell),
            "time_figures": _figures(time_text(cell), cell),
            "memory_text": _memory_text(cell),
            "peak_text": "" if cell.peak_memory_bytes is None else format_bytes(cell.peak_memory_bytes),
            "bandwidth_text": _bandwidth_text(cell),
        }
    _label_lines(records, "percent_of_copy", x="minimum_bytes", panel="conditions", glyphs=glyphs)
    batches = [record for record in records if record["batch_of"]]
    bounds = ("low_s", "high_s")
    _label_lines(batches, "median_s", x="batch", panel="batch_of", glyphs=glyphs, bounds=bounds, scale=math.log)
    return records


def sample_records(run: Run, view: RunView) -> Records:
    """A record per plotted sample of the view's rows and their references, with the names of case and workload."""
    cases = run.header.cases
    phases = {(cell.case, cell.phase.value) for table in view.tables for row in table.rows for cell in row.cells}
    evidence = Evidence(run)
    phases |= {(found, phase) for case, phase in phases if (found := evidence.reference(case)) is not None}
    shown = {case for case, _ in phases}
    records = [it for it in _records(sample_points_table(evidence, cases=shown)) if (it["case"], it["phase"]) in phases]
    for record in records:
        number = record["case"]
        assert isinstance(number, int)  # the table says so
        record["implementation"] = plain(cases[number].title)
        record["workload"] = plain(run.header.workloads[cases[number].workload].id)
    return records


def condition_records(run: Run, view: RunView) -> Records:
    """A record per plotted reading, for the view's workloads."""
    shown = {cell.workload for table in view.tables for row in table.rows for cell in row.cells}
    return [record for record in _records(condition_points_table(Evidence(run))) if record["workload"] in shown]


def _records(table: Table) -> Records:
    names = [column.name for column in table.columns]
    return [dict(zip(names, map(_shown, row), strict=True)) for row in table.rows]


def _shown(value: Value) -> Value:
    """JSON has no infinity; text is one line of what can be printed."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return plain(value) if isinstance(value, str) else value


def _speedup_text(cell: RowSummary, *, is_fastest: bool) -> str:
    if cell.median_s is None:
        return cell.status.value
    return f"{speedup_text(cell)}{' *' if is_fastest else ''}"


def _figures(text: str, cell: RowSummary) -> str:
    """What stands behind a row: its figures, and what they can't be read without."""
    other = OTHER if any(notice.code == "another-function" for notice in cell.notices) else ""
    unstable = cell.status.value if cell.status is Status.UNSTABLE else ""
    return " ".join(filter(None, (text, other, unstable)))


def _memory_text(cell: RowSummary) -> str:
    parts = (
        ("peak", cell.peak_memory_bytes),
        ("output", cell.output_bytes),
        ("saved", cell.saved_bytes),
        ("temporary", cell.temporary_bytes),
    )
    return ", ".join(f"{name} {format_bytes(size)}" for name, size in parts if size is not None)


def _bandwidth_text(cell: RowSummary) -> str:
    if cell.gb_per_s is None:
        return ""
    share = "" if cell.percent_of_copy is None else f", {cell.percent_of_copy:.0f} % of a copy"
    return f"{format_significant(cell.gb_per_s, 3)} GB/s{share}"


def _label_lines(
    records: Iterable[dict[str, Any]],
    y: str,
    *,
    x: str,
    panel: str,
    glyphs: Mapping[str, str],
    bounds: Sequence[str] = (),
    scale: Callable[[float], float] = float,
) -> None:
    """Give the last point of every line the height of its name, so that no two names of a panel overlap.

    `glyphs`: the mark of each implementation as a letter. `bounds`: what is drawn around a line, and so makes the
    panel's axis longer.
    """
    panels: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record[y] is not None and record[x] is not None:
            panels[record[panel], record["phase"], record["clock"]][record["implementation"]].append(record)
    for lines in panels.values():
        ends = [max(line, key=lambda record: record[x]) for line in lines.values()]
        drawn = (record[name] for line in lines.values() for record in line for name in (y, *bounds))
        heights = [scale(height) for height in drawn if height is not None]
        low, high = (min(heights), max(heights)) if scale is not float else (0.0, max(*heights, 100.0))
        gap = LABEL_HEIGHT * ((high - low) or 1.0) / HEIGHT
        places = spread_out([scale(record[y]) for record in ends], gap=gap, low=low, high=high)
        for record, place in zip(ends, places, strict=True):
            record[f"{y}_label"] = math.exp(place) if scale is math.log else place
            record["label"] = f"{glyphs[record['implementation']]} {record['implementation']}"


def spread_out(values: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """The places nearest to these values (least squares) that are at least `gap` apart, in the same order.

    Within the bounds where all fit, else from the lower one upwards.
    """
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(values))
    order = np.argsort(values, kind="stable")
    shifted = isotonic_regression(np.asarray(values)[order] - steps).x
    placed = np.empty(len(values))
    placed[order] = np.clip(shifted, low, max(high - gap * (len(values) - 1), low)) + steps
    return [float(place) for place in placed]
