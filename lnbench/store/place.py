"""Where a run lies: the names of its files, and whether a folder can take one. Light, for it is asked first of all."""

import errno
import os
from pathlib import Path

from lnbench.errors import OutputError

JOURNAL_NAME = "run.jsonl"
PACKED_NAME = "run.jsonl.gz"
RESULTS_NAME = "results.csv"
REPORT_NAME = "report.md"
TURNS_NAME = "run.jsonl.turns"
"""Turns as their worker writes them, until they stand in the journal. After a kill it holds the last ones, which were
still in the pipe."""


def refuse_unusable_folder(folder: Path | None, *, reports: Path) -> None:
    """Raise OutputError where a run can't be written, before anybody waits for it; nothing is made yet.

    `folder` None: a new folder under `reports`.
    """
    try:
        if folder is None:
            _refuse_unwritable(reports)
        else:
            _refuse_unusable(folder, reports)
    except (OSError, ValueError) as error:  # a name that no file can have
        why = error.strerror if isinstance(error, OSError) else error
        hint = "name another folder with --output"
        raise OutputError(f"{folder}: can't write a run here: {why}", hint=hint) from error


def refuse_held(folder: Path) -> None:
    """Raise OutputError for a folder that holds a run, or a part of one."""
    for name in (JOURNAL_NAME, PACKED_NAME, RESULTS_NAME, REPORT_NAME):
        if (folder / name).exists():
            raise already_held(folder, name)


def already_held(folder: Path, name: str) -> OutputError:
    """The error for a folder that holds something of this name."""
    return OutputError(f"{folder}: already holds {name}", hint="name a new folder with --output")


def _refuse_unusable(folder: Path, reports: Path) -> None:
    if folder.resolve() in {Path.cwd(), reports.resolve()}:
        raise OutputError(f"{folder}: a run takes a folder of its own", hint="name a new one with --output")
    refuse_held(folder)
    _refuse_unwritable(folder)


def _refuse_unwritable(folder: Path) -> None:
    above = folder
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise OutputError(f"{above}: a file stands where a folder should be", hint="name another folder with --output")
    if not os.access(above, os.W_OK | os.X_OK):
        hint = "name a folder you may write with --output"
        raise OutputError(f"{folder}: can't write a run here: {os.strerror(errno.EACCES)}", hint=hint)
