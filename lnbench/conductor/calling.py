"""A worker that answers one question, and ends."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from time import monotonic, sleep
from typing import IO

from lnbench.conductor.process_group import children, end_group, signal_name
from lnbench.conductor.stack_place import place_of
from lnbench.conductor.starting import worker_command, worker_environment
from lnbench.measure.environment import usable_physical_cores
from lnbench.worker.ending import TELL_SIGNAL

_MOST_ANSWER_BYTES = 1 << 26
"""Ten thousand implementations with a kilobyte about each are a sixth of it."""

_READ_BYTES = 1 << 16
_TAIL_BYTES = 1 << 14
_LAST_WORDS_S = 0.25
_LOOK_S = 0.05

TELL_S = 1.0
"""A worker that is asked where it is answers at once, unless the system keeps it from running."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker wrote, whole or in part, and how it failed: "" when it came to its end."""

    text: bytes
    failure: str = ""
    timed_out: bool = False


def call_worker(arguments: Sequence[str], *, timeout_s: float) -> Answer:
    """Run a worker that answers one question, on a descriptor appended to its first argument.

    The descriptor is a file's: a pipe that nobody empties yet would stop a worker with a long answer. Of what it prints
    only the end is kept, so that one that prints forever fills no disk.
    """
    beside = children()
    with tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            worker_command(arguments[0], str(answer.fileno()), *arguments[1:]),
            pass_fds=(answer.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=worker_environment(usable_physical_cores()),
            start_new_session=True,
        )
        assert process.stderr is not None  # it was asked for
        tail = bytearray()
        reading = Thread(target=_keep_tail, args=(process.stderr, tail), daemon=True)
        reading.start()
        try:
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            place = _place_of(process, tail)
            failure = f"it did not finish within {timeout_s:g} s" + (f": {place}" if place else "")
            return Answer(_read(answer), failure, timed_out=True)
        finally:
            end_group(process, beside=beside)
        reading.join(_LAST_WORDS_S)  # what left the process group may hold the pipe open for ever
        if code < 0:
            return Answer(_read(answer), f"it was ended by {signal_name(-code)}")
        found = _read(answer)
    if len(found) > _MOST_ANSWER_BYTES:
        return Answer(b"", f"its answer has more than {_MOST_ANSWER_BYTES >> 20} MiB")
    if found and code == 0:
        return Answer(found)
    last = bytes(tail).decode(errors="replace").strip().splitlines()
    return Answer(found, last[-1] if last else f"it exited with {code}")


def _place_of(process: subprocess.Popen[bytes], tail: bytearray) -> str:
    """Where a worker hangs; "" where it can't tell."""
    process.send_signal(TELL_SIGNAL)
    before, ends = bytes(tail), monotonic() + TELL_S
    while bytes(tail) == before and monotonic() < ends:
        sleep(_LOOK_S)
    sleep(_LOOK_S)  # the rest of the stacks
    return place_of(bytes(tail).decode(errors="replace"), of_crash=False)


def _read(answer: IO[bytes]) -> bytes:
    """What stands in a file, and of too much no more than shows that it is too much."""
    answer.seek(0)
    return answer.read(_MOST_ANSWER_BYTES + 1)


def _keep_tail(stream: IO[bytes], tail: bytearray) -> None:
    """Read a stream to its end and keep the last of it."""
    with stream:
        while data := os.read(stream.fileno(), _READ_BYTES):
            tail += data
            del tail[:-_TAIL_BYTES]
