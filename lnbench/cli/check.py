"""`lnbench check`: the gate for CI. Measures, compares, confirms, and says so by its exit code."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lnbench.cli.common import (
    DEFAULT_TIMEOUT_S,
    REPORTS,
    AllowDifferent,
    Budget,
    BudgetTotal,
    Debug,
    Devices,
    Implementations,
    Margin,
    NoWait,
    Only,
    Output,
    Plugins,
    Precision,
    Processes,
    Quiet,
    Seed,
    SuiteName,
    Timeout,
    alone,
    check_margin,
    chosen_conditions,
    message,
    settings,
    show,
    split_commas,
)
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import ExitCode, UsageError, nearest
from lnbench.units import format_duration

if TYPE_CHECKING:
    from lnbench.conductor.measuring import RunOptions
    from lnbench.conductor.preparation import Prepared
    from lnbench.record import Check


def check(
    suite: SuiteName,
    against: Annotated[
        str,
        typer.Option(
            metavar="FILE[:NAME]",
            help="The old version of a plug-in, timed beside the new one: a file, or git:REVISION:FILE.",
            show_default=False,
        ),
    ] = "",
    baseline: Annotated[
        str,
        typer.Option(
            metavar="RUN", help="An earlier run: a folder, a journal file, an id, or `latest`.", show_default=False
        ),
    ] = "",
    margin: Margin = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERDICT,...", help="Pass in spite of: inconclusive, missing, not-comparable. May repeat."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Not one row may stay inconclusive.")] = False,
    allow_different: AllowDifferent = None,
    update_baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what was measured as the new baseline, whatever came out."),
    ] = None,
    format: Formats = None,
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
    no_wait: NoWait = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say which rows can be told apart in the time given; --against tries it out."),
    ] = False,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Hold an implementation against its old version, or a suite against an earlier run.

    --against times both versions side by side in the same process and rounds, and is the one to prefer in CI.
    --baseline measures the suite and compares speedups over its reference with those of the earlier run. What looks
    slower is measured again in fresh processes, and judged by those alone. A plain copy in the same rounds shows
    whether the reference moved instead.

    Exit codes: 0 no regression, 1 a confirmed regression, 2 bad input, 3 too much stayed unknown or the reference
    changed, 4 a case failed, 5 nothing was compared.

    Examples:

      lnbench check ci --plugin my_norms.py --against old/my_norms.py:my_norm

      lnbench check ci --against git:main:my_norms.py --format github

      lnbench check ci --baseline baselines/runner.jsonl --format junit=check.xml

      lnbench check ci --baseline baselines/runner.jsonl --dry-run
    """
    from lnbench.cli.catalogue import plan_line
    from lnbench.cli.progress import make_observer
    from lnbench.conductor.formats import CHECK_FORMATS
    from lnbench.conductor.measuring import RunOptions
    from lnbench.conductor.preparation import Request, check_early, prepare, prepare_sides
    from lnbench.conductor.shown_run import ShownRun
    from lnbench.gate.baseline import held_against, refuse_other_samples, writable_baseline, write_baseline
    from lnbench.gate.check import run_check
    from lnbench.record import Check
    from lnbench.store.place import refuse_unusable_folder
    from lnbench.verdict import LEAST_PROCESSES

    if bool(against) == bool(baseline):
        raise UsageError("check takes one of --against and --baseline", hint="see `lnbench check --help`")
    if processes is not None and processes < LEAST_PROCESSES:
        raise UsageError(f"--processes: a verdict takes at least {LEAST_PROCESSES}, found {processes}")
    chosen = chosen_formats(format, CHECK_FORMATS)
    allowed, different = _verdicts(allow, strict=strict), chosen_conditions(allow_different)
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
        least_processes=LEAST_PROCESSES,
        margin=check_margin(margin),
    )
    if update_baseline is not None:
        writable_baseline(update_baseline)
    base = held_against(baseline, REPORTS) if baseline else None
    if base is not None:
        refuse_other_samples(base, different)
    if output is not None or not dry_run:
        refuse_unusable_folder(output, reports=REPORTS)
    check_early(request, against)
    # A dry run against a baseline measures nothing.
    waits = nullcontext() if dry_run and base is not None else alone(f"lnbench check {suite}", no_wait=no_wait)
    with waits, prepare_sides(request, against) if against else nullcontext(prepare(request)) as prepared:
        asked = Check(
            source=against or baseline,
            revision=prepared.commit,
            narrowed=bool(only or implementation or device),
            missing=prepared.gone,
            allowed=allowed,
            strict=strict,
            different=different,
            baseline=base,
        )
        options = RunOptions(
            reports=REPORTS, folder=output, seed=seed, timeout_s=timeout or DEFAULT_TIMEOUT_S, verbose=settings.debug
        )
        if dry_run:
            return _dry_run(prepared, asked, options)
        message(str(plan_line(prepared.plan)))
        with make_observer(prepared.plan, quiet=settings.quiet) as observer:
            outcome = run_check(prepared, asked, options, observer)
    shown = ShownRun(outcome.run)
    if chosen.shown == TERMINAL:
        show(shown.renderable())
    else:
        write_shown(chosen, shown, CHECK_FORMATS)
    write_files(chosen, shown, CHECK_FORMATS)
    for path in outcome.files:
        message(f"written: {path}")
    if update_baseline is not None:
        write_baseline(outcome.run, update_baseline)
        message(f"written: {update_baseline}, the new baseline")
    return outcome.exit_code


def _dry_run(prepared: "Prepared", check: "Check", options: "RunOptions") -> int:
    """Show the plan and what it can tell apart; the spread is the baseline's, or that of a short pilot."""
    from lnbench.cli.catalogue import dry_run as dry_run_text
    from lnbench.cli.progress import make_observer
    from lnbench.gate.dry_run import expected_power, pilot_plan
    from lnbench.render.power import render_power

    show(dry_run_text(prepared.plan))
    is_pilot = check.baseline is None
    pilot = pilot_plan(prepared.plan)
    if is_pilot:
        message(f"measuring a pilot of both versions for their spread, about {format_duration(pilot.estimated_s)}")
    with make_observer(pilot, quiet=settings.quiet) as observer:
        found = expected_power(prepared, check, options, observer)
    spread = "spread of a short pilot" if is_pilot else "spread of the baseline"
    show(render_power(found, processes=prepared.plan.sampling.processes, spread=spread))
    return ExitCode.FINE


def _verdicts(allow: list[str] | None, *, strict: bool) -> tuple[str, ...]:
    """The verdicts that `--allow` names, as they are spelt in results."""
    from lnbench.exit_reasons import LIFTABLE

    known = {verdict.value.replace(" ", "-"): verdict.value for verdict in LIFTABLE}
    for name in split_commas(allow):
        if name not in known:
            raise UsageError(f'--allow: unknown verdict "{name}"', hint=nearest(name, known))
    if strict and "inconclusive" in split_commas(allow):
        raise UsageError("--strict and --allow inconclusive contradict each other")
    return tuple(known[name] for name in split_commas(allow))
