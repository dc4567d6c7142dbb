"""`lnbench history`: all runs of a folder over time, and between which commits a row changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from lnbench.cli.common import (
    REPORTS,
    Debug,
    Margin,
    Only,
    Quiet,
    check_margin,
    message,
    progress_console,
    settings,
    show,
    split_commas,
)
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown

SLOW_S = 1.0
"""Whoever waits longer is shown how far it is."""

MOST_NAMED = 5
"""So many journals that can't be read are named one by one."""


def history(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of runs; they may lie up to two levels below it.")
    ] = REPORTS,
    suite: Annotated[
        list[str] | None, typer.Option("--suite", metavar="NAME,...", help="Only runs of these suites. May repeat.")
    ] = None,
    only: Only = None,
    margin: Margin = None,
    format: Formats = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> None:
    """Show the runs of a folder over time: per row its speedup as a line, and what changed when.

    A change is told with its size and the commits between which it lies: larger than the margin, no chance among all
    rows, and not one odd run. It takes 6 runs to look for any. Runs, checks against a baseline, and baselines count;
    other machines, threads or allocators have lines of their own, other versions are told. Formats: terminal, markdown,
    csv (every point), json, html (one page with lines that can be filtered).

    Examples:

      lnbench history

      lnbench history reports --suite ci --only implementation=compiled*

      lnbench history --format html=history.html

      lnbench history artifacts --format markdown=history.md --format csv=history.csv
    """
    from lnbench.conductor.formats import HISTORY_FORMATS
    from lnbench.gate.history import read_history
    from lnbench.plan import parse_only
    from lnbench.store.folder import write_atomically
    from lnbench.store.searching import find_journals

    chosen = chosen_formats(format, HISTORY_FORMATS)
    wanted = parse_only(",".join(only)) if only else None
    journals = find_journals(folder)
    found = read_history(_told(journals), suites=split_commas(suite), only=wanted, margin=check_margin(margin))
    _tell_unreadable(found.unreadable)
    write_files(chosen, found.history, HISTORY_FORMATS)
    if output is not None:
        write_atomically(output, HISTORY_FORMATS[chosen.shown](found.history))
        message(f"written: {output}")
    elif chosen.shown == TERMINAL:
        from lnbench.render.history import render_history

        show(render_history(found.history))
    else:
        write_shown(chosen, found.history, HISTORY_FORMATS)


def _tell_unreadable(messages: Sequence[str]) -> None:
    for text in messages[:MOST_NAMED]:
        message(f"left out: {text}")
    if len(messages) > MOST_NAMED:
        message(f"left out: {len(messages) - MOST_NAMED} more that can't be read")


def _told(journals: Sequence[Path]) -> Iterator[Path]:
    """The journals one by one; where that takes long, how far it is."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = progress_console()
    columns = (TextColumn("reading runs"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=settings.quiet or not console.is_terminal
    ) as progress:
        task, began = progress.add_task("", total=len(journals), visible=False), monotonic()
        for number, journal in enumerate(journals):
            yield journal
            is_slow = monotonic() - began > SLOW_S
            progress.update(task, completed=number + 1, visible=is_slow, refresh=is_slow)
