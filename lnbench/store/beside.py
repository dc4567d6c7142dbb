"""Turns beside a journal: what a worker had taken when whoever writes the journal was killed."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lnbench.consistency import Planned, contradiction
from lnbench.errors import JournalError
from lnbench.event_log import EventLog
from lnbench.events import EVENT, Turn
from lnbench.record import Header
from lnbench.store.lines import Line, later_lines, opened
from lnbench.store.place import JOURNAL_NAME, TURNS_NAME


def turns_beside(file: Path, header: Header, log: EventLog) -> tuple[Turn, ...]:
    """The turns that stand in the file beside a journal and not in the journal itself, in order."""
    if file.name != JOURNAL_NAME:
        return ()
    found: dict[tuple[int, int, int, int, float, int], Turn] = {}
    for turn in read_turns(file, header):
        found[turn.process, turn.workload, turn.round, turn.case, turn.started_s, turn.sample] = turn
    for known in _known(log, {(turn.process, turn.workload) for turn in found.values()}):
        found.pop(known, None)
    return tuple(found.values())


def read_turns(journal: Path, plan: Planned) -> Iterator[Turn]:
    """All turns in the file beside a journal. It may end anywhere, so it is read as far as it makes sense."""
    beside = journal.with_name(TURNS_NAME)
    for _, line in _lines(beside) if beside.is_file() else ():
        try:
            event = EVENT.validate_json(line)
        except ValidationError:
            return
        if not isinstance(event, Turn) or contradiction(plan, event):
            return
        yield event


def _lines(file: Path) -> list[Line]:
    try:
        with opened(file) as stream:
            return [line for lines, complete in later_lines(stream, file) if complete for line in lines]
    except JournalError:
        return []


def _known(log: EventLog, wanted: set[tuple[int, int]]) -> list[tuple[int, int, int, int, float, int]]:
    """What tells the turns of these processes and workloads apart that stand in the journal."""
    turns = log.turns
    found: list[tuple[int, int, int, int, float, int]] = []
    for process, workload in wanted:
        chosen = (turns.process == process) & (turns.workload == workload)
        columns = (column[chosen].tolist() for column in (turns.round, turns.case, turns.started_s, turns.sample))
        found += [(process, workload, *row) for row in zip(*columns, strict=True)]
    return found
