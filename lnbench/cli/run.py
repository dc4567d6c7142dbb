"""`lnbench run`: measure a suite, show its tables, and leave a run folder; or finish a run that was interrupted."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lnbench.cli.common import (
    DEFAULT_TIMEOUT_S,
    REPORTS,
    Budget,
    BudgetTotal,
    Columns,
    Debug,
    Devices,
    Implementations,
    NoWait,
    Only,
    Output,
    Plugins,
    Precision,
    Processes,
    Quiet,
    Seed,
    Timeout,
    alone,
    chosen_columns,
    message,
    settings,
    show,
    split_commas,
)
from lnbench.errors import ExitCode, OutputError, UsageError
from lnbench.render.outside import plain

if TYPE_CHECKING:
    from lnbench.conductor.measuring import Outcome
    from lnbench.record import Run


def run(
    suite: Annotated[
        str | None,
        typer.Argument(metavar="SUITE", help="A path (with a / or ending in .yaml), or a shipped suite's name."),
    ] = None,
    only: Only = None,
    implementation: Implementations = None,
    device: Devices = None,
    plugin: Plugins = None,
    processes: Processes = None,
    precision: Precision = None,
    budget: Budget = None,
    budget_total: BudgetTotal = None,
    timeout: Timeout = None,
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
    resume: Annotated[
        str,
        typer.Option(
            metavar="RUN",
            help="Finish an interrupted run: its folder, id, or `latest`. Plug-ins have to be given again.",
            show_default=False,
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="With --resume: go on although suite, versions or machine changed.")
    ] = False,
    no_wait: NoWait = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and every skip; measure nothing.")] = False,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Measure a suite and show its tables.

    Every implementation is verified against a float64 oracle, then all of a workload take turns; speedups are ratios to
    the suite's reference. Leaves a folder with run.jsonl, results.csv and report.md.

    Ctrl-C finishes the turn under way and shows what there is; once more stops at once. Nothing that was measured is
    lost, and --resume goes on from there. Two runs on one machine disturb each other, so the second waits.

    Examples:

      lnbench run quick

      lnbench run transformer --only dtype=bfloat16 --implementation fused,compiled

      lnbench run my_suite.yaml --plugin my_norms.py --processes 5

      lnbench run quick --columns time,memory,traffic

      lnbench run vision --dry-run

      lnbench run --resume latest --plugin my_norms.py
    """
    groups = chosen_columns(columns)
    if resume:
        fixed = {
            "--only": only,
            "--implementation": implementation,
            "--device": device,
            "--processes": processes,
            "--precision": precision,
            "--budget": budget,
            "--budget-total": budget_total,
            "--seed": seed,
            "--output": output,
            "--energy": energy,
            "--cold-compile": cold_compile,
        }
        return _resume(
            resume,
            suite,
            plugin or (),
            fixed=fixed,
            timeout_s=timeout,
            force=force,
            no_wait=no_wait,
            dry_run=dry_run,
            groups=groups,
        )
    if suite is None:
        raise UsageError("run takes a SUITE, or --resume RUN", hint="see `lnbench run --help`")
    if force:
        raise UsageError("--force goes with --resume")

    from lnbench.cli.catalogue import dry_run as dry_run_text
    from lnbench.cli.catalogue import plan_line
    from lnbench.conductor.preparation import Request, check_early, prepare
    from lnbench.store.place import refuse_unusable_folder

    request = Request(
        suite=suite,
        only=tuple(only or ()),
        implementations=split_commas(implementation),
        devices=split_commas(device),
        plugins=tuple(plugin or ()),
        processes=processes,
        precision=precision,
        budget_s=budget,
        budget_total_s=budget_total,
        timeout_s=timeout,
    )
    if output is not None or not dry_run:
        refuse_unusable_folder(output, reports=REPORTS)
    if dry_run:
        show(dry_run_text(prepare(request).plan))
        return ExitCode.FINE
    check_early(request)

    from lnbench.cli.progress import make_observer
    from lnbench.conductor.measuring import RunOptions, measure

    options = RunOptions(
        reports=REPORTS,
        folder=output,
        seed=seed,
        timeout_s=timeout or DEFAULT_TIMEOUT_S,
        verbose=settings.debug,
        energy=energy,
        cold_compile=cold_compile,
    )
    with alone(f"lnbench run {suite}", no_wait=no_wait):
        prepared = prepare(request)
        message(str(plan_line(prepared.plan, energy=energy)))
        with make_observer(prepared.plan, quiet=settings.quiet) as observer:
            outcome = measure(prepared, options, observer)
    return _show_outcome(outcome, groups)


def _resume(
    text: str,
    suite: str | None,
    plugins: Sequence[Path],
    *,
    fixed: Mapping[str, object],
    timeout_s: float | None,
    force: bool,
    no_wait: bool,
    dry_run: bool,
    groups: Sequence[str],
) -> int:
    """Finish an interrupted run. `fixed`: options that the run has settled, and whether they were given again."""
    given = [name for name, value in fixed.items() if value is not None and value is not False]
    if given:
        raise UsageError(
            f"{given[0]} can't be changed on the way", hint="--resume goes on with the plan that the run began with"
        )

    from lnbench.cli.progress import make_observer
    from lnbench.conductor.measuring import RunOptions, exit_code_of, resume
    from lnbench.conductor.outputs import are_current, write_outputs
    from lnbench.conductor.resuming import prepare_resume, resume_early
    from lnbench.store.folder import find_run

    folder = find_run(text, REPORTS)

    def complete(run: "Run", journal: Path) -> int:
        message(f"run {run.header.run_id} is complete: nothing to resume")
        if not dry_run and not are_current(journal.parent):
            write_outputs(run, journal.parent)
        return exit_code_of(run, interrupted=False)

    early = resume_early(folder, plugins=plugins, suite=suite, force=force)
    if early.is_complete:
        return complete(early.run, early.journal)
    # Read again when nobody else measures: the run may be one that is still going on.
    with nullcontext() if dry_run else alone(f"lnbench run --resume {text}", no_wait=no_wait):
        found = prepare_resume(folder, plugins=plugins, suite=suite, force=force)
        header = found.run.header
        if found.is_complete:
            return complete(found.run, found.journal)
        total = len({case.workload for case in header.cases if case.status is None}) * header.sampling.processes
        message(f"run {header.run_id}: {found.left} of {total} workloads are left to measure, counted in every process")
        if dry_run:
            return ExitCode.FINE
        options = RunOptions(
            reports=REPORTS,
            folder=None,
            seed=None,
            timeout_s=timeout_s or float(header.options.get("timeout_s", DEFAULT_TIMEOUT_S)),
            verbose=settings.debug,
            energy="energy" in header.options,
            cold_compile="cold_compile" in header.options,
        )
        with make_observer(found.plan, quiet=settings.quiet, units=found.left) as observer:
            outcome = resume(found, options, observer)
    return _show_outcome(outcome, groups)


def _show_outcome(outcome: "Outcome", groups: Sequence[str]) -> int:
    """Show the tables, then where the files are, and how an interrupted run goes on."""
    from lnbench.conductor.shown_run import ShownRun

    unshown = None
    try:
        show(ShownRun(outcome.run, groups=groups).renderable())
    except OutputError as error:
        unshown = error
    for path in outcome.files:
        message(f"written: {plain(str(path))}")
    if outcome.to_resume:
        message(f"interrupted; to go on: {outcome.to_resume}")
    problem = outcome.unwritten or unshown
    if problem is not None and outcome.exit_code is not ExitCode.INTERRUPTED:
        raise problem
    return outcome.exit_code
