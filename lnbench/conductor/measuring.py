"""One run, from a prepared plan, or from where it was interrupted, to its folder and its exit code."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from lnbench import __version__
from lnbench.conductor.busy_watch import BusyWatch
from lnbench.conductor.commit import current_commit
from lnbench.conductor.interrupts import Interrupts
from lnbench.conductor.listening import Observer
from lnbench.conductor.loaded import Loaded
from lnbench.conductor.outputs import write_outputs
from lnbench.conductor.preparation import Prepared, refuse_empty
from lnbench.conductor.process_group import adopt_orphans
from lnbench.conductor.resuming import Resumable, how_to_resume
from lnbench.conductor.runner import Habits, Runner
from lnbench.conductor.thread_variables import thread_notices
from lnbench.errors import ExitCode, OutputError, StoppedAtOnce, most_telling
from lnbench.events import Resumed
from lnbench.plan import Plan
from lnbench.planned import Environment, ProcessSpread, Status
from lnbench.process_spread import is_of_machine_class, process_spread
from lnbench.record import Check, Header, Run
from lnbench.standing import Standing
from lnbench.store.earlier import earlier_runs
from lnbench.store.folder import new_run_id
from lnbench.store.journal import Journal
from lnbench.store.reading import read_run
from lnbench.summaries import summarize


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and how it is watched over; `folder` None: a new one under `reports`.

    `energy`: measure it too. `cold_compile`: begin with an empty compile cache.
    """

    reports: Path
    folder: Path | None
    seed: int | None
    timeout_s: float
    verbose: bool = False
    energy: bool = False
    cold_compile: bool = False

    def recorded(self) -> dict[str, str]:
        """What a journal keeps of them: what can change a number."""
        flags = {"energy": self.energy, "cold_compile": self.cold_compile}
        return {"timeout_s": f"{self.timeout_s:g}"} | {name: "yes" for name, asked in flags.items() if asked}


@dataclass(frozen=True)
class Outcome:
    """A finished run, the files that it left, and what the shell is told.

    `unwritten`: what was in the way of the files beside the journal. `to_resume`: the command that goes on with a run
    that the user interrupted.
    """

    run: Run
    files: tuple[Path, ...]
    exit_code: ExitCode
    unwritten: OutputError | None = None
    to_resume: str = ""


@dataclass(frozen=True)
class _Course:
    """What a run is carried out with, whether it begins or goes on."""

    plan: Plan
    environment: Environment
    plugins: Loaded
    seed: int
    standing: Standing
    missing_nvml: str
    is_check: bool = False
    again: Callable[[Run], frozenset[int]] = lambda _: frozenset()


def measure(
    prepared: Prepared,
    options: RunOptions,
    observer: Observer,
    *,
    check: Check | None = None,
    again: Callable[[Run], frozenset[int]] = lambda _: frozenset(),
) -> Outcome:
    """Measure a plan into a run folder.

    `check`: what the run is held against, for its journal. `again`: the cases to measure once more in fresh processes,
    chosen when everything was measured.
    Raises NothingMeasuredError when no case can be measured here, OutputError when the folder can't be used or takes no
    more, StoppedAtOnce when the user interrupts twice.
    """
    plan = prepared.plan
    refuse_empty(plan)
    now = datetime.now(UTC)
    run_id = new_run_id(prepared.suite.name, now, reports=options.reports)
    folder = options.folder or options.reports / run_id
    seed = secrets.randbits(31) if options.seed is None else options.seed
    commit = current_commit()
    header = Header(
        run_id=run_id,
        created=now.isoformat(timespec="seconds"),
        lnbench_version=__version__,
        suite=prepared.suite.name,
        description=prepared.suite.description,
        suite_text=prepared.suite_text,
        seed=seed,
        sampling=plan.sampling,
        options=options.recorded(),
        plugins=prepared.plugin_digests,
        commit=commit.id,
        dirty=commit.dirty,
        environment=prepared.environment,
        process_spread=_earlier_spread(options.reports, prepared.environment),
        workloads=plan.workloads,
        cases=plan.cases,
        check=check,
    )
    course = _Course(
        plan,
        prepared.environment,
        prepared.plugins,
        seed,
        Standing(plan.workloads, plan.cases, budget_s=plan.sampling.budget_s),
        prepared.missing_nvml,
        check is not None,
        again,
    )
    with Journal.create(folder, header) as journal:
        return _carry_out(course, journal, options, observer)


