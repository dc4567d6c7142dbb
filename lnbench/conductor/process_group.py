"""Ending a process and all that it started, wherever that has gone, without mistaking another's number for its own."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from time import monotonic, sleep

import psutil

_LONGEST_END_S = 30.0
_REAPED_S = 5.0
_LOOK_S = 0.01
_PR_SET_CHILD_SUBREAPER = 36
"""From Linux's prctl.h."""


def adopt_orphans() -> None:
    """Become the parent of what a dead worker leaves behind, so that it can be found and ended; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_group(process: subprocess.Popen[bytes], *, beside: Collection[psutil.Process]) -> None:
    """End a process and all that it started, at once; also what has moved to a group of its own.

    `beside`: children of ours from before, which have nothing to do with it. What it started and left behind, when it
    died, is a child of ours by now, if we adopt orphans.
    """
    if process.returncode is None:  # once it is reaped, its number may be another's
        # macOS forbids, rather than misses, a group in which only ended processes are left.
        descendants = children(process.pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _kill(descendants)
        # One that a driver holds up can't be waited for; it ends when the driver lets it.
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LONGEST_END_S)
    _kill([child for child in children() if child not in beside and child.pid != process.pid])


def children(process: int | None = None) -> list[psutil.Process]:
    """All that a process, or this one, has started, and what that has."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.Error:
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=_REAPED_S)  # those that were adopted have to be reaped


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """True when it has. It is not reaped where that can be helped: until then its number, and its group's, stay its."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return process.poll() is not None


def wait_for_end(process: subprocess.Popen[bytes], *, timeout_s: float) -> bool:
    """Wait until it has ended, without reaping it; False when it had not within the time."""
    ends = monotonic() + timeout_s
    while not has_ended(process):
        if monotonic() >= ends:
            return False
        sleep(_LOOK_S)
    return True


def signal_name(number: int) -> str:
    """What a signal is called."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
