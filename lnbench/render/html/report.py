"""A run as one page: what it comes to in sentences, plots that can be filtered, and every table."""

from collections.abc import Sequence
from typing import Any

from lnbench.analysis.recommend import Recommendation
from lnbench.cost_tables import GROUPS, cost_table
from lnbench.decision import Decision
from lnbench.evidence import Evidence
from lnbench.record import Run
from lnbench.render.advice import sentences
from lnbench.render.cells import speedup_text, time_text
from lnbench.render.comparison_cells import HOW_TO_READ as HOW_TO_READ_CHANGES
from lnbench.render.comparison_cells import change_text, interval_text, opened, verdict_line
from lnbench.render.facts import machine_facts, measuring_facts
from lnbench.render.html.page import columns_of, render_page
from lnbench.render.outside import plain
from lnbench.render.plots.catalogue import CONDITIONS, PLOTS, POINTS, SAMPLES, beside, chart
from lnbench.render.plots.datasets import Records, condition_records, point_records, sample_records
from lnbench.render.plots.palette import GLYPHS, Looks, css_named, looks
from lnbench.render.plots.style import config
from lnbench.render.recommendation import HEADINGS, cells_of
from lnbench.row_summary import RowSummary
from lnbench.view import HOW_TO_READ, RunView, TableRow, WorkloadTable, fastest_legend
from lnbench.workload import Phase, main_phase

ANY_WIDTH = 400
"""Pixels; the page sets its own."""


def render_html(
    run: Run,
    view: RunView,
    recommendations: Sequence[Recommendation] = (),
    *,
    decision: Decision | None = None,
    busy: Sequence[str] = (),
) -> str:
    """The page. `recommendations`: what the run comes to; `decision`: what a check comes to.

    `busy`: a line for the top for each run whose machine was busy.
    """
    header = view.header
    found = looks([plain(case.title) for case in header.cases], named=css_named())
    records = {
        POINTS: point_records(view, found),
        SAMPLES: sample_records(run, view),
        CONDITIONS: condition_records(run, view),
    }
    drawn = [name for name, plot in PLOTS.items() if plot.chosen(records[plot.dataset])]
    return render_page(
        "report.html.jinja",
        script="report.js",
        plots=_plots(run, found, records, drawn=drawn) if drawn else None,
        suite=header.suite,
        description=" ".join(header.description.split()),
        completed=view.completed,
        busy=list(busy),
        run_id=header.run_id,
        created=header.created,
        check=None if decision is None else _check(decision),
        summary=sentences(recommendations),
        answer_headings=HEADINGS,
        answers=[cells_of(it) for it in recommendations],
        how_to_read=HOW_TO_READ,
        choices=_choices(records[POINTS]),
        key=_key(run, found),
        shown=[(name, PLOTS[name]) for name in drawn],
        tables=[_table(table) for table in view.tables],
        machine=list(machine_facts(header)),
        measuring=list(measuring_facts(view)),
    )


def _check(decision: Decision) -> dict[str, Any]:
    """The verdict, its reasons, and the rows that have to be looked at first."""
    comparison = decision.comparison
    first = opened(comparison.rows)
    ordered = [*first, *(row for row in comparison.rows if row not in first)]
    return {
        "headline": decision.headline,
        "findings": [text for _, text in decision.findings if text != decision.headline],
        "base": comparison.base,
        "head": comparison.head,
        "counts": verdict_line(comparison),
        "how_to_read": HOW_TO_READ_CHANGES,
        "rows": [
            (
                f"{row.title} {row.phase}",
                row.workload,
                str(row.verdict),
                f"{change_text(row.slowdown)} {interval_text(row.slowdown_low, row.slowdown_high)}".strip(),
                row.reason,
            )
            for row in ordered
        ],
    }


def _plots(run: Run, found: Looks, records: dict[str, Records], *, drawn: Sequence[str]) -> dict[str, Any]:
    kept = dict.fromkeys(PLOTS[name].dataset for name in drawn)
    return {
        "config": config(found.named),
        "records": {name: columns_of(records[name]) for name in kept},
        "plots": [
            {
                "name": name,
                "dataset": PLOTS[name].dataset,
                "needs": PLOTS[name].needs,
                "showsStatus": PLOTS[name].shows_status,
                "wide": chart(name, found, width=ANY_WIDTH),
                "narrow": chart(name, found, width=ANY_WIDTH, narrow=True),
                "beside": [beside(name, found), beside(name, found, narrow=True)],
            }
            for name in drawn
        ],
        "cases": _sampled_cases(run, records[SAMPLES]),
    }


def _sampled_cases(run: Run, samples: Records) -> list[dict[str, Any]]:
    """The cases that have samples: what they are called, and with which case each is compared."""
    evidence, cases = Evidence(run), run.header.cases
    numbers = dict.fromkeys(record["case"] for record in samples)
    return [
        {
            "case": number,
            "workload": plain(run.header.workloads[cases[number].workload].id),
            "implementation": plain(cases[number].title),
            "reference": evidence.reference(number),
        }
        for number in numbers
        if isinstance(number, int)
    ]


def _choices(points: Records) -> dict[str, Any]:
    """What can be chosen, in the plan's order."""
    found = {name: list(dict.fromkeys(str(it[name]) for it in points)) for name in ("device", "dtype", "phase")}
    order = [phase.value for phase in Phase]
    found["phase"].sort(key=order.index)
    return {"devices": found["device"], "dtypes": found["dtype"], "phases": found["phase"]} | {
        "phase": main_phase([Phase(name) for name in found["phase"]]).value if found["phase"] else ""
    }


def _key(run: Run, found: Looks) -> list[dict[str, str]]:
    """Each implementation with its mark and what it computes."""
    functions = {plain(case.title): case.function for case in run.header.cases}
    marks = zip(found.titles, found.tokens, found.shapes, strict=True)
    return [
        {"title": title, "colour": f"var(--{token})", "glyph": GLYPHS[shape], "function": functions[title]}
        for title, token, shape in marks
    ]


def _table(table: WorkloadTable) -> dict[str, Any]:
    first = table.rows[0].cells[0]
    return {
        "title": table.title,
        "device": first.device,
        "dtype": first.dtype,
        "caption": "; ".join(table.caption),
        "phases": [phase.value for phase in table.phases],
        "rows": [_row(row) for row in table.rows],
        "legend": fastest_legend(table) if any(row.fastest for row in table.rows) else "",
        "footnotes": table.footnotes,
        "costs": [costs for costs in (cost_table(table, name) for name in GROUPS) if costs.rows],
    }


def _row(row: TableRow) -> dict[str, Any]:
    return {
        "title": row.title,
        "status": row.status.value if row.status.has_times and row.status != "ok" else "",
        "footnotes": row.footnotes,
        "cells": [_cell(row, cell) for cell in row.cells],
    }


def _cell(row: TableRow, cell: RowSummary) -> dict[str, Any]:
    return {
        "phase": cell.phase.value,
        "time": time_text(cell),
        "speedup": speedup_text(cell) if cell.median_s is not None else "",
        "is_known": cell.median_s is not None,
        "is_fastest": cell.phase in row.fastest,
    }
