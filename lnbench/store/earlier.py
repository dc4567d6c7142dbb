"""The newest earlier runs of a folder of runs, within bounds of number, size and time."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from lnbench.errors import JournalError
from lnbench.record import Header, Run
from lnbench.store.lines import first_line, opened
from lnbench.store.reading import read_header, read_run
from lnbench.store.searching import find_journals

MOST_RUNS = 10
"""So many runs are read: ten of three processes and four workloads give 80 degrees of freedom."""

MOST_LOOKED_AT = 100
"""So many headers are read in search of them."""

MOST_BYTES = 1 << 24
"""The largest journal that is read: about half a second."""

LONGEST_S = 3.0
"""No further run is read after that. One that is being read is finished."""


def earlier_runs(
    reports: Path, *, wanted: Callable[[Header], bool], clock: Callable[[], float] = monotonic
) -> Iterator[Run]:
    """Runs in a folder whose header is wanted, those written last first. What can't be read is passed over."""
    started, given = clock(), 0
    for file in _newest(reports):
        if given == MOST_RUNS or clock() - started > LONGEST_S:
            return
        try:
            with opened(file) as stream:
                header = read_header(file, first_line(stream, file))
            if not wanted(header):
                continue
            run = read_run(file)
        except JournalError:
            continue
        given += 1
        yield run


def _newest(reports: Path) -> list[Path]:
    found: list[tuple[float, Path]] = []
    try:
        journals = find_journals(reports) if os.path.isdir(reports) else []
    except JournalError:  # holds no runs, or can't be looked through
        return []
    for file in journals:
        try:
            stat = file.stat()
        except OSError:
            continue
        if stat.st_size <= MOST_BYTES:
            found.append((stat.st_mtime, file))
    return [file for _, file in sorted(found, reverse=True)[:MOST_LOOKED_AT]]
