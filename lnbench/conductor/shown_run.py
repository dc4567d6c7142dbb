"""A run in every format that it can be shown in."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from rich.console import Group, RenderableType

from lnbench.analysis.recommend import Recommendation, recommend
from lnbench.chosen import NO_FILTER, chosen_rows, chosen_samples, chosen_summaries
from lnbench.conductor.plain_text import plain_text
from lnbench.cost_tables import TIME
from lnbench.decision import Decision, decide
from lnbench.exported import Export, export_run
from lnbench.record import Run
from lnbench.render import comparison as comparison_terminal
from lnbench.render import comparison_markdown, json
from lnbench.render.advice import sentences
from lnbench.render.busy import terminal_lines
from lnbench.render.ci.github import render_annotations
from lnbench.render.ci.gitlab import render_metrics
from lnbench.render.ci.junit import render_junit
from lnbench.render.csv import render_csv
from lnbench.render.exchange.bencher import render_metrics as render_bencher_metrics
from lnbench.render.exchange.github_action_benchmark import render_entries
from lnbench.render.exchange.pytest_benchmark import render_benchmarks
from lnbench.render.latex import render_tables
from lnbench.render.libraries import needed_for
from lnbench.render.markdown import PlotFile, render_report
from lnbench.render.plots.image import DEFAULT_PLOT, Drawing, ImageFormat, image
from lnbench.render.terminal import render_run
from lnbench.run_facts import run_facts, told_notices
from lnbench.selection import Filter
from lnbench.summaries import summarize
from lnbench.tables import Table, results_table, samples_table, summaries_table
from lnbench.view import RunView, view_run

EXCHANGE_NAMES = frozenset({"pytest-benchmark", "github-action-benchmark", "bencher"})
"""The formats of other benchmark tools, which have no place for a row that failed."""


class ShownRun:
    """A run in every format; of a check also what it comes to.

    `groups`: the columns that the terminal shows. `only`: the rows that are shown, by their columns; all figures stay
    those of the whole run. `plot`: the one that becomes an image.
    """

    def __init__(
        self, run: Run, *, groups: Sequence[str] = (TIME,), only: Filter = NO_FILTER, plot: str = DEFAULT_PLOT
    ) -> None:
        self.run = run
        self._groups = groups
        self._only = only
        self._plot = plot

    @cached_property
    def view(self) -> RunView:
        """The rows that are shown, as people read them."""
        return view_run(self.run, self._only)

    @cached_property
    def decision(self) -> Decision | None:
        """What a check comes to; None for a run that is none."""
        return None if self.run.header.check is None else decide(self.run)

    @property
    def checked(self) -> Decision:
        """The same where the run is known to be a check."""
        assert self.decision is not None  # the caller has asked
        return self.decision

    @property
    def busy(self) -> tuple[str, ...]:
        """A line for the top for each run that is shown, where other processes kept its machine busy."""
        if self.decision is not None:
            return self.decision.comparison.busy
        return (self.view.busy,) if self.view.busy else ()

    @cached_property
    def recommendations(self) -> tuple[Recommendation, ...]:
        """What to use, decided among all rows, of those workloads and phases that are shown."""
        return recommend(view_run(self.run) if self._only else self.view, only=self._only)

    def renderable(self) -> RenderableType:
        """The tables for the terminal; what a check comes to stands last, where the eye is."""
        view = self.view if self.decision is None else replace(self.view, busy="")
        tables = render_run(view, self._groups, sentences(self.recommendations))
        if self.decision is None:
            return tables
        comparison = replace(self.decision.comparison, busy=())
        verdicts = comparison_terminal.render_comparison(comparison, self.decision)
        return Group(*terminal_lines(self.busy), tables, "", verdicts)

    def terminal(self) -> str:
        """The same as plain text."""
        return plain_text(self.renderable())

    def markdown(self, plots: Sequence[PlotFile] = (), left_out: Sequence[str] = ()) -> str:
        """The report; a check's begins with what it comes to. `left_out`: plots that are not there, and why."""
        view = self.view if self.decision is None else replace(self.view, busy="")
        report = render_report(view, self.recommendations, plots, left_out=left_out)
        return report if self.decision is None else f"{self.summary()}\n{report}"

    def summary(self) -> str:
        """What a check comes to, made for a pull request."""
        return comparison_markdown.render_comparison(self.checked.comparison, self.checked)

    def csv(self) -> str:
        """results.csv."""
        return render_csv(self._results())

    def samples(self) -> str:
        """Every raw sample as CSV."""
        samples = samples_table(self.run)
        if self._only:
            samples = chosen_samples(samples, chosen_summaries(summarize(self.run), self._only))
        return render_csv(samples)

    def html(self) -> str:
        """The page."""
        from lnbench.render.html.report import render_html

        with needed_for("pages"):
            return render_html(self.run, self.view, self.recommendations, decision=self.decision, busy=self.busy)

    def image(self, format: ImageFormat) -> bytes:
        """The plot that was asked for."""
        return image(Drawing(self.run, self.view).draw(self._plot), format)

    def _results(self) -> Table:
        return chosen_rows(results_table(self.run), self._only)

    def json(self) -> str:
        """What a check comes to, or a run's results."""
        if self.decision is None:
            rows = chosen_summaries(summarize(self.run), self._only)
            return json.render_results(
                summaries_table(rows),
                busy_machine=list(self.busy),
                run=run_facts(self.run),
                notices=told_notices(rows),
            )
        return json.render_comparison(self.decision.comparison, self.decision)

    def latex(self) -> str:
        """Tables for a paper."""
        return render_tables(self.view)

    @cached_property
    def export(self) -> Export:
        """The rows that are shown, as other tools are given them."""
        return export_run(self.run, self._only)

    def left_out(self, asked: Iterable[str]) -> Iterator[str]:
        """What these formats could not be told, a sentence each, for those who asked for them."""
        for name in sorted(set(asked) & EXCHANGE_NAMES):
            failed = len(self.export.failed)
            if failed:
                yield f"{name}: {_rows(failed)} without a time {'are' if failed != 1 else 'is'} left out"
            bare = sum(row.relative_time is None and not row.is_reference for row in self.export.rows)
            if name == "github-action-benchmark" and bare:
                yield f"{name}: {_rows(bare)} without a reference {'are' if bare != 1 else 'is'} left out"

    def github_action_benchmark(self) -> str:
        """Time over the reference's, for benchmark-action/github-action-benchmark."""
        return render_entries(self.export)

    def pytest_benchmark(self) -> str:
        """A file of pytest-benchmark."""
        return render_benchmarks(self.export)

    def bencher(self) -> str:
        """Bencher Metric Format."""
        return render_bencher_metrics(self.export)

    def github(self) -> str:
        """Annotations."""
        return render_annotations(self.checked)

    def junit(self) -> str:
        """JUnit XML."""
        return render_junit(self.checked)

    def gitlab(self) -> str:
        """A metrics report."""
        return render_metrics(self.checked)


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"
