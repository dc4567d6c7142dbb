"""`lnbench report`: a run again, in any format; of a check also what it comes to."""

from pathlib import Path
from typing import Annotated

import typer

from lnbench.cli.common import REPORTS, Columns, Debug, Quiet, chosen_columns, message, show
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import UsageError


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, journal file, id, or `latest`.")],
    format: Formats = None,
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
    markdown, csv, json; of a check also github, junit, gitlab.

    Examples:

      lnbench report latest

      lnbench report latest --columns time,memory,traffic

      lnbench report latest --format markdown=report.md --format csv=results.csv

      lnbench report reports/20261122-154500-quick --format csv --samples
    """
    from lnbench.conductor.outputs import CHECK_FORMATS, REPORT_FORMATS, RUN_FORMATS, ShownRun, samples_text
    from lnbench.store.folder import find_run, write_atomically
    from lnbench.store.reading import read_run

    groups = chosen_columns(columns)
    chosen = chosen_formats(format, CHECK_FORMATS)
    asked = {chosen.shown, *(name for name, _ in chosen.files)}
    if samples and (chosen.shown != "csv" or chosen.files):
        raise UsageError("--samples goes with --format csv")
    found = read_run(find_run(run, REPORTS))
    if found.torn:
        message("note: the journal's last line is incomplete and was left out")
    if found.header.check is None and asked - set(RUN_FORMATS):
        name = min(asked - set(RUN_FORMATS))
        raise UsageError(f"--format {name}: run {found.header.run_id} is no check", hint="`lnbench check` makes one")
    shown = ShownRun(found, groups=groups)
    write_files(chosen, shown, REPORT_FORMATS)
    if output is not None:
        write_atomically(output, samples_text(found) if samples else REPORT_FORMATS[chosen.shown](shown))
        message(f"written: {output}")
    elif samples:
        print(samples_text(found), end="")  # noqa: T201
    elif chosen.shown == TERMINAL:
        show(shown.renderable())
    else:
        write_shown(chosen, shown, REPORT_FORMATS)
