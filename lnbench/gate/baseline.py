"""Baselines: earlier runs made small, kept in a file, and read again to hold a new run against."""

import gzip
import hashlib
from collections.abc import Collection
from pathlib import Path

from lnbench.condense import condense
from lnbench.conditions import FIRST_UNDISTURBED
from lnbench.errors import JournalError, NothingMeasuredError, OutputError
from lnbench.events import Confirming
from lnbench.record import Baseline, Run
from lnbench.sides import Side
from lnbench.store.folder import find_run, write_bytes_atomically
from lnbench.store.journal import journal_lines
from lnbench.store.reading import journal_file, read_run
from lnbench.verdict import LEAST_PROCESSES


def read_baseline(path: Path) -> Baseline:
    """The baseline in a run folder or a journal file.

    Raises JournalError when it can't be read, or rests on fewer than three processes.
    """
    file = journal_file(path)
    run = compact(read_run(file), name=str(path))
    return Baseline(digest=hashlib.sha256(file.read_bytes()).hexdigest(), header=run.header, events=tuple(run.events))


def held_against(text: str, reports: Path) -> Baseline:
    """The baseline that RUN names on the command line; see `find_run`."""
    return read_baseline(find_run(text, reports))


def refuse_other_samples(base: Baseline, different: Collection[str]) -> None:
    """Raise NothingMeasuredError where no row of a baseline could be compared: it rests on disturbed samples, too."""
    if base.header.schema_version >= FIRST_UNDISTURBED or "samples" in different:
        return
    if all(not planned.workload.is_cuda for planned in base.header.workloads):
        raise NothingMeasuredError(
            "the baseline was measured before lnbench left disturbed samples out, so no row can be compared",
            hint="measure a new baseline, or add --allow-different samples",
        )


def writable_baseline(path: Path) -> None:
    """Raise OutputError when a baseline can't be written there, before anything is measured for it."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder", hint="name a file, as in baseline.jsonl")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}", hint="make it first, or name another place")
    if path.exists():
        try:
            read_run(path)
        except JournalError as error:
            raise OutputError(f"{path}: is no journal, so it is not replaced", hint="name another file") from error


def write_baseline(run: Run, path: Path) -> None:
    """Write a run's compact baseline to `.jsonl`, or packed to `.jsonl.gz`.

    Raises OutputError when the place is taken by something that is no journal, or can't be written.
    """
    writable_baseline(path)
    text = journal_lines(compact(run, name=run.header.run_id)).encode()
    # Without a time in it, the same baseline packs to the same bytes.
    write_bytes_atomically(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def compact(run: Run, *, name: str) -> Run:
    """The run as a baseline keeps it; processes that only confirmed a check's rows are left out.

    Raises JournalError when fewer than three processes measured something.
    """
    confirming = next((event for event in run.log.others if isinstance(event, Confirming)), None)
    if confirming is not None:
        run = run.among(range(confirming.first_process))
    found = condense(run)
    processes = max((row.processes for row in Side(found).rows.values()), default=0)
    if processes < LEAST_PROCESSES:
        raise JournalError(
            f"{name}: {processes} process{'es' if processes != 1 else ''} measured it, and a baseline takes at least "
            f"{LEAST_PROCESSES}",
            hint=f"measure it with `lnbench run SUITE --processes {LEAST_PROCESSES}` or more",
        )
    return found
