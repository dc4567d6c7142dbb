"""Runs commands with a time limit, and logs what they print."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

PATIENCE_S = 12.0
"""For a command that was interrupted: lnbench then writes what it has measured."""


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit status; None where it was ended at its limit."""

    code: int | None
    text: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line that it printed; "" where it printed none."""
        lines = self.text.strip().splitlines()
        return lines[-1] if lines else ""


class Deadline:
    """A time limit for everything, in seconds from now."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._began = time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.limit_s - self.spent_s


@dataclass
class Commands:
    """Starts commands in one folder and environment, never past the deadline."""

    folder: Path
    log: TextIO
    deadline: Deadline
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def say(self, text: str) -> None:
        """Print a line, and log it."""
        print(text, flush=True)
        self.log.write(f"{text}\n")
        self.log.flush()

    def lnbench(self, *arguments: str | Path, limit_s: float) -> Ran:
        """Run lnbench in the folder."""
        return self.python("-m", "lnbench", *arguments, limit_s=limit_s)

    def python(
        self,
        *arguments: str | Path,
        limit_s: float,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run this interpreter; `environment` is added to that of all commands."""
        return self.run([sys.executable, *map(str, arguments)], limit_s=limit_s, folder=folder, environment=environment)

    def run(
        self,
        command: list[str],
        *,
        limit_s: float,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run a command to its end; at its limit interrupt it, and kill it where that does not help."""
        limit_s = max(min(limit_s, self.deadline.left_s), 1.0)
        self.log.write(f"\n$ {' '.join(command)}   (at most {limit_s:.0f} s)\n")
        self.log.flush()
        began = time.monotonic()
        printed = self.folder / "printed.txt"
        with printed.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=folder or self.folder,
                env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_listen_to_interrupts,
            )
            code = _wait(process, limit_s)
        ran = Ran(code, printed.read_bytes().decode(errors="replace"), time.monotonic() - began)
        ended = f"exit {code}" if code is not None else "ended at its limit"
        self.log.write(f"{ran.text}[{ended}, {ran.seconds:.1f} s]\n")
        self.log.flush()
        return ran


def _wait(process: "subprocess.Popen[bytes]", limit_s: float) -> int | None:
    try:
        return process.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None


def _listen_to_interrupts() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
