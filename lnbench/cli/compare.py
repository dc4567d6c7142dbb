"""`lnbench compare`: two runs, row by row, with verdicts."""

from typing import Annotated

import typer

from lnbench.cli.common import REPORTS, AllowDifferent, Debug, Margin, Quiet, check_margin, chosen_conditions, show
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import ExitCode


def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The earlier run: a folder, a journal, an id, `latest`.")],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The later run.")],
    margin: Margin = None,
    allow_different: AllowDifferent = None,
    format: Formats = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Compare two runs: per row the slowdown with its interval, a verdict and the reason.

    What is compared is time relative to each run's own reference. Rows from another machine class, torch or Triton
    version, thread count, allocator or suite are not comparable unless allowed. Each side needs at least 3 processes.
    Formats: terminal, markdown, csv, json.

    Exit codes: 0, or 5 when nothing was compared; a slower row never fails this command, see `lnbench check`.

    Examples:

      lnbench compare reports/20261122-154500-ci latest

      lnbench compare baseline.jsonl latest --format markdown=comparison.md

      lnbench compare old new --allow-different torch
    """
    from lnbench.comparison import compare_runs
    from lnbench.conductor.formats import COMPARISON_FORMATS
    from lnbench.store.folder import find_run
    from lnbench.store.reading import read_run

    chosen = chosen_formats(format, COMPARISON_FORMATS)
    different = chosen_conditions(allow_different)
    runs = [read_run(find_run(name, REPORTS)) for name in (base, head)]
    comparison = compare_runs(*runs, margin=check_margin(margin), different=different)
    write_files(chosen, comparison, COMPARISON_FORMATS)
    if chosen.shown == TERMINAL:
        from lnbench.render.comparison import render_comparison

        show(render_comparison(comparison))
    else:
        write_shown(chosen, comparison, COMPARISON_FORMATS)
    return ExitCode.FINE if any(row.verdict.is_compared for row in comparison.rows) else ExitCode.NOTHING_MEASURED
