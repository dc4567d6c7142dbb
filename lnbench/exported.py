"""The rows of a run that other tools are given: those that have times, on the clock that decides."""

from dataclasses import dataclass

import numpy as np

from lnbench.chosen import NO_FILTER, fits
from lnbench.errors import UsageError
from lnbench.evidence import Evidence
from lnbench.record import Header, Run
from lnbench.row_summary import RowSummary
from lnbench.selection import Filter
from lnbench.speedups import Speedups
from lnbench.stats import FloatArray
from lnbench.summaries import summarize_evidence
from lnbench.view import default_clock


@dataclass(frozen=True, slots=True)
class RelativeTime:
    """Time over the reference's time, below 1 is better; bounds of the 95 % interval, None where it is not known."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRow:
    """A row with times. `reference`: the title of what it is compared with.

    `samples_s`: every sample that counted, in seconds per call, each the mean of about `calls` calls. Where a run keeps
    none (a baseline), `is_condensed`: they are the medians of its processes, and `calls` is 1.
    """

    summary: RowSummary
    title: str
    reference: str
    is_reference: bool
    samples_s: FloatArray
    calls: int
    is_condensed: bool

    @property
    def relative_time(self) -> RelativeTime | None:
        """The row over its reference; None for the reference itself, and where there is nothing to compare with."""
        row = self.summary
        if self.is_reference or not row.speedup:
            return None
        if not row.speedup_low or not row.speedup_high:
            return RelativeTime(1 / row.speedup, None, None)
        return RelativeTime(1 / row.speedup, 1 / row.speedup_high, 1 / row.speedup_low)


@dataclass(frozen=True, slots=True)
class Export:
    """A run for other tools. `failed`: the rows that have no times, and so can't be told to them.

    `busy`: a line that says that other processes kept the machine busy; else "".
    """

    header: Header
    rows: tuple[ExportedRow, ...]
    failed: tuple[RowSummary, ...]
    busy: str = ""


def export_run(run: Run, only: Filter = NO_FILTER) -> Export:
    """Every row of a run that matches, in plan order: on the clock that decides.

    Raises UsageError where none matches.
    """
    evidence = Evidence(run)
    rows, failed = [], []
    for summary in summarize_evidence(evidence, Speedups(evidence)):
        if summary.clock is not default_clock(evidence.planned_workload(summary.case)):
            continue
        if not fits(summary, only):
            continue
        if summary.median_s is None:
            failed.append(summary)
        else:
            rows.append(_exported(evidence, summary))
    if only and not rows and not failed:
        raise UsageError("--only: no row of the run matches")
    return Export(run.header, tuple(rows), tuple(failed), evidence.busy_line)


def _exported(evidence: Evidence, summary: RowSummary) -> ExportedRow:
    number, phase, clock = summary.case, summary.phase, summary.clock
    turns = evidence.turns(number, clock=clock)
    calls, kept = turns.calls(phase.value, clock=clock), turns.kept_seconds(phase, clock=clock)
    series = evidence.row(number, phase, clock=clock).series
    reference = evidence.reference(number)
    return ExportedRow(
        summary=summary,
        title=evidence.case(number).title,
        reference=summary.reference if reference is None else evidence.case(reference).title,
        is_reference=reference == number,
        samples_s=kept if len(kept) else np.concatenate([np.asarray(turns.seconds) for turns in series.values()]),
        calls=int(np.median(calls)) if len(calls) else 1,
        is_condensed=bool(evidence.condensed(number, phase, clock=clock)),
    )
