"""A worker process as the conductor sees it: orders go in, messages come out, and it may die or hang at any time."""

import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from types import TracebackType
from typing import IO, Any, Self

import psutil
from pydantic import ValidationError

from lnbench.worker.ending import TELL_SIGNAL
from lnbench.worker.protocol import MESSAGE, Announce, Measure, Setup

READ_EVERY_S = 0.05
"""The conductor wakes at most this often: each time it takes a core from what is being measured, and 20 times a second
costs a third of what waking at every turn does (2.4 % of a core, most of it for finding its own memory cold)."""

SPIN_COUNT = "5000"
"""How long a thread of GNU OpenMP spins at a barrier before it sleeps, about 0.1 ms instead of 5. With a neighbour on
the cores a thread that spins keeps the one that it waits for from running: a layer norm of 12 us then reads 8 ms.
Without a neighbour it makes no difference, for the next parallel region comes sooner."""

MOST_PRINTED_B = 16 << 20
"""What a worker prints is kept for its last words alone: past this it is thrown away, so that no disk fills up."""

_READ_BYTES = 1 << 16
_TICK_S = 0.25
_GRACE_S = 5.0
_TELL_S = 1.0
_LONGEST_END_S = 30.0
_LOOK_S = 0.01
_PR_SET_CHILD_SUBREAPER = 36
"""From Linux's prctl.h."""
_TAIL_BYTES = 4000

_MOST_ANSWER_BYTES = 1 << 26
"""Ten thousand implementations with a kilobyte about each are a sixth of it."""


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
        self._beside = _children()
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
            has_ended = _has_ended(self._process)  # asked first: what it said before is in the pipe by now
            ready, _, _ = select.select([self._messages_fd], [], [], min(left_s, _TICK_S))
            self._bound_what_is_printed()
            if not ready:
                if has_ended:  # a process that it started holds the pipe open
                    raise self._death()
                if left_s <= _TICK_S:
                    raise WorkerHungError(f"no sign of life for {timeout_s:g} s")
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
        if not _has_ended(self._process):
            before, ends = os.fstat(self._faults.fileno()).st_size, monotonic() + _TELL_S
            self._process.send_signal(TELL_SIGNAL)
            while os.fstat(self._faults.fileno()).st_size == before and monotonic() < ends:
                sleep(READ_EVERY_S)
        return _tail(self._faults)

    def kill(self) -> None:
        """End the worker and everything that it started, at once."""
        _end_group(self._process, beside=self._beside)

    def close(self) -> None:
        """Let the worker end by itself; end it after a grace time."""
        with suppress(BrokenPipeError):
            self._orders.close()
        _wait_for_end(self._process, timeout_s=_GRACE_S)
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
        if not _wait_for_end(self._process, timeout_s=_GRACE_S):
            return WorkerDiedError("it closed its pipe and went on")
        self.kill()
        code = self._process.wait()
        if code >= 0:
            return WorkerDiedError(f"the process exited with {code}")
        try:
            return WorkerDiedError(signal.Signals(-code).name, signal=-code)
        except ValueError:
            return WorkerDiedError(f"signal {-code}", signal=-code)


def worker_command(*arguments: str) -> list[str]:
    """How a worker is started; -P keeps files of the current folder from standing in for libraries."""
    return [sys.executable, "-P", "-m", "lnbench.worker", *arguments]


def worker_environment(threads: int, *, compile_cache: str = "") -> dict[str, str]:
    """The worker's environment variables: every OpenMP and BLAS library gets the workload's threads, and spins briefly.

    A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT stays. `compile_cache`: where torch.compile and Triton keep what they
    compiled; "" for where they do anyway.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if compile_cache:
        environment |= {
            "TORCHINDUCTOR_CACHE_DIR": os.path.join(compile_cache, "inductor"),
            "TRITON_CACHE_DIR": os.path.join(compile_cache, "triton"),
        }
    return environment


def call_worker(arguments: Sequence[str], *, timeout_s: float) -> tuple[bytes, str]:
    """Run a worker that answers once, on a descriptor appended to its first argument; gives answer and how it ended.

    The second part is empty when it answered. The descriptor is a file's: a pipe that nobody empties yet would stop a
    worker with a long answer. Of what it prints only the end is kept, so that one that prints forever fills no disk.
    """
    beside = _children()
    with tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            worker_command(arguments[0], str(answer.fileno()), *arguments[1:]),
            pass_fds=(answer.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None  # it was asked for
        tail = bytearray()
        reading = Thread(target=_keep_tail, args=(process.stderr, tail), daemon=True)
        reading.start()
        try:
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return b"", f"it did not finish within {timeout_s:g} s"
        finally:
            _end_group(process, beside=beside)
        reading.join(_TICK_S)  # what left the process group may hold the pipe open for ever
        if code < 0:
            return b"", f"it was ended by {_signal_name(-code)}"
        answer.seek(0)
        found = answer.read(_MOST_ANSWER_BYTES + 1)
        if len(found) > _MOST_ANSWER_BYTES:
            return b"", f"its answer has more than {_MOST_ANSWER_BYTES >> 20} MiB"
        if found:
            return found, ""
    last = bytes(tail).decode(errors="replace").strip().splitlines()
    return b"", last[-1] if last else f"it exited with {code}"


def _keep_tail(stream: IO[bytes], tail: bytearray) -> None:
    """Read a stream to its end and keep the last of it."""
    with stream:
        while data := os.read(stream.fileno(), _READ_BYTES):
            tail += data
            del tail[:-_TAIL_BYTES]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def adopt_orphans() -> None:
    """Become the parent of what a dead worker leaves behind, so that it can be found and ended; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _end_group(process: subprocess.Popen[bytes], *, beside: Collection[psutil.Process]) -> None:
    """End a process and all that it started, at once; also what has moved to a group of its own.

    `beside`: children of ours from before, which have nothing to do with it. What it started and left behind, when it
    died, is a child of ours by now, if we adopt orphans.
    """
    if process.returncode is None:  # once it is reaped, its number may be another's
        # macOS forbids, rather than misses, a group in which only ended processes are left.
        descendants = _children(process.pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _kill(descendants)
        # One that a driver holds up can't be waited for; it ends when the driver lets it.
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LONGEST_END_S)
    _kill([child for child in _children() if child not in beside and child.pid != process.pid])


def _children(process: int | None = None) -> list[psutil.Process]:
    """All that a process, or this one, has started, and what that has."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.Error:
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=_GRACE_S)  # those that were adopted have to be reaped


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """True when it has. It is not reaped where that can be helped: until then its number, and its group's, stay its."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return process.poll() is not None


def _wait_for_end(process: subprocess.Popen[bytes], *, timeout_s: float) -> bool:
    """Wait until it has ended, without reaping it; False when it had not within the time."""
    ends = monotonic() + timeout_s
    while not _has_ended(process):
        if monotonic() >= ends:
            return False
        sleep(_LOOK_S)
    return True


def _appended_file() -> IO[bytes]:
    """A temporary file to whose end everybody writes, so that it can be made shorter meanwhile."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as its process)
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read().decode(errors="replace").strip()
