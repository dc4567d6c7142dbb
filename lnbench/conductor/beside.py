"""Several runs beside each other as text in each format."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from rich.console import RenderableType

from lnbench.chosen import NO_FILTER, chosen_rows, chosen_samples, chosen_summaries, fits
from lnbench.conductor.plain_text import plain_text
from lnbench.record import Run
from lnbench.render import json, side_by_side_latex, side_by_side_markdown
from lnbench.render.csv import render_csv
from lnbench.render.side_by_side import render_side_by_side
from lnbench.run_facts import run_facts, told_notices
from lnbench.selection import Filter
from lnbench.side_by_side import SideBySide, check_that_all_differ, side_by_side
from lnbench.summaries import summarize
from lnbench.tables import RESULT_COLUMNS, SAMPLE_COLUMNS, Table, results_table, samples_table, summaries_table


class ShownRuns:
    """Runs in every format that has room for several. `only`: the rows that are shown, by their columns.

    Raises UsageError where a run stands twice.
    """

    def __init__(self, runs: Sequence[Run], *, only: Filter = NO_FILTER) -> None:
        check_that_all_differ([run.header for run in runs])
        self._runs = runs
        self._only = only

    @cached_property
    def beside(self) -> SideBySide:
        """What people read."""
        return side_by_side(self._runs, only=self._only)

    def renderable(self) -> RenderableType:
        """For the terminal."""
        return render_side_by_side(self.beside)

    def terminal(self) -> str:
        """The same as plain text."""
        return plain_text(self.renderable())

    def markdown(self) -> str:
        """The same as markdown."""
        return side_by_side_markdown.render_side_by_side(self.beside)

    def latex(self) -> str:
        """Tables for a paper."""
        return side_by_side_latex.render_side_by_side(self.beside)

    def csv(self) -> str:
        """The results of one run below those of the other; run_id tells them apart."""
        tables = [results_table(run) for run in self._runs]
        results = Table(RESULT_COLUMNS, tuple(row for table in tables for row in table.rows))
        return render_csv(chosen_rows(results, self._only))

    def samples(self) -> str:
        """The raw samples of one run below those of the other."""
        tables = [samples_table(run) for run in self._runs]
        samples = Table(SAMPLE_COLUMNS, tuple(row for table in tables for row in table.rows))
        if self._only:
            rows = (row for run in self._runs for row in summarize(run))
            samples = chosen_samples(samples, chosen_summaries(rows, self._only))
        return render_csv(samples)

    def json(self) -> str:
        """The rows of all runs, what is to be said of each run, and in what they differ."""
        beside = self.beside
        kept = {run.header.run_id: [row for row in summarize(run) if fits(row, self._only)] for run in self._runs}
        notices = [{"run_id": name, **notice} for name, rows in kept.items() for notice in told_notices(rows)]
        return json.render_results(
            summaries_table(row for rows in kept.values() for row in rows),
            busy_machine=list(beside.busy),
            runs=[run_facts(run) for run in self._runs],
            obstacles=[difference._asdict() for difference in beside.obstacles],
            differences=[difference._asdict() for difference in beside.settings],
            notes=list(beside.notes),
            notices=notices,
        )


RUNS_FORMATS: Mapping[str, Callable[[ShownRuns], str]] = MappingProxyType(
    {
        "terminal": ShownRuns.terminal,
        "markdown": ShownRuns.markdown,
        "csv": ShownRuns.csv,
        "json": ShownRuns.json,
        "latex": ShownRuns.latex,
    }
)
"""How several runs can be shown."""
