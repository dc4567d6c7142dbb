"""Whose fault a worker's end was, and how it is put into words."""

import re
import signal

from lnbench.conductor.processes import WorkerDiedError, WorkerHungError
from lnbench.planned import Stage, Status

KILLED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
"""Signals that somebody else sends: nobody is blamed for the first that comes while a case is at work."""

_FRAME = re.compile(r'File "[^"\n]*_adapter\.py", line \d+ in (inference|forward|backward)$', re.MULTILINE)
"""A call of a case, by the names that the adapters of implementations give to theirs."""


def is_from_outside(death: WorkerDiedError | WorkerHungError, *, out_of_memory: bool) -> bool:
    """True for an end that the case at work had probably no part in."""
    return isinstance(death, WorkerDiedError) and death.signal in KILLED_FROM_OUTSIDE and not out_of_memory


def status_of(death: WorkerDiedError | WorkerHungError, *, out_of_memory: bool) -> Status:
    """The status of the case that was at work. `out_of_memory`: the kernel has killed a process for want of it."""
    if isinstance(death, WorkerHungError):
        return Status.TIMEOUT
    return Status.OOM if out_of_memory and death.signal == signal.SIGKILL else Status.CRASH


def reason_of(death: WorkerDiedError | WorkerHungError, *, stage: Stage, stacks: str, out_of_memory: bool) -> str:
    """`SIGSEGV in backward, at timing`: how it ended, in which call as far as the stacks of its threads tell, where."""
    found = _FRAME.search(stacks)
    where = f" in {found[1]}," if found else ""
    if status_of(death, out_of_memory=out_of_memory) is Status.OOM:
        return f"the system ran out of memory and killed the process{where} at {stage}"
    return f"{death}{where} at {stage}"
