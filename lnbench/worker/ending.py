"""How a worker ends: with the process that started it, before others when memory runs out, when it is asked to, and
telling where it was."""

import ctypes
import faulthandler
import os
import signal
import sys
from types import FrameType

from lnbench.errors import TerminatedError
from lnbench.measure.host_memory import offer_as_victim

_PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h."""

TELL_SIGNAL = signal.SIGQUIT
"""On this signal a worker writes where each of its threads is, also while a call that never returns holds them up."""


def prepare_to_end(faults_fd: int, *, parent: int) -> None:
    """Write stacks to `faults_fd` on a fatal error and when asked, and end when the parent does.

    `parent`: the process that should be this one's parent; where it has gone already, this one ends at once.
    """
    faulthandler.enable(file=faults_fd, all_threads=True)
    faulthandler.register(TELL_SIGNAL, file=faults_fd, all_threads=True)
    offer_as_victim()
    end_with(parent)


def end_in_order() -> None:
    """Raise TerminatedError in the main thread at the first SIGTERM: a build then releases its locks on the way out.

    A process that was forked from this one has none of its frames to leave, and ends at once.
    """
    own = os.getpid()

    def leave(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != own:
            os.kill(os.getpid(), number)
        raise TerminatedError

    signal.signal(signal.SIGTERM, leave)


def end_terminated() -> None:
    """End by the signal that was the reason to, as whoever looks at the end of this process expects."""
    os.kill(os.getpid(), signal.SIGTERM)  # it has its default action again


def end_with(parent: int) -> None:
    """End when the parent does; at once where it has gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
