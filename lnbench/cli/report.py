"""`lnbench report`: a run again, in any format; of a check also what it comes to."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from lnbench.cli.common import REPORTS, Columns, Debug, OnlyRows, Quiet, chosen_columns, message, show
from lnbench.cli.formats import TERMINAL, Chosen, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import UsageError, nearest

MARKDOWN = "markdown"
if TYPE_CHECKING:
    from rich.console import RenderableType

    from lnbench.record import Run
    from lnbench.selection import Filter


class Shown(Protocol):
    """A run, or several, as the terminal shows them."""

    def renderable(self) -> "RenderableType":
        """What is printed."""


T = TypeVar("T", bound=Shown)

PLOT_NAMES = ("speedup", "time", "bandwidth", "memory", "batch", "samples", "conditions")
"""The plots, by name; known here too, so that a mistyped one is reported before anything heavy is loaded."""


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="A run's folder, journal file, id, or `latest`; several stand side by side."
        ),
    ],
    format: Formats = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"With svg and png: {', '.join(PLOT_NAMES)}.", show_default=f"{PLOT_NAMES[0]}"
        ),
    ] = None,
    only: OnlyRows = None,
    samples: Annotated[bool, typer.Option("--samples", help="With csv: every raw sample instead of results.")] = False,
    columns: Columns = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> None:
    """Show a run again, in any format, or several side by side.

    Every statistic is derived anew from the run's raw samples, and so is a check's verdict. Formats: terminal,
    markdown, csv, json, html (one page with plots that can be filtered), svg and png (one plot), latex; for other tools
    pytest-benchmark, github-action-benchmark, bencher; of a check also github, junit, gitlab. Markdown that is written
    to a file has its plots beside it. Several runs, as terminal, markdown, csv, json or latex, have no verdict: see
    `lnbench compare`.

    Examples:

      lnbench report latest

      lnbench report latest --format html --output report.html

      lnbench report latest --columns time,memory,traffic --only dtype=bfloat16

      lnbench report latest --format markdown=report.md --format csv=results.csv

      lnbench report latest --format png=bandwidth.png --plot bandwidth --only phase=inference

      lnbench report reports/20261122-154500-quick --format csv --samples

      lnbench report laptop/run.jsonl server/run.jsonl --format latex=machines.tex
    """
    groups = chosen_columns(columns)
    if len(runs) > 1:
        _report_several(runs, formats=format, plot=plot, only=only, samples=samples, columns=columns, output=output)
        return
    from lnbench.conductor.formats import CHECK_FORMATS, IMAGES, REPORT_FORMATS, RUN_FORMATS
    from lnbench.conductor.outputs import write_markdown
    from lnbench.conductor.shown_run import ShownRun

    chosen = _chosen(format, REPORT_FORMATS, samples=samples)
    asked = _asked(chosen)
    _check_plot(plot, asked & set(IMAGES))
    found = _read(runs[0])
    for_checks = asked & (set(CHECK_FORMATS) - set(RUN_FORMATS))
    if found.header.check is None and for_checks:
        name = min(for_checks)
        raise UsageError(f"--format {name}: run {found.header.run_id} is no check", hint="`lnbench check` makes one")
    shown = ShownRun(found, groups=groups, only=_filter(only), plot=plot or PLOT_NAMES[0])
    formats = {**REPORT_FORMATS, "csv": ShownRun.samples} if samples else REPORT_FORMATS
    files = (*chosen.files, *([(chosen.shown, output)] if output is not None else []))
    for _, path in (file for file in files if file[0] == MARKDOWN):
        for written in write_markdown(shown, path):
            message(f"written: {written}")
    others = tuple(file for file in files if file[0] != MARKDOWN)
    _put(Chosen(chosen.shown, others), shown, formats, is_shown=output is None)
    for note in shown.left_out(asked):
        message(f"note: {note}")


def _report_several(
    names: list[str],
    *,
    formats: list[str] | None,
    plot: str | None,
    only: list[str] | None,
    samples: bool,
    columns: list[str] | None,
    output: Path | None,
) -> None:
    from lnbench.conductor.beside import RUNS_FORMATS, ShownRuns
    from lnbench.conductor.formats import REPORT_FORMATS

    chosen = _chosen(formats, REPORT_FORMATS, samples=samples)
    for name in sorted(_asked(chosen) - set(RUNS_FORMATS)):
        raise UsageError(f"--format {name}: shows one run", hint=f"several go with {', '.join(RUNS_FORMATS)}")
    if plot is not None or columns:
        raise UsageError(f"--{'columns' if columns else 'plot'}: goes with one run", hint="several have their times")
    shown = ShownRuns([_read(name) for name in names], only=_filter(only))
    files = (*chosen.files, *([(chosen.shown, output)] if output is not None else []))
    known = {**RUNS_FORMATS, "csv": ShownRuns.samples} if samples else RUNS_FORMATS
    _put(Chosen(chosen.shown, files), shown, known, is_shown=output is None)


def _chosen(formats: list[str] | None, known: Iterable[str], *, samples: bool) -> Chosen:
    chosen = chosen_formats(formats, known)
    if samples and (chosen.shown != "csv" or chosen.files):
        raise UsageError("--samples goes with --format csv")
    return chosen


def _asked(chosen: Chosen) -> set[str]:
    return {chosen.shown, *(name for name, _ in chosen.files)}


def _read(name: str) -> "Run":
    from lnbench.store.folder import find_run
    from lnbench.store.reading import read_run

    found = read_run(find_run(name, REPORTS))
    if found.torn:
        message(f"note: the last line of {found.header.run_id}'s journal is incomplete and was left out")
    return found


def _filter(only: list[str] | None) -> "Filter":
    from lnbench.chosen import NO_FILTER
    from lnbench.selection import parse_only

    return parse_only(",".join(only)) if only else NO_FILTER


def _put(chosen: Chosen, shown: T, formats: Mapping[str, Callable[[T], str | bytes]], *, is_shown: bool) -> None:
    """Write the files that were asked for, and show the rest."""
    write_files(chosen, shown, formats)
    if not is_shown:
        return
    if chosen.shown == TERMINAL:
        show(shown.renderable())
    else:
        write_shown(chosen, shown, formats)


def _check_plot(plot: str | None, images: set[str]) -> None:
    if plot is not None and plot not in PLOT_NAMES:
        raise UsageError(f'--plot: unknown plot "{plot}"', hint=nearest(plot, PLOT_NAMES))
    if plot is not None and not images:
        raise UsageError("--plot goes with --format svg or png", hint="as in --format svg=plot.svg")
