"""`lnbench selftest`: how often the tool is right on this machine."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from lnbench.cli.common import Debug, Margin, NoWait, Quiet, Seed, alone, check_margin, message, settings, show
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.units import format_duration

if TYPE_CHECKING:
    from lnbench.conductor.listening import Observer
    from lnbench.plan import Plan


def selftest(
    minutes: Annotated[float, typer.Option(metavar="MINUTES", help="At most about this long.")] = 10.0,
    margin: Margin = None,
    seed: Seed = None,
    format: Formats = None,
    no_wait: NoWait = False,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Measure how often this tool is right on this machine, now.

    Blocks of calls are timed against identical blocks, and against blocks with exactly 3, 5 and 10 % more calls, and
    judged as a check would: false alarms, detection and interval coverage, each with its bounds, and the smallest
    slowdown that can be resolved. Rates hold for the machine as busy as it is meanwhile. Formats: terminal, json.

    Examples:

      lnbench selftest

      lnbench selftest --minutes 30 --format json=rates.json
    """
    from lnbench.cli.progress import make_observer
    from lnbench.conductor.plain_text import plain_text
    from lnbench.gate.selftest import run_selftest, schedule
    from lnbench.render.selftest import render_json, render_selftest

    formats = {TERMINAL: lambda result: plain_text(render_selftest(result)), "json": render_json}
    chosen = chosen_formats(format, formats)
    planned = schedule(minutes, margin=check_margin(margin))
    message(
        f"selftest: {planned.repetitions} repetition{'s' if planned.repetitions != 1 else ''} of about "
        f"{format_duration(planned.repetition_s)}, about {format_duration(planned.repetitions * planned.repetition_s)} "
        "in all"
    )
    with alone("lnbench selftest", no_wait=no_wait), ExitStack() as stack:

        def observe(plan: "Plan") -> "Observer":
            stack.close()
            return stack.enter_context(make_observer(plan, quiet=settings.quiet))

        finished = run_selftest(planned, observe, seed=seed)
    write_files(chosen, finished.result, formats)
    if chosen.shown == TERMINAL:
        show(render_selftest(finished.result))
    else:
        write_shown(chosen, finished.result, formats)
    return finished.exit_code
