"""Whose fault a worker's end was, and how it is put into words."""

import re
import signal

from lnbench.conductor.processes import WorkerDiedError, WorkerHungError
from lnbench.conductor.stack_place import place_of
from lnbench.planned import Stage, Status

KILLED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
"""Signals that somebody else sends: nobody is blamed for the first that comes while a case is at work."""

_FRAME = re.compile(r'File "[^"\n]*_adapter\.py", line \d+ in (inference|forward|backward)$', re.MULTILINE)
"""A call of a case, by the names that the adapters of implementations give to theirs."""

_RAISED = re.compile(r'^  File "[^\n]*\n(?:[ \t][^\n]*\n)*(\S[^\n]*)', re.MULTILINE)
"""The end of a traceback, whose beginning may be cut off: its last frame, then the error."""

MOST_OF_ERROR = 300
"""Characters of an error that stand in a reason, as of those that workers report themselves."""


def is_from_outside(death: WorkerDiedError | WorkerHungError, *, out_of_memory: bool) -> bool:
    """True for an end that the case at work had probably no part in."""
    return isinstance(death, WorkerDiedError) and death.signal in KILLED_FROM_OUTSIDE and not out_of_memory


def status_of(death: WorkerDiedError | WorkerHungError, *, out_of_memory: bool) -> Status:
    """The status of the case that was at work. `out_of_memory`: the kernel has killed a process for want of it."""
    if isinstance(death, WorkerHungError):
        return Status.TIMEOUT
    return Status.OOM if out_of_memory and death.signal == signal.SIGKILL else Status.CRASH


def reason_of(
    death: WorkerDiedError | WorkerHungError, *, stage: Stage | None, stacks: str, printed: str, out_of_memory: bool
) -> str:
    """`SIGSEGV in backward, at timing: my_norms.py:8 (forward)`: how it ended, in which call, when, and in which file,
    as far as the stacks of its threads tell.

    `stage`: what the case at work was doing; None where none was. `printed`: the end of what the worker printed; where
    it ended itself with a traceback, the error is part of the reason.
    """
    found = _FRAME.search(stacks) if stage else None
    where = f" in {found[1]}," if found else ""
    when = f"at {stage}" if stage else "before any case was at work"
    if stage and status_of(death, out_of_memory=out_of_memory) is Status.OOM:
        return f"the system ran out of memory and killed the process{where} {when}"
    ended_itself = isinstance(death, WorkerDiedError) and death.signal is None
    error = last_error(printed) if ended_itself else ""
    place = place_of(stacks, of_crash=isinstance(death, WorkerDiedError)) if stage else ""
    return ": ".join(filter(None, (f"{death}{where} {when}", error or place)))


def last_error(printed: str) -> str:
    """The error that ends the last traceback in what a worker printed, in one line; "" where there is none."""
    found = _RAISED.findall(printed)
    return found[-1].strip()[:MOST_OF_ERROR] if found else ""
