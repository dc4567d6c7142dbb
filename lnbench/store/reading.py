"""Reading runs: from a folder or a journal file, plain or packed, of this schema version or an older one."""

import gzip
import json
import zlib
from pathlib import Path

from pydantic import ValidationError

from lnbench.errors import JournalError
from lnbench.events import EVENT, Event
from lnbench.record import READABLE_VERSIONS, Header, Run
from lnbench.store.journal import JOURNAL_NAME, PACKED_NAME


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
