"""`lnbench report`: a run again, in any format; of a check also what it comes to."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from lnbench.cli.common import REPORTS, Columns, Debug, Quiet, chosen_columns, message, show
from lnbench.cli.formats import TERMINAL, Chosen, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import UsageError, nearest

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
"""The plots, by name; known here too, so that a mistyped one is told before anything heavy is loaded."""


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
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="COLUMN=PATTERN,...",
            help="Show the rows whose columns match, as in dtype=bfloat16,phase=backward. May repeat.",
        ),
    ] = None,
    samples: Annotated[bool, typer.Option("--samples", help="With csv: every raw sample instead of results.")] = False,
    columns: Columns = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001
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
    from lnbench.conductor.outputs import CHECK_FORMATS, IMAGES, REPORT_FORMATS, RUN_FORMATS, ShownRun

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
    _put(chosen, shown, formats, output=output)
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
    from lnbench.conductor.outputs import REPORT_FORMATS

    chosen = _chosen(formats, REPORT_FORMATS, samples=samples)
    for name in sorted(_asked(chosen) - set(RUNS_FORMATS)):
        raise UsageError(f"--format {name}: shows one run", hint=f"several go with {', '.join(RUNS_FORMATS)}")
    if plot is not None or columns:
        raise UsageError(f"--{'columns' if columns else 'plot'}: goes with one run", hint="several have their times")
    shown = ShownRuns([_read(name) for name in names], only=_filter(only))
    _put(chosen, shown, {**RUNS_FORMATS, "csv": ShownRuns.samples} if samples else RUNS_FORMATS, output=output)


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
    from lnbench.selection import parse_only

    return parse_only(",".join(only)) if only else {}


def _put(chosen: Chosen, shown: T, formats: Mapping[str, Callable[[T], str | bytes]], *, output: Path | None) -> None:
    """Write the files that were asked for, and show the rest."""
    if output is not None:
        write_files(Chosen(TERMINAL, (*chosen.files, (chosen.shown, output))), shown, formats)
        return
    write_files(chosen, shown, formats)
    if chosen.shown == TERMINAL:
        show(shown.renderable())
    else:
        write_shown(chosen, shown, formats)


def _check_plot(plot: str | None, images: set[str]) -> None:
    if plot is not None and plot not in PLOT_NAMES:
        raise UsageError(f'--plot: unknown plot "{plot}"', hint=nearest(plot, PLOT_NAMES))
    if plot is not None and not images:
        raise UsageError("--plot goes with --format svg or png", hint="as in --format svg=plot.svg")
