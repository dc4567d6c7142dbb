"""One run, from a prepared plan to its folder, its tables' source and its exit code."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from lnbench import __version__
from lnbench.conductor.outputs import write_outputs
from lnbench.conductor.preparation import Prepared
from lnbench.conductor.runner import Observer, Runner
from lnbench.errors import ExitCode, NothingMeasuredError, most_telling
from lnbench.planned import Status
from lnbench.record import Check, Header, Run
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
    """A finished run, the files that it left, and what the shell is told."""

    run: Run
    files: tuple[Path, ...]
    exit_code: ExitCode


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
    Raises NothingMeasuredError when no case can be measured here, OutputError when the folder can't be used.
    """
    plan = prepared.plan
    if not plan.measurable:
        reasons = "; ".join(reason for (_, reason) in plan.set_aside) or "the filters leave no case"
        raise NothingMeasuredError(f"nothing to measure: {reasons}", hint="`lnbench list cases SUITE` shows every case")
    now = datetime.now(UTC)
    run_id = new_run_id(prepared.suite.name, now, reports=options.reports)
    folder = options.folder or options.reports / run_id
    seed = secrets.randbits(31) if options.seed is None else options.seed
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
        environment=prepared.environment,
        workloads=plan.workloads,
        cases=plan.cases,
        check=check,
    )
    with Journal.create(folder, header) as journal, _compile_cache(options) as cache:
        runner = Runner(
            plan,
            journal,
            observer,
            environment=prepared.environment,
            plugins=prepared.sources,
            seed=seed,
            timeout_s=options.timeout_s,
            verbose=options.verbose,
            energy=options.energy,
            compile_cache=cache,
        )
        uses_gpu = any(plan.workloads[case.workload].workload.is_cuda for case in plan.cases if case.status is None)
        if prepared.missing_nvml and uses_gpu:
            runner.notice("no-nvml", f"GPU memory is not read: {prepared.missing_nvml}")
        finished = runner.measure()
        if finished and (cases := again(read_run(folder))):
            finished = runner.confirm(cases)
        runner.finish(interrupted=not finished)
    run = read_run(folder)
    files = write_outputs(run, folder)
    return Outcome(run, (folder / "run.jsonl", *files), exit_code_of(run, interrupted=not finished))


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
