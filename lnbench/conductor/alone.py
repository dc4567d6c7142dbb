"""The machine lock: one measurement at a time on a machine, first come, first served, across users.

All users share one file, divided into slots. A process takes the slot after the last taken one, and measures once no
slot before its own is taken. "Taken" is the kernel's lock on the bytes of a slot, which ends with its process, however
that ends. The text in a slot is only for messages. filelock has no order: whoever asks first after a release gets it.

The locks are POSIX record locks, because child processes do not inherit them: a worker that outlives its killed run
does not hold the run's slot. They end when a process closes any descriptor of the file, so a process opens it once, and
takes the machine lock once at a time.
"""

import fcntl
import json
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from errno import EACCES, EAGAIN, EINVAL
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple, Self

import psutil

from lnbench.errors import NothingMeasuredError, StoppedAtOnce
from lnbench.render.outside import plain

QUEUE = Path("/tmp/lnbench.queue")
"""Not in TMPDIR: it has to be the same file for every user."""

LOOK_EVERY_S = 1.0
"""Waiting processes look this often whether it is their turn; more often would disturb the one that measures."""

QUIET_S = 10.0
"""With --quiet, a shorter wait is not mentioned."""

_STARTING_LOOKS = 2
"""The next process needs up to LOOK_EVERY_S to see that it is its turn; past this it is stopped, which is said."""

_SLOT_B = 1024
_GUARD = 0
"""The slot that is locked while a process chooses its own."""
_FIRST = 1
_END = 1 << 40
"""Past every slot. The numbers begin again at `_FIRST` whenever the queue is empty."""
_MOST_WHAT = 120
"""Characters of a command line in a slot: 6 bytes each at most, as JSON."""


class Holder(NamedTuple):
    """Who has a slot: its process, the user, the command, and since when it measures ("" for not yet)."""

    process: int
    user: str
    what: str
    since: str

    def __str__(self) -> str:
        since = f"since {self.since}" if self.since else "which is next and has not started yet"
        return f"process {self.process} of {self.user}, `{self.what}` {since}"


