"""`lnbench report`: a run again, as terminal table, markdown or CSV."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lnbench.cli.common import REPORTS, Debug, Quiet, message, show
from lnbench.errors import UsageError

if TYPE_CHECKING:
    from lnbench.record import Run


class Format(StrEnum):
    """How a run can be shown."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    CSV = "csv"


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, journal file, id, or `latest`.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to make of it.")] = Format.TERMINAL,
    samples: Annotated[bool, typer.Option("--samples", help="With csv: every raw sample instead of results.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show a run again, in any format.

    Every statistic is derived anew from the run's raw samples.

    Examples:

      lnbench report latest

      lnbench report latest --format markdown --output report.md

      lnbench report reports/20261122-154500-quick --format csv --samples
    """
    from lnbench.store.folder import find_run, write_atomically
    from lnbench.store.journal import read_run

    if samples and format is not Format.CSV:
        raise UsageError("--samples goes with --format csv")
    found = read_run(find_run(run, REPORTS))
    if found.torn:
        message("note: the journal's last line is incomplete and was left out")
    if format is Format.TERMINAL and output is None:
        from lnbench.render.terminal import render_run
        from lnbench.view import view_run

        show(render_run(view_run(found)))
        return
    text = _text(found, format, samples=samples)
    if output is None:
        print(text, end="")  # noqa: T201
    else:
        write_atomically(output, text)
        message(f"written: {output}")


def _text(found: "Run", format: Format, *, samples: bool) -> str:
    from lnbench.conductor import outputs

    match format:
        case Format.CSV:
            return outputs.csv_text(found, samples=samples)
        case Format.MARKDOWN:
            return outputs.markdown_text(found)
        case Format.TERMINAL:
            return outputs.terminal_text(found)
