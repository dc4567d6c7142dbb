"""One side of a comparison: the rows of a run on the clock that decides, by key."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lnbench.conditions import Circumstances
from lnbench.crowding import ProcessesLeft
from lnbench.evidence import Evidence
from lnbench.record import Header, Run
from lnbench.row_summary import RowSummary
from lnbench.speedups import Speedups
from lnbench.summaries import summarize_evidence
from lnbench.view import default_clock
from lnbench.workload import Clock


class RowKey(NamedTuple):
    """What is unique in a run and joins it to another."""

    workload: str
    implementation: str
    norm_mode: str
    phase: str
    clock: str


class Side:
    """One side of a comparison: its rows by key, and their log speedups over the reference by process.

    Only rows on the clock that decides: the device's where there is one, else the wall clock.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.evidence = Evidence(run)
        self._speedups = Speedups(self.evidence)
        self.rows = {
            row_key(row): row
            for row in summarize_evidence(self.evidence, self._speedups)
            if row.clock is self._clock(row)
        }
        self._by_case = {(row.case, row.phase.value, row.clock.value): row for row in self.rows.values()}

    def is_reference(self, row: RowSummary) -> bool:
        """True for a row that others are compared with: it reads 1 on every side."""
        return self.evidence.reference(row.case) == row.case

    def _clock(self, row: RowSummary) -> Clock:
        return default_clock(self.evidence.planned_workload(row.case))

    def locations(self, row: RowSummary) -> Mapping[int, float]:
        """The log speedup of a row in each process."""
        return self._speedups.locations(row.case, row.phase, clock=row.clock)

    def against_copy(self, row: RowSummary) -> Mapping[int, float]:
        """The same against the probe's copy."""
        return self._speedups.against_copy(row.case, row.phase, clock=row.clock)

    def log_speeds(self, row: RowSummary) -> Mapping[int, float]:
        """The negative log of a row's median seconds in each process: what the clock alone says."""
        series = self.evidence.row(row.case, row.phase, clock=row.clock).series
        return {process: -float(np.log(np.median(np.asarray(turns.seconds)))) for process, turns in series.items()}

    def processes_left(self, row: RowSummary) -> ProcessesLeft:
        """How many processes of a row count after what a busy machine disturbed."""
        return self.evidence.processes_left(row.case, row.phase, clock=row.clock)

    def reference_row(self, row: RowSummary) -> RowSummary | None:
        """The row of the reference that a row is compared with."""
        number = self.evidence.reference(row.case)
        return None if number is None else self._by_case.get((number, row.phase.value, row.clock.value))

    def circumstances(self, row: RowSummary) -> Circumstances:
        """Where a row of this side was measured."""
        return Circumstances(self.evidence, row)


def row_key(row: RowSummary) -> RowKey:
    """The key of a row."""
    return RowKey(row.workload, row.implementation, row.norm_mode, row.phase.value, row.clock.value)


def is_same_run(one: Header, other: Header) -> bool:
    """True for two journals of one run. Ids name the second and the suite only, and two machines may share both."""
    return (one.run_id, one.created, one.seed) == (other.run_id, other.created, other.seed)
