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

GRACE_S = 3.0
"""How long a process that is asked to end may take before it is killed: enough to leave a build and release its locks,
which the next run would wait for, and little where a call that never returns can't be left."""

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
    """End a process and all that it started, also what has moved to a group of its own: SIGTERM, then SIGKILL.

    SIGKILL follows as soon as they have ended or their grace is over; at once where the process has died by itself.
    `beside`: children of ours from before, which have nothing to do with it. What it started and left behind, when it
    died, is a child of ours by now, if we adopt orphans.
    """
    if process.returncode is None:  # once it is reaped, its number may be another's
        descendants = children(process.pid)
        try:
            if not has_ended(process):
                _signal_group(process, descendants, signal.SIGTERM)
                _wait_for_all(process, descendants, timeout_s=GRACE_S)
        finally:  # also where the user interrupts the wait
            descendants += [child for child in children(process.pid) if child not in descendants]
            _signal_group(process, descendants, signal.SIGKILL)
            _reap(descendants)
        # One that a driver holds up can't be waited for; it ends when the driver lets it.
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LONGEST_END_S)
    left = [child for child in children() if child not in beside and child.pid != process.pid]
    _send(left, signal.SIGKILL)
    _reap(left)


def children(process: int | None = None) -> list[psutil.Process]:
    """All that a process, or this one, has started, and what that has."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.Error:
        return []


def _signal_group(process: subprocess.Popen[bytes], descendants: Sequence[psutil.Process], number: int) -> None:
    """Send a signal to a process's group, and to its descendants in other groups: once to each."""
    # macOS forbids, rather than misses, a group in which only ended processes are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
    _send([it for it in descendants if _group_of(it) != process.pid], number)


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _send(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _reap(processes: Sequence[psutil.Process]) -> None:
    """Wait for killed processes: those that were adopted stay in the system's table until then."""
    psutil.wait_procs(processes, timeout=_REAPED_S)


def _wait_for_all(process: subprocess.Popen[bytes], others: Sequence[psutil.Process], *, timeout_s: float) -> None:
    """Wait until all have ended, reaped or not, or the time is over."""
    ends = monotonic() + timeout_s
    while monotonic() < ends and not (has_ended(process) and not any(map(_is_alive, others))):
        sleep(_LOOK_S)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


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
