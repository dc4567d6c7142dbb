"""The journals of a folder of runs: run folders, kept journals and baselines, one or two levels deep."""

import os
from collections.abc import Iterator
from pathlib import Path

from lnbench.errors import JournalError
from lnbench.store.lines import first_line, opened
from lnbench.store.place import JOURNAL_NAME, PACKED_NAME
from lnbench.store.reading import read_header

DEEPEST = 2
"""Run folders lie in `reports` itself, or in a folder of a machine or a month below it."""

_ENDINGS = (".jsonl", ".jsonl.gz")


def find_journals(folder: Path) -> list[Path]:
    """Every journal in a folder of runs, in the order of their paths.

    A folder that holds a run is one journal; beside such folders, files that end in .jsonl or .jsonl.gz are. Folders
    that begin with a dot, and links to folders, are passed over.
    Raises JournalError when there is no such folder, or it can't be looked through.
    """
    if os.path.isfile(folder):
        return [folder]
    if not os.path.isdir(folder):
        raise JournalError(f"{folder}: there is no such folder", hint="`lnbench run quick` makes reports")
    found = list(_journals(folder, DEEPEST))
    if not found:
        raise JournalError(f"{folder}: holds no runs", hint="`lnbench run quick` makes the first one")
    return sorted(found)


def suite_of(file: Path) -> str:
    """The suite of a run, from its header alone. Raises JournalError as `read_run` does."""
    with opened(file) as stream:
        return read_header(file, first_line(stream, file)).suite


def _journals(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise JournalError(f"{folder}: can't be looked through: {error.strerror}") from error
    names = {entry.name for entry in entries if entry.is_file()}
    for name in (JOURNAL_NAME, PACKED_NAME):
        if name in names:
            yield folder / name
            return
    for entry in entries:
        if entry.is_file() and entry.name.endswith(_ENDINGS):
            yield Path(entry.path)
        elif depth and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _journals(Path(entry.path), depth - 1)
