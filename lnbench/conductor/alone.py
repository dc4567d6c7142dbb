"""One at a time: two runs on one machine would measure each other."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import FileLock, Timeout

from lnbench.errors import NothingMeasuredError, OutputError
from lnbench.render.outside import plain
from lnbench.store.folder import write_atomically

LOCK = Path("/tmp/lnbench.lock")
"""Not in TMPDIR: it has to be the same one for everybody on the machine."""

LOOK_EVERY_S = 1.0
_MOST_TOLD_B = 4096


class Holder(NamedTuple):
    """Who measures now: the process with the time of its start, what it was started as, and since when it measures."""

    process: int
    started: float
    what: str
    since: str

    def __str__(self) -> str:
        return f"process {self.process}, `{self.what}` since {self.since}"


@contextmanager
def alone_on_machine(
    what: str, *, wait: bool, say: Callable[[str], None], lock: Path = LOCK, now: Callable[[], datetime] = datetime.now
) -> Iterator[None]:
    """Hold the machine's lock; wait for whoever has it, and say for whom.

    The lock is the system's own: it goes when its process does, however that ends. Where none can be had, as in a
    folder that may not be written, that is said, and the run goes on.
    Raises NothingMeasuredError, naming the holder, when another has it and `wait` is False.
    """
    held = FileLock(lock, mode=0o666)
    try:
        try:
            held.acquire(blocking=False)
        except Timeout:
            holder = _read_holder(lock)
            if not wait:
                raise NothingMeasuredError(
                    f"another lnbench measures on this machine: {holder or 'it does not say which'}",
                    hint="two at a time disturb each other; leave out --no-wait to wait for it",
                ) from None
            say(f"waiting for another lnbench on this machine: {holder or 'it does not say which'}")
            held.acquire(poll_interval=LOOK_EVERY_S)
        _write_holder(lock, Holder(os.getpid(), psutil.Process().create_time(), what, f"{now():%H:%M}"))
    except OSError as error:
        say(f"note: no other run on this machine would be noticed: {lock}: {error.strerror or error}")
    try:
        yield
    finally:
        held.release()


def _note(lock: Path) -> Path:
    return lock.with_suffix(".json")


def _write_holder(lock: Path, holder: Holder) -> None:
    """For those who wait; where the note belongs to another user, they are told nothing."""
    with suppress(OutputError):
        write_atomically(_note(lock), json.dumps(holder._asdict()))


def _read_holder(lock: Path) -> Holder | None:
    """Who says that they have the lock; None where nobody does, or who did is gone."""
    try:
        with _note(lock).open("rb") as file:
            found = json.loads(file.read(_MOST_TOLD_B))
        what, since = (plain(str(found[name])) for name in ("what", "since"))
        holder = Holder(int(found["process"]), float(found["started"]), what, since)
        # A note that nobody could replace may speak of a process that is long gone, whose number another one has.
        return holder if psutil.Process(holder.process).create_time() == holder.started else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError, psutil.Error):
        return None
