"""A worker process as the conductor sees it: orders go in, messages come out, and it may die or hang at any time."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType
from typing import IO, Any, Self

from pydantic import ValidationError

from lnbench.conductor.calling import TELL_S
from lnbench.conductor.process_group import children, end_group, has_ended, wait_for_end
from lnbench.conductor.starting import worker_command, worker_environment
from lnbench.worker.ending import TELL_SIGNAL
from lnbench.worker.protocol import MESSAGE, Announce, Measure, Setup

READ_EVERY_S = 0.05
"""The conductor wakes at most this often: each time it takes a core from what is being measured, and 20 times a second
costs a third of what waking at every turn does (2.4 % of a core, most of it for finding its own memory cold)."""

MOST_PRINTED_B = 16 << 20
"""What a worker prints is kept for its last words alone: past this it is thrown away, so that no disk fills up."""

_READ_BYTES = 1 << 16
_TICK_S = 0.25
_GRACE_S = 5.0
_TAIL_BYTES = 4000
_STACK_BYTES = 1 << 14
"""A stack of a hundred calls; the main thread's comes last."""


class WorkerDiedError(Exception):
    """The worker has ended; the text says how. `signal`: the one that ended it; None where it was none."""

    def __init__(self, text: str, *, signal: int | None = None) -> None:
        super().__init__(text)
        self.signal = signal


class WorkerHungError(Exception):
    """Nothing was heard from the worker within its time limit."""


class WorkerProcess:
    """One child process in a process group of its own, so that it and all that it started end together.

    What it prints goes to a temporary file, and its end is quoted when it dies; with `verbose` it goes to stderr. Where
    its threads are when it dies or hangs goes to another. `turns`: the open file into which it writes its turns.
    """

    def __init__(self, setup: Setup, *, turns: int, verbose: bool = False, compile_cache: str = "") -> None:
        orders_read, orders_write = os.pipe()
        messages_read, messages_write = os.pipe()
        self._printed, self._faults = _appended_file(), _appended_file()
        output: Any = sys.stderr if verbose else self._printed
        self._beside = children()
        descriptors = (orders_read, messages_write, turns, self._faults.fileno())
        self._process = subprocess.Popen(
            worker_command(*map(str, (os.getpid(), *descriptors))),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=worker_environment(setup.threads, compile_cache=compile_cache),
            start_new_session=True,
        )
        os.close(orders_read)
        os.close(messages_write)
        self._orders = os.fdopen(orders_write, "w", encoding="utf-8")
        self._messages_fd = messages_read
        self._partial = b""
        self._last_read = -READ_EVERY_S
        self._lines: deque[bytes] = deque()
        self._announcements: dict[bytes, Announce] = {}
        with suppress(WorkerDiedError):  # whoever listens to it finds out
            self.send(setup)

    def send(self, order: Setup | Measure) -> None:
        """Give an order. Raises WorkerDiedError when nobody is there to take it."""
        try:
            self._orders.write(order.model_dump_json() + "\n")
            self._orders.flush()
        except BrokenPipeError:
            raise self._death() from None

    def receive(self, *, timeout_s: float, while_waiting: Callable[[], None] = lambda: None) -> Any:
        """The next message. Waits in the system, without using a core; calls `while_waiting` four times a second.

        Raises WorkerDiedError at the end of the pipe, or when something that is no message comes out of it, and
        WorkerHungError when the time is up.
        """
        deadline = monotonic() + timeout_s
        while not self._lines:
            # Messages wait in the system's pipe meanwhile.
            sleep(max(self._last_read + READ_EVERY_S - monotonic(), 0.0))
            left_s = max(deadline - monotonic(), 0.0)
            is_over = has_ended(self._process)  # asked first: what it said before is in the pipe by now
            ready, _, _ = select.select([self._messages_fd], [], [], min(left_s, _TICK_S))
            self._bound_what_is_printed()
            if not ready:
                if is_over:  # a process that it started holds the pipe open
                    raise self._death()
                if left_s <= _TICK_S:
                    raise WorkerHungError(f"no progress for {timeout_s:g} s")
                while_waiting()
                continue
            data = os.read(self._messages_fd, _READ_BYTES)
            self._last_read = monotonic()
            if not data:
                raise self._death()
            *whole, self._partial = (self._partial + data).split(b"\n")
            self._lines.extend(whole)
        line = self._lines.popleft()
        if line in self._announcements:
            return self._announcements[line]
        try:
            message = MESSAGE.validate_json(line)
        except ValidationError:
            raise WorkerDiedError("something else wrote into the worker's pipe") from None
        if isinstance(message, Announce):
            self._announcements[line] = message
        return message

    def printed_tail(self) -> str:
        """The end of what the worker printed."""
        return _tail(self._printed)

    def stacks(self) -> str:
        """Where the worker's threads were when it died, or are now where it hangs; "" where it could not tell."""
        if not has_ended(self._process):
            before = self._faults_b()
            self._process.send_signal(TELL_SIGNAL)
            wait_for_growth(self._faults_b, before=before, timeout_s=TELL_S)
        return _tail(self._faults, _STACK_BYTES)

    def _faults_b(self) -> int:
        return os.fstat(self._faults.fileno()).st_size

    def kill(self) -> None:
        """End the worker and everything that it started, after the short grace that a build needs to clean up."""
        end_group(self._process, beside=self._beside)

    def close(self) -> None:
        """Let the worker end by itself; end it after a grace time."""
        with suppress(BrokenPipeError):
            self._orders.close()
        wait_for_end(self._process, timeout_s=_GRACE_S)
        self.kill()
        os.close(self._messages_fd)
        self._printed.close()
        self._faults.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self.kill()
        self.close()

    def _bound_what_is_printed(self) -> None:
        if os.fstat(self._printed.fileno()).st_size > MOST_PRINTED_B:
            os.ftruncate(self._printed.fileno(), 0)

    def _death(self) -> WorkerDiedError:
        if not wait_for_end(self._process, timeout_s=_GRACE_S):
            return WorkerDiedError("it closed its pipe and went on")
        self.kill()
        code = self._process.wait()
        if code >= 0:
            return WorkerDiedError(f"the process exited with {code}")
        try:
            return WorkerDiedError(signal.Signals(-code).name, signal=-code)
        except ValueError:
            return WorkerDiedError(f"signal {-code}", signal=-code)


def _appended_file() -> IO[bytes]:
    """A temporary file to whose end everybody writes, so that it can be made shorter meanwhile."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as its process)
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def wait_for_growth(size_b: Callable[[], int], *, before: int, timeout_s: float) -> None:
    """Wait until a file has grown beyond its size before, and has stopped growing: stacks are written line by line."""
    ends, last = monotonic() + timeout_s, before
    while monotonic() < ends:
        sleep(READ_EVERY_S)
        size = size_b()
        if size == last != before:
            return
        last = size


def _tail(file: IO[bytes], most_bytes: int = _TAIL_BYTES) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most_bytes))
    return file.read().decode(errors="replace").strip()
