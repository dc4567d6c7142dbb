"""The journal of a run: one header, then one JSON line per event, handed to the operating system as it happens."""

import gzip
import json
import os
import re
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pydantic import ValidationError

from lnbench.errors import JournalError, OutputError
from lnbench.record import EVENT, READABLE_VERSIONS, Event, Header, Run

JOURNAL_NAME = "run.jsonl"
PACKED_NAME = "run.jsonl.gz"
RESULTS_NAME = "results.csv"
REPORT_NAME = "report.md"


class Journal:
    """A journal that is being written. Every line is complete in the file before `append` returns."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    @classmethod
    def create(cls, folder: Path, header: Header) -> Self:
        """Make the folder where needed and write the header.

        Raises OutputError when the folder already holds a run, or can't be written.
        """
        path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = [name for name in (JOURNAL_NAME, PACKED_NAME, RESULTS_NAME, REPORT_NAME) if (folder / name).exists()]
            if held:
                raise _already_held(folder, held[0])
            file = path.open("xb")
        except FileExistsError as error:
            if folder.is_dir():  # another run was a moment faster
                raise _already_held(folder, JOURNAL_NAME) from error
            raise OutputError(
                f"{folder}: a file stands where the run's folder should be", hint="name another folder with --output"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{folder}: can't write a run here: {error.strerror}", hint="name a folder you may write with --output"
            ) from error
        journal = cls(path, file)
        journal._write(header)
        journal.sync()
        return journal

    def append(self, event: Event) -> None:
        """Write one event; raises OutputError when the file can't take it, as on a full disk."""
        self._write(event)

    def sync(self) -> None:
        """Wait until all lines are on the disk itself: after each workload, and at the end."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; nothing can be appended afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, line: Header | Event) -> None:
        text = line.model_dump_json()
        try:
            self._file.write(_without_home(text).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.path}: can't write: {error.strerror}", hint="what was measured before is kept"
            ) from error


def read_run(path: Path) -> Run:
    """A run from its folder or its journal file (`.jsonl`, `.jsonl.gz`).

    An incomplete last line, as a killed run leaves it, is dropped and `torn` is set.
    Raises JournalError, naming file and line, when there is no journal, its schema version is unknown, or any other
    line can't be read.
    """
    file = journal_file(path)
    lines = _content(file).split(b"\n")
    rest = lines.pop()  # empty when the last line is complete
    header = read_header(file, lines[0] if lines else rest)
    events: list[Event] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            events.append(EVENT.validate_json(line))
        except ValidationError as error:
            raise _damaged(file, number, error) from error
    torn = False
    if lines and rest:
        try:
            events.append(EVENT.validate_json(rest))
        except ValidationError:
            torn = True
    return Run.model_construct(header=header, events=tuple(events), torn=torn)  # each part was validated above


def journal_lines(run: Run) -> str:
    """A whole run as the text of a journal."""
    return "".join(f"{_without_home(line.model_dump_json())}\n" for line in (run.header, *run.events))


def journal_file(path: Path) -> Path:
    """The journal in a folder, or the file itself; raises JournalError when there is none."""
    if path.is_file():
        return path
    for name in (JOURNAL_NAME, PACKED_NAME):
        if (path / name).is_file():
            return path / name
    raise JournalError(f"{path}: holds no run", hint=f"a run is a folder with {JOURNAL_NAME} or {PACKED_NAME} in it")


def read_header(file: Path, line: bytes) -> Header:
    """The header from a journal's first line; raises JournalError for what this version can't read."""
    try:
        found = json.loads(line)
    except ValueError as error:
        raise JournalError(f"{file}:1: not a complete header, so nothing of the run can be read") from error
    if not isinstance(found, dict) or found.get("event") != "header":
        raise JournalError(f"{file}:1: not a journal of lnbench", hint="the first line should be the run's header")
    version = found.get("schema_version")
    if version not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise JournalError(
            f"{file}:1: unknown schema version {version!r}; this lnbench reads {known}",
            hint=f"the run was written by lnbench {found.get('lnbench_version', '(unknown)')}: read it with that one",
        )
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        raise _damaged(file, 1, error) from error


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise JournalError(f"{file}: the compressed file is damaged or incomplete: {error}") from error
    except OSError as error:
        raise JournalError(f"{file}: can't be read: {error.strerror}") from error


def _damaged(file: Path, line: int, error: ValidationError) -> JournalError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return JournalError(
        f"{file}:{line}: {f'{place}: ' if place else ''}{first['msg']}",
        hint="the journal was changed or damaged; only an incomplete last line is repaired when reading",
    )


def _already_held(folder: Path, name: str) -> OutputError:
    return OutputError(f"{folder}: already holds {name}", hint="name a new folder with --output")


def _without_home(line: str) -> str:
    """The line with this user's home folder as `~`: a journal can be published, and reasons quote paths."""
    home = str(Path.home())
    if len(home) < 2 or home not in line:
        return line
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", line)
