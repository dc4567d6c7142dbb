"""Where runs lie: their ids, how the words RUN and `latest` are resolved, and how a file is replaced whole."""

import os
import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lnbench.errors import JournalError, OutputError, nearest
from lnbench.store.reading import journal_file, read_name

LATEST = "latest"


def new_run_id(suite: str, now: datetime, *, reports: Path) -> str:
    """An id that sorts by time, reads well and is not yet a folder of `reports`: `20261122-154500-quick`."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", suite).strip("-") or "suite"
    first = f"{now:%Y%m%d-%H%M%S}-{word}"
    run_id, count = first, 1
    while (reports / run_id).exists():
        count += 1
        run_id = f"{first}-{count}"
    return run_id


def find_run(text: str, reports: Path) -> Path:
    """What RUN means on the command line, as a path that `read_run` takes.

    RUN is `latest` (the newest run directly under `reports`), a folder, a journal file, or the id of a run in
    `reports`. Raises JournalError with the nearest ids when there is no such run.
    """
    if text != LATEST and os.path.exists(text):  # pathlib's own raises for names that are too long
        journal_file(Path(text))
        return Path(text)
    runs = list(_runs(reports))
    if text == LATEST and runs:
        return max(runs).folder
    for found in runs:
        if text in {found.run_id, found.folder.name}:
            return found.folder
    if not runs:
        raise JournalError(
            f'there is no run "{text}": {reports} holds no runs', hint="`lnbench run quick` makes the first one"
        )
    raise JournalError(
        f'there is no run "{text}" in {reports}', hint=nearest(text, [LATEST, *(found.run_id for found in runs)])
    )


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there yet. Raises OutputError where that can't be."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't make the folder: {error.strerror}") from error


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by `text`; see `write_bytes_atomically`."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader sees the old or the new one, never a part.

    A link stays one, and what it leads to is replaced; a device or a pipe is written into.
    Raises OutputError when it can't be written.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(content)
            return
        target = Path(os.path.realpath(path))
        part = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        hint = "make room there, or name another place"
        raise OutputError(f"{path}: can't write: {error.strerror}", hint=hint) from error


class _Found(NamedTuple):
    """A run of `reports`; the field order is the order of age."""

    created: str
    run_id: str
    folder: Path


def _runs(reports: Path) -> Iterator[_Found]:
    """The runs directly under `reports`; one whose header can't be read is still found by its folder's name."""
    for folder in sorted(reports.iterdir()) if reports.is_dir() else ():
        if not folder.is_dir():
            continue
        try:
            file = journal_file(folder)
        except JournalError:
            continue
        try:
            yield _Found(*read_name(file), folder)
        except JournalError:
            yield _Found("", folder.name, folder)