def _earlier_spread(reports: Path, environment: Environment) -> tuple[ProcessSpread, ...]:
    """How far processes of earlier runs on such a machine lay apart; kept in the journal, so that it holds alone."""
    return process_spread(earlier_runs(reports, wanted=lambda header: is_of_machine_class(header, environment)))


def resume(resumable: Resumable, options: RunOptions, observer: Observer) -> Outcome:
    """Measure what is missing of an interrupted run, into the same folder. Raises as `measure` does."""
    header = resumable.run.header
    course = _Course(
        resumable.plan,
        resumable.environment,
        resumable.plugins,
        header.seed,
        resumable.standing,
        resumable.missing_nvml,
    )
    with Journal.reopen(resumable.journal, resumable.run) as journal:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        journal.append(Resumed(at=at, differences=resumable.differences))
        return _carry_out(course, journal, options, observer)


def _carry_out(course: _Course, journal: Journal, options: RunOptions, observer: Observer) -> Outcome:
    """Measure, and write what stands beside the journal."""
    adopt_orphans()
    plan, folder = course.plan, journal.path.parent
    to_resume = "" if course.is_check else how_to_resume(folder, course.plugins.sources)
    try:
        with Interrupts() as interrupts, _compile_cache(options) as cache:
            runner = Runner(
                plan,
                journal,
                observer,
                environment=course.environment,
                plugins=course.plugins,
                seed=course.seed,
                interrupts=interrupts,
                standing=course.standing,
                habits=Habits(options.timeout_s, options.verbose, options.energy, cache),
                busy_watch=BusyWatch(observer.looked),
            )
            runner.look_before()
            uses_gpu = any(plan.workloads[case.workload].workload.is_cuda for case in plan.cases if case.status is None)
            if course.missing_nvml and uses_gpu:
                runner.notice("no-nvml", f"GPU memory is not read: {course.missing_nvml}")
            threads = {plan.workloads[case.workload].workload.threads for case in plan.cases if case.status is None}
            for notice in thread_notices(os.environ, threads, physical_cores=course.environment.physical_cores):
                runner.notice(notice.code, notice.text)
            finished = runner.measure()
            if finished and (cases := course.again(read_run(folder))):
                finished = runner.confirm(cases)
            runner.finish(interrupted=not finished)
    except KeyboardInterrupt:
        hint = f"to go on: {to_resume}" if to_resume else ""
        raise StoppedAtOnce(f"stopped at once; {journal.path} holds what was measured", hint=hint) from None
    run = read_run(folder)
    code = exit_code_of(run, interrupted=not finished)
    to_resume = "" if finished else to_resume
    try:
        return Outcome(run, (journal.path, *write_outputs(run, folder)), code, to_resume=to_resume)
    except OutputError as error:
        return Outcome(run, (journal.path,), most_telling([code, error.exit_code]), error, to_resume)


@contextmanager
def _compile_cache(options: RunOptions) -> Iterator[str]:
    """A folder for what torch.compile keeps, where the run is to begin with an empty one; "" for the user's own."""
    if not options.cold_compile:
        yield ""
        return
    with TemporaryDirectory(prefix="lnbench-compile-", ignore_cleanup_errors=True) as folder:
        yield folder


def exit_code_of(run: Run, *, interrupted: bool) -> ExitCode:
    """What a run tells the shell."""
    statuses = {row.status for row in summarize(run)}
    codes = [ExitCode.FINE]
    if interrupted:
        codes.append(ExitCode.INTERRUPTED)
    if any(status.is_failure for status in statuses):
        codes.append(ExitCode.CASE_FAILED)
    if not statuses & {Status.OK, Status.UNSTABLE}:
        codes.append(ExitCode.NOTHING_MEASURED)
    return most_telling(codes)
