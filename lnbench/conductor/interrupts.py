"""Ctrl-C and its like while a run measures: the first asks it to stop after the turn under way, the second at once."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class StoppedError(Exception):
    """The user asked for an end, and the turn under way has come to its own."""


class Interrupts:
    """Takes the signals over as long as the context lasts. `asked` tells that the first has come.

    A handler that raises may do so anywhere, in the middle of a line of the journal too; so the first only leaves word,
    and whoever listens to the worker raises StoppedError where nothing is lost. The second raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in _SIGNALS:
            number = getattr(signal, name)
            # What is ignored stays so: `nohup` asks to live on when the terminal is closed.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
        elif number != signal.SIGHUP:  # a terminal that is closed may send it several times
            for other in self._before:
                signal.signal(other, signal.SIG_IGN)  # what is left to do is short, and says how to go on
            raise KeyboardInterrupt
