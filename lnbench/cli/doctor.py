"""`lnbench doctor`: is this machine fit to measure on, and what would make it fitter?"""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from lnbench.cli.common import Debug, NoWait, Quiet, alone, message, settings, show
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from lnbench.conductor.listening import Observer
    from lnbench.plan import Plan

LEAST_SECONDS = 10.0
"""Three processes have to start, and to measure a little."""


def doctor(
    seconds: Annotated[float, typer.Option(metavar="SECONDS", help="How long identical work is measured.")] = 20.0,
    format: Formats = None,
    no_wait: NoWait = False,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Examine this machine: is it fit to measure on, and what would make it fitter?

    Copy bandwidth by working set, the clock, what other processes use, how much identical work varies (20 s), what a
    check could resolve, and whether the GPU, NVML, the compiler, Triton and each framework really work, each tried in a
    process of its own. Exit code 3 when the machine is unfit. Formats: terminal, json.

    Examples:

      lnbench doctor

      lnbench doctor --seconds 60 --format json=machine.json
    """
    from lnbench.cli.progress import make_observer
    from lnbench.conductor.plain_text import plain_text
    from lnbench.gate.doctor import examine
    from lnbench.render.doctor import render_fitness, render_json

    if not LEAST_SECONDS <= seconds <= 3600:
        raise UsageError(f"--seconds: must be {LEAST_SECONDS:g} to 3600, found {seconds:g}", hint="20 is enough")
    formats = {TERMINAL: lambda result: plain_text(render_fitness(result)), "json": render_json}
    chosen = chosen_formats(format, formats)
    with alone("lnbench doctor", no_wait=no_wait), ExitStack() as stack:

        def observe(plan: "Plan") -> "Observer":
            return stack.enter_context(make_observer(plan, quiet=settings.quiet))

        def say(text: str) -> None:
            stack.close()  # the bar of what was measured before
            message(text)

        fitness = examine(seconds=seconds, make_observer=observe, say=say)
    write_files(chosen, fitness, formats)
    if chosen.shown == TERMINAL:
        show(render_fitness(fitness))
    else:
        write_shown(chosen, fitness, formats)
    return ExitCode.FINE if fitness.is_fit else ExitCode.UNFIT