@contextmanager
def alone_on_machine(
    what: str,
    *,
    wait: bool,
    say: Callable[[str], None],
    quiet: bool = False,
    file: Path = QUEUE,
    now: Callable[[], datetime] = datetime.now,
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> Iterator[None]:
    """Hold the machine lock for the length of the context; wait in the queue for it.

    Says who measures, since when, and the place in the queue, each time that one of these changes; with `quiet` only
    once, after QUIET_S. Where no lock can be had, as in a folder that may not be written, that is said, and the run
    goes on.
    Raises NothingMeasuredError, naming the holder, when the lock is taken and `wait` is False, and StoppedAtOnce when
    the user interrupts the wait.
    """
    queue = None
    try:
        try:
            queue = _Queue.join(file, what)
            if not wait and not queue.is_first():
                raise NothingMeasuredError(
                    f"another lnbench measures on this machine: {_shown(queue.holder(now()))}",
                    hint="concurrent runs would disturb each other; leave out --no-wait to wait",
                )
            _wait(queue, _Progress(say, quiet=quiet, clock=clock), now=now, pause=pause)
            queue.note(what, since=now().timestamp())
        except OSError as error:
            if not quiet:
                why = error.strerror or error
                say(f"note: measuring without the machine lock ({file}: {why}); other runs may disturb this one")
        yield
    finally:
        if queue is not None:
            queue.leave()


def _wait(
    queue: "_Queue", progress: "_Progress", *, now: Callable[[], datetime], pause: Callable[[float], None]
) -> None:
    """Return when it is this process's turn."""
    starting = 0
    try:
        while not queue.is_first():
            holder = queue.holder(now())
            starting = starting + 1 if holder is not None and not holder.since else 0
            if not 1 <= starting <= _STARTING_LOOKS:
                progress.show(holder, queue.place())
            pause(LOOK_EVERY_S)
    except KeyboardInterrupt:
        raise StoppedAtOnce("interrupted while waiting for another lnbench on this machine") from None


class _Progress:
    """Says for whom a process waits: on every change, or with `quiet` once, after QUIET_S."""

    def __init__(self, say: Callable[[str], None], *, quiet: bool, clock: Callable[[], float]) -> None:
        self._say, self._quiet, self._clock = say, quiet, clock
        self._began = clock()
        self._said = ""

    def show(self, holder: Holder | None, place: int) -> None:
        text = f"waiting for another lnbench on this machine: {_shown(holder)}; place {place} in the queue"
        if text == self._said or (self._quiet and (self._said or self._clock() - self._began < QUIET_S)):
            return
        self._said = text
        self._say(text)


def _shown(holder: Holder | None) -> str:
    return "process unknown" if holder is None else str(holder)


class _Queue:
    """This process's slot in the shared file."""

    def __init__(self, descriptor: int, slot: int) -> None:
        self._descriptor, self._slot = descriptor, slot

    @classmethod
    def join(cls, file: Path, what: str) -> Self:
        """Take the slot after the last taken one. Raises OSError where that can't be."""
        while True:
            descriptor = _open_shared(file)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX, _SLOT_B, _GUARD * _SLOT_B)
                if os.fstat(descriptor).st_nlink:
                    slot = bisect_left(range(_END), True, lo=_FIRST, key=lambda it: _is_free(descriptor, it, _END))
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SLOT_B, slot * _SLOT_B)
                    os.ftruncate(descriptor, (slot + 1) * _SLOT_B)  # what ended processes had noted past it
                    queue = cls(descriptor, slot)
                    queue.note(what, since=None)
                    fcntl.lockf(descriptor, fcntl.LOCK_UN, _SLOT_B, _GUARD * _SLOT_B)
                    return queue
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # it was deleted after it was opened: others would not see this process in it

    def leave(self) -> None:
        """Give the slot up."""
        os.close(self._descriptor)

    def is_first(self) -> bool:
        """True when no slot before this one is taken; from then on none can be."""
        return _is_free(self._descriptor, _FIRST, self._slot)

    def place(self) -> int:
        """How many have to end their work before this process can start: 1 for the next in the queue."""
        slots = range(self._first_taken(), self._slot)
        return max(1, sum(not _is_free(self._descriptor, slot, slot + 1) for slot in slots))

    def holder(self, now: datetime) -> Holder | None:
        """Who is first in the queue; None where its slot has no text that can be read."""
        text = os.pread(self._descriptor, _SLOT_B, self._first_taken() * _SLOT_B)
        try:
            found = json.loads(text.rstrip(b"\0"))
            user, what = (plain(str(found[name])) for name in ("user", "what"))
            since = "" if found["since"] is None else _spelt(datetime.fromtimestamp(float(found["since"])), now)
            return Holder(int(found["process"]), user, what, since)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None

    def note(self, what: str, *, since: float | None) -> None:
        """Write who has the slot, for the messages of others; on a full disk they say that they do not know."""
        own = {"process": os.getpid(), "user": psutil.Process().username(), "what": what[:_MOST_WHAT], "since": since}
        with suppress(OSError):
            os.pwrite(self._descriptor, json.dumps(own).encode().ljust(_SLOT_B, b"\0"), self._slot * _SLOT_B)

    def _first_taken(self) -> int:
        """The first slot that is taken: this process's own, if none before it is."""
        slots = range(self._slot)
        return bisect_left(slots, True, lo=_FIRST, key=lambda it: not _is_free(self._descriptor, _FIRST, it + 1))


def _is_free(descriptor: int, start: int, stop: int) -> bool:
    """True when no other process has one of these slots."""
    if start >= stop:
        return True
    place = (stop - start) * _SLOT_B, start * _SLOT_B
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, *place)  # shared: several may look at a time
    except OSError as error:
        if error.errno in {EACCES, EAGAIN}:
            return False
        raise
    fcntl.lockf(descriptor, fcntl.LOCK_UN, *place)
    return True


def _open_shared(file: Path) -> int:
    """Open the file, which every user may write, and make it where there is none.

    O_CREAT comes second, and with O_EXCL: with fs.protected_regular it is refused on another user's file in /tmp.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(file, flags)
            break
        except FileNotFoundError:
            mask = os.umask(0)  # a mode that is set afterwards comes too late for another user who opens it meanwhile
            try:
                descriptor = os.open(file, flags | os.O_CREAT | os.O_EXCL, 0o666)
                break
            except FileExistsError:
                continue
            finally:
                os.umask(mask)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(EINVAL, "it is no regular file with one name")
    return descriptor


def _spelt(since: datetime, now: datetime) -> str:
    return f"{since:%H:%M}" if since.date() == now.date() else f"{since:%Y-%m-%d %H:%M}"
