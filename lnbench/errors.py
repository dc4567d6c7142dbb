"""One tree of errors; the command line catches its root in one place and turns it into a message and an exit code."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell is told. `most_telling` holds the precedence when several apply."""

    FINE = 0
    REGRESSION = 1
    USAGE = 2
    UNFIT = 3
    CASE_FAILED = 4
    NOTHING_MEASURED = 5
    BUG = 70
    INTERRUPTED = 130


_PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.USAGE,
    ExitCode.BUG,
    ExitCode.NOTHING_MEASURED,
    ExitCode.REGRESSION,
    ExitCode.CASE_FAILED,
    ExitCode.UNFIT,
    ExitCode.FINE,
)


def most_telling(codes: Iterable[ExitCode]) -> ExitCode:
    """The exit code that wins when several apply; FINE when there is none."""
    return min(codes, key=_PRECEDENCE.index, default=ExitCode.FINE)


class LnbenchError(Exception):
    """Something that a person can act on: one message, and a hint on what to write or do instead."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LnbenchError):
    """The command line asks for something that can't be done."""


class SuiteError(LnbenchError):
    """A suite file is not what it should be; the message begins with file and line."""


class PluginError(LnbenchError):
    """A plug-in can't be loaded, registers something that can't be, or gives what is no implementation."""

    @property
    def in_words(self) -> str:
        """Message and hint in one."""
        return ": ".join(filter(None, (self.message, self.hint)))


class JournalError(LnbenchError):
    """A run can't be read: not a journal, damaged, or of an unknown schema version."""


class OutputError(LnbenchError):
    """The place to write to already holds a run, or can't be written."""


class MissingLibraryError(LnbenchError):
    """A library that is installed with lnbench is not here."""

    def __init__(self, library: str, *, needed_for: str) -> None:
        super().__init__(f"{needed_for} need {library}, which is not installed", hint=f"pip install {library}")


class NothingMeasuredError(LnbenchError):
    """The plan holds no case that can be measured here."""

    exit_code = ExitCode.NOTHING_MEASURED


class InterruptedCommandError(LnbenchError):
    """The user interrupted a command."""

    exit_code = ExitCode.INTERRUPTED


class StoppedAtOnce(KeyboardInterrupt):
    """The user stopped a wait, or a turn under way; the text says what is kept, the hint how to go on with it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unsupported(Exception):  # noqa: N818  (the name is part of the plug-in contract)
    """Raised by a builder for a workload that it can't do; its text is shown as the reason."""


class TerminatedError(BaseException):
    """A worker was told to end: raised wherever its main thread is, so that what a build holds is released."""


def text_of(error: BaseException) -> str:
    """An exception's text as text that can be written down, whatever its author made of it."""
    try:
        text = str(error)
    except BaseException:  # an author may raise anything there, too
        return "its text can't be told"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def in_a_line(error: BaseException) -> str:
    """An exception's kind and the first line of its text."""
    lines = text_of(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, if one is close, and all of them when they are few."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    guess = f'did you mean "{close[0]}"? ' if close else ""
    if len(names) > 24:
        return guess.strip()
    return f"{guess}known: {', '.join(names)}"
