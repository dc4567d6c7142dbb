"""Reading runs: from a folder or a journal file, plain or packed, of this schema version or an older one.

A journal may come from a stranger. It is read line by line within bounds, nothing in it is ever run or unpickled, and
it agrees with itself or is refused, so that whatever reads a run later has nothing to check.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json

from lnbench.collector import collector_at_rest
from lnbench.consistency import contradiction
from lnbench.errors import JournalError
from lnbench.event_log import EventLog
from lnbench.events import EVENT, AnyEvent, Turn
from lnbench.record import READABLE_VERSIONS, Header, Run
from lnbench.store.beside import turns_beside
from lnbench.store.lines import FIRST_EVENT, Line, first_line, later_lines, opened
from lnbench.store.place import JOURNAL_NAME, PACKED_NAME
from lnbench.store.turn_lines import PlainTurns
from lnbench.turns import TurnBlocks

MOST_OTHERS = 2_000_000
"""Events beside turns, a kilobyte each as objects: six for each of a hundred thousand cases in three processes."""

_DAMAGED = "the journal was changed or damaged; only an incomplete last line is repaired when reading"


def read_run(path: Path) -> Run:
    """A run from its folder or its journal file (`.jsonl`, `.jsonl.gz`).

    An incomplete last line, as a killed run leaves it, is dropped and `torn` is set; turns that its last worker had
    written beside the journal are read with it.
    Raises JournalError, naming file and line, when there is no journal, its schema version is unknown, or any other
    line can't be read, says something impossible or speaks of what was never planned.
    """
    file = journal_file(path)
    with opened(file) as stream:
        header = read_header(file, first_line(stream, file))
        reading = _Reading(file, header)
        with collector_at_rest():
            for lines, complete in later_lines(stream, file):
                reading.take(lines, complete=complete)
        log = reading.log()
    beside = turns_beside(file, header, log)
    if beside:
        log = reading.log(beside)
    # Each part was validated above.
    return Run.model_construct(header=header, events=log, torn=reading.torn, beside=beside)


def journal_file(path: Path) -> Path:
    """The journal in a folder, or the file itself; raises JournalError when there is none."""
    if os.path.isfile(path):  # pathlib's own raises for names that are too long, or hidden
        return path
    for name in (JOURNAL_NAME, PACKED_NAME):
        if os.path.isfile(path / name):
            return path / name
    if os.path.exists(path) and not os.path.isdir(path):
        raise JournalError(f"{path}: is neither a file nor a folder")
    raise JournalError(f"{path}: holds no run", hint=f"a run is a folder with {JOURNAL_NAME} or {PACKED_NAME} in it")


def read_header(file: Path, line: bytes) -> Header:
    """The header from a journal's first line; raises JournalError for what this version can't read."""
    try:
        found = from_json(line)
    except ValueError as error:
        raise JournalError(f"{file}:1: not a complete header, so nothing of the run can be read") from error
    if not isinstance(found, dict) or found.get("event") != "header":
        raise JournalError(f"{file}:1: not a journal of lnbench", hint="the first line should be the run's header")
    version = found.get("schema_version")
    if type(version) is not int or version not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise JournalError(
            f"{file}:1: unknown schema version {_shown(version)}; this lnbench reads {known}",
            hint=f"the run was written by lnbench {_shown(found.get('lnbench_version', '(unknown)'))}: "
            "read it with that one",
        )
    del found
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        raise _damaged(file, 1, error) from error


class RunName(NamedTuple):
    """How a run is found among others."""

    created: str
    run_id: str


def read_name(file: Path) -> RunName:
    """When a run was made and its id, from its header alone; raises JournalError where it tells neither."""
    with opened(file) as stream:
        line = first_line(stream, file)
    try:
        found = from_json(line)
    except ValueError as error:
        raise JournalError(f"{file}:1: not a complete header") from error
    created, run_id = (found.get(key) if isinstance(found, dict) else None for key in RunName._fields)
    if not (isinstance(created, str) and isinstance(run_id, str)):
        raise JournalError(f"{file}:1: not a journal of lnbench")
    return RunName(created, run_id)


class _Reading:
    """The lines after a header on their way into a log."""

    def __init__(self, file: Path, header: Header) -> None:
        self.torn = False
        self._file, self._header = file, header
        self._plain = PlainTurns(header.cases, workloads=len(header.workloads))
        self._turns = TurnBlocks()
        self._others: list[AnyEvent] = []

    def take(self, lines: Sequence[Line], *, complete: bool) -> None:
        """Read so many lines; turns that look as they are written are judged together.

        `complete`: they had an end. One that had none, and can't be read, was torn.
        """
        plain = self._plain.read(lines) if complete else None
        if plain is None:  # something is wrong with a turn, and the model says what
            self._take_one_by_one(lines, complete=complete)
            return
        blocks, odd = plain
        for layout, block in blocks.items():
            self._turns.add_block(layout, block)
        self._take_one_by_one(odd, complete=complete)

    def log(self, beside: Sequence[Turn] = ()) -> EventLog:
        """All that was read, and turns from elsewhere after it."""
        turns = self._turns.columns()
        if beside:
            first = len(turns) + len(self._others)
            for place, turn in enumerate(beside, start=first):
                self._turns.add(turn, place=place)
            turns = self._turns.columns()
        return EventLog(turns, self._others)

    def _take_one_by_one(self, lines: Sequence[Line], *, complete: bool) -> None:
        for number, line in lines:
            try:
                event = EVENT.validate_json(line)
            except ValidationError as error:
                if not complete:
                    self.torn = True
                    return
                raise _damaged(self._file, number, error) from error
            found = contradiction(self._header, event)
            if found:
                raise JournalError(f"{self._file}:{number}: {event.event}: {found}", hint=_DAMAGED)
            if isinstance(event, Turn):
                self._turns.add(event, place=number - FIRST_EVENT)
            else:
                self._others.append(event)
        if len(self._others) > MOST_OTHERS:
            raise JournalError(f"{self._file}:{lines[-1][0]}: more than {MOST_OTHERS} events beside turns")


def _damaged(file: Path, line: int, error: ValidationError) -> JournalError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return JournalError(f"{file}:{line}: {f'{place}: ' if place else ''}{what}", hint=_DAMAGED)


def _shown(value: object) -> str:
    """A value of the file for a message, and no more of it than reads well."""
    if isinstance(value, str) and value.isprintable() and len(value) <= 60:
        return value
    return ascii(value)[:60] if isinstance(value, str | int | float) else type(value).__name__
