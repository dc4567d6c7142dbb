"""A worker that answers one question, and ends."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from threading import Thread
from typing import IO

from lnbench.conductor.process_group import children, end_group, signal_name
from lnbench.conductor.starting import worker_command

_MOST_ANSWER_BYTES = 1 << 26
"""Ten thousand implementations with a kilobyte about each are a sixth of it."""

_READ_BYTES = 1 << 16
_TAIL_BYTES = 4000
_LAST_WORDS_S = 0.25


def call_worker(arguments: Sequence[str], *, timeout_s: float) -> tuple[bytes, str]:
    """Run a worker that answers once, on a descriptor appended to its first argument; gives answer and how it ended.

    The second part is empty when it answered. The descriptor is a file's: a pipe that nobody empties yet would stop a
    worker with a long answer. Of what it prints only the end is kept, so that one that prints forever fills no disk.
    """
    beside = children()
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
            end_group(process, beside=beside)
        reading.join(_LAST_WORDS_S)  # what left the process group may hold the pipe open for ever
        if code < 0:
            return b"", f"it was ended by {signal_name(-code)}"
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
