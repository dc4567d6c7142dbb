"""`lnbench run`: measure a suite, show its tables, and leave a run folder."""

from typing import Annotated

import typer

from lnbench.cli.common import (
    DEFAULT_TIMEOUT_S,
    REPORTS,
    Budget,
    Columns,
    Debug,
    Devices,
    Implementations,
    Only,
    Output,
    Plugins,
    Precision,
    Processes,
    Quiet,
    Seed,
    SuiteName,
    Timeout,
    chosen_columns,
    message,
    settings,
    show,
    split_commas,
)
from lnbench.errors import ExitCode


def run(
    suite: SuiteName,
    only: Only = None,
    implementation: Implementations = None,
    device: Devices = None,
    plugin: Plugins = None,
    processes: Processes = None,
    precision: Precision = None,
    budget: Budget = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    seed: Seed = None,
    output: Output = None,
    columns: Columns = None,
    energy: Annotated[
        bool,
        typer.Option("--energy", help="Measure joules too, in loops of 2 s per case, where there is a counter."),
    ] = False,
    cold_compile: Annotated[
        bool,
        typer.Option("--cold-compile", help="Begin with an empty compile cache; later processes find it filled."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and every skip; measure nothing.")] = False,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Measure a suite and show its tables.

    Every implementation is verified against a float64 oracle, then all of a workload take turns; speedups are ratios to
    the suite's reference. Leaves a folder with run.jsonl, results.csv and report.md.

    Examples:

      lnbench run quick

      lnbench run transformer --only dtype=bfloat16 --implementation fused,compiled

      lnbench run my_suite.yaml --plugin my_norms.py --processes 5

      lnbench run quick --columns time,memory,traffic

      lnbench run vision --dry-run
    """
    from lnbench.cli.catalogue import dry_run as dry_run_text
    from lnbench.cli.catalogue import plan_line
    from lnbench.conductor.preparation import Request, prepare

    groups = chosen_columns(columns)
    prepared = prepare(
        Request(
            suite=suite,
            only=tuple(only or ()),
            implementations=split_commas(implementation),
            devices=split_commas(device),
            plugins=tuple(plugin or ()),
            processes=processes,
            precision=precision,
            budget_s=budget,
        )
    )
    if dry_run:
        show(dry_run_text(prepared.plan))
        return ExitCode.FINE

    from lnbench.cli.progress import make_observer
    from lnbench.conductor.measuring import RunOptions, measure

    message(str(plan_line(prepared.plan, energy=energy)))
    options = RunOptions(
        reports=REPORTS,
        folder=output,
        seed=seed,
        timeout_s=timeout,
        verbose=settings.debug,
        energy=energy,
        cold_compile=cold_compile,
    )
    with make_observer(prepared.plan, quiet=settings.quiet) as observer:
        outcome = measure(prepared, options, observer)

    from lnbench.conductor.outputs import ShownRun

    show(ShownRun(outcome.run, groups=groups).renderable())
    for path in outcome.files:
        message(f"written: {path}")
    return outcome.exit_code
