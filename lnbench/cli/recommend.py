"""`lnbench recommend`: what to use on each workload of a run, and what that costs."""

from typing import Annotated

import typer

from lnbench.cli.common import REPORTS, Debug, Quiet, message, show, split_commas
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import ExitCode, UsageError, nearest


def recommend(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, journal file, id, or `latest`.")],
    phase: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="inference, forward, backward, forward_backward. May repeat.",
            show_default="a whole step, and inference",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="COLUMN=PATTERN,...",
            help="The workloads to tell of, as in dtype=bfloat16,input_shape=8x*. May repeat.",
        ),
    ] = None,
    format: Formats = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Say what to use: per workload the fastest implementation that computes the reference's function.

    It has to be verified and stable. Also told: how much faster than the reference and whether that is significant,
    what it costs in memory and for its first call, and with whom it is in a tie. Formats: terminal, markdown, json.

    Exit codes: 0, or 5 when there is nothing to recommend.

    Examples:

      lnbench recommend latest

      lnbench recommend latest --phase backward --only dtype=bfloat16

      lnbench recommend reports/20261122-154500-quick --format markdown=what-to-use.md
    """
    from lnbench.analysis.recommend import recommend as recommended
    from lnbench.conductor.formats import RECOMMENDATION_FORMATS, recommendation_formats
    from lnbench.render.recommendation import render_recommendations
    from lnbench.selection import parse_only
    from lnbench.store.folder import find_run
    from lnbench.store.reading import read_run
    from lnbench.view import view_run
    from lnbench.workload import Phase

    chosen = chosen_formats(format, RECOMMENDATION_FORMATS)
    phases = split_commas(phase)
    for name in phases:
        if name not in tuple(Phase):
            raise UsageError(f'--phase: unknown phase "{name}"', hint=nearest(name, tuple(Phase)))
    places = parse_only(",".join(only)) if only else {}
    view = view_run(read_run(find_run(run, REPORTS)))
    if not view.completed:
        message("note: the run was interrupted; what was measured before is what this rests on")
    found = recommended(view, phases=[Phase(name) for name in phases] or None, only=places)
    if places and not found:
        raise UsageError("--only: no workload of the run matches")
    formats = recommendation_formats(view.busy)
    write_files(chosen, found, formats)
    if chosen.shown == TERMINAL:
        show(render_recommendations(found, busy=view.busy))
    else:
        write_shown(chosen, found, formats)
    return ExitCode.FINE if any(it.use for it in found) else ExitCode.NOTHING_MEASURED
