"""A worker process as the conductor sees it: orders go in, messages come out, and it may die or hang at any time."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import IO, Any, Self

from pydantic import ValidationError

from lnbench.worker.protocol import MESSAGE, Measure, Setup

_READ_BYTES = 1 << 16
_GRACE_S = 5.0
_TAIL_BYTES = 4000


class WorkerDiedError(Exception):
    """The worker's pipe closed; the text says how the process ended."""


class WorkerHungError(Exception):
    """Nothing was heard from the worker within its time limit."""


class WorkerProcess:
    """One child process in a process group of its own, so that it and all that it started end together.

    What it prints goes to a temporary file, and its end is quoted when it dies; with `verbose` it goes to stderr.
    """

    def __init__(self, setup: Setup, *, verbose: bool = False) -> None:
        orders_read, orders_write = os.pipe()
        messages_read, messages_write = os.pipe()
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        output: Any = sys.stderr if verbose else self._printed
        self._process = subprocess.Popen(
            worker_command(str(orders_read), str(messages_write)),
            pass_fds=(orders_read, messages_write),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=worker_environment(setup.threads),
            start_new_session=True,
        )
        os.close(orders_read)
        os.close(messages_write)
        self._orders = os.fdopen(orders_write, "w", encoding="utf-8")
        self._messages_fd = messages_read
        self._partial = b""
        self._lines: deque[bytes] = deque()
        self.send(setup)

    def send(self, order: Setup | Measure) -> None:
        """Give an order. Raises WorkerDiedError when nobody is there to take it."""
        try:
            self._orders.write(order.model_dump_json() + "\n")
            self._orders.flush()
        except BrokenPipeError:
            raise WorkerDiedError(self._how_it_ended()) from None

    def receive(self, *, timeout_s: float) -> Any:
        """The next message. Waits in the system, without using a core.

        Raises WorkerDiedError at the end of the pipe, or when something that is no message comes out of it, and
        WorkerHungError when the time is up.
        """
        deadline = monotonic() + timeout_s
        while not self._lines:
            ready, _, _ = select.select([self._messages_fd], [], [], max(deadline - monotonic(), 0.0))
            if not ready:
                raise WorkerHungError(f"no sign of life for {timeout_s:g} s")
            data = os.read(self._messages_fd, _READ_BYTES)
            if not data:
                raise WorkerDiedError(self._how_it_ended())
            *whole, self._partial = (self._partial + data).split(b"\n")
            self._lines.extend(whole)
        line = self._lines.popleft()
        try:
            return MESSAGE.validate_json(line)
        except ValidationError:
            raise WorkerDiedError("something else wrote into the worker's pipe") from None

    def printed_tail(self) -> str:
        """The end of what the worker printed."""
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(0, size - _TAIL_BYTES))
        return self._printed.read().decode(errors="replace").strip()

    def kill(self) -> None:
        """End the worker and everything in its process group, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Let the worker end by itself; end it after a grace time."""
        with suppress(BrokenPipeError):
            self._orders.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_GRACE_S)
        self.kill()
        os.close(self._messages_fd)
        self._printed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self.kill()
        self.close()

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipe and went on"
        if code >= 0:
            return f"the process exited with {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


def worker_command(*arguments: str) -> list[str]:
    """How a worker is started; -P keeps files of the current folder from standing in for libraries."""
    return [sys.executable, "-P", "-m", "lnbench.worker", *arguments]


def worker_environment(threads: int) -> dict[str, str]:
    """The worker's environment variables: every OpenMP and BLAS library gets the workload's threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def call_worker(arguments: Sequence[str], *, timeout_s: float) -> tuple[bytes, str]:
    """Run a worker that answers once, on a descriptor appended to its first argument; gives answer and how it ended.

    The second part is empty when it answered.
    """
    read, write = os.pipe()
    command = worker_command(arguments[0], str(write), *arguments[1:])
    process = subprocess.Popen(
        command,
        pass_fds=(write,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(write)
    try:
        _, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        os.close(read)
        return b"", f"it did not finish within {timeout_s:g} s"
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    if answer:
        return answer, ""
    last = errors.decode(errors="replace").strip().splitlines()
    return b"", last[-1] if last else f"it exited with {process.returncode}"
