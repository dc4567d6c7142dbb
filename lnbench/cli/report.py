"""`lnbench report`: a run again, in any format; of a check also what it comes to."""

from pathlib import Path
from typing import Annotated

import typer

from lnbench.cli.common import REPORTS, Columns, Debug, OnlyRows, Quiet, chosen_columns, message, show
from lnbench.cli.formats import TERMINAL, Chosen, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import UsageError, nearest

MARKDOWN = "markdown"
PLOT_NAMES = ("speedup", "time", "bandwidth", "memory", "batch", "samples", "conditions")
"""The plots, by name; known here too, so that a mistyped one is told before anything heavy is loaded."""


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, journal file, id, or `latest`.")],
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
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show a run again, in any format.

    Every statistic is derived anew from the run's raw samples, and so is a check's verdict. Formats: terminal,
    markdown, csv, json, html (one page with plots that can be filtered), svg and png (one plot); of a check also
    github, junit, gitlab. Markdown that is written to a file has its plots beside it.

    Examples:

      lnbench report latest

      lnbench report latest --format html --output report.html

      lnbench report latest --columns time,memory,traffic --only dtype=bfloat16

      lnbench report latest --format markdown=report.md --format csv=results.csv

      lnbench report latest --format png=bandwidth.png --plot bandwidth --only phase=inference

      lnbench report reports/20261122-154500-quick --format csv --samples
    """
    from lnbench.chosen import NO_FILTER
    from lnbench.conductor.outputs import CHECK_FORMATS, IMAGES, REPORT_FORMATS, RUN_FORMATS, ShownRun, write_markdown
    from lnbench.selection import parse_only
    from lnbench.store.folder import find_run
    from lnbench.store.reading import read_run

    groups = chosen_columns(columns)
    chosen = chosen_formats(format, REPORT_FORMATS)
    asked = {chosen.shown, *(name for name, _ in chosen.files)}
    if samples and (chosen.shown != "csv" or chosen.files):
        raise UsageError("--samples goes with --format csv")
    _check_plot(plot, asked & set(IMAGES))
    found = read_run(find_run(run, REPORTS))
    if found.torn:
        message("note: the journal's last line is incomplete and was left out")
    for_checks = asked & (set(CHECK_FORMATS) - set(RUN_FORMATS))
    if found.header.check is None and for_checks:
        name = min(for_checks)
        raise UsageError(f"--format {name}: run {found.header.run_id} is no check", hint="`lnbench check` makes one")
    chosen_only = parse_only(",".join(only)) if only else NO_FILTER
    shown = ShownRun(found, groups=groups, only=chosen_only, plot=plot or PLOT_NAMES[0])
    formats = {**REPORT_FORMATS, "csv": ShownRun.samples} if samples else REPORT_FORMATS
    files = (*chosen.files, *([(chosen.shown, output)] if output is not None else []))
    for _, path in (file for file in files if file[0] == MARKDOWN):
        for written in write_markdown(shown, path):
            message(f"written: {written}")
    write_files(Chosen(TERMINAL, tuple(file for file in files if file[0] != MARKDOWN)), shown, formats)
    if output is not None:
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
