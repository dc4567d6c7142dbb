"""The standard streams as they may be found: closed, without a reader, in a poor encoding, with a size that is none."""

import codecs
import io
import os
import sys
from contextlib import suppress
from types import MappingProxyType
from typing import TextIO

_SPELLED = "lnbench.spelled"
_SPELLINGS = MappingProxyType(str.maketrans("µμ±–→×°·²†⚠▁▂▃▄▅▆▇█", "uu~->x .2+!1234567#"))
"""How our own signs are written where an encoding lacks them, letter for letter, so that columns stay in line."""

_MOST_DIGITS = 4
"""Of a terminal's width or height."""


def open_standard_streams() -> None:
    """Lead closed streams nowhere, before a file gets their number; what an encoding lacks is spelled in ASCII, or `?`.

    So `us` stands for microseconds, and `~3 %` for a half-width.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    codecs.register_error(_SPELLED, _spell)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (lives as long as the process)
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors=_SPELLED)


def lead_nowhere(stream: TextIO) -> None:
    """What still waits to be written can't be; Python would try again at the end, and change the exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def forget_impossible_sizes() -> None:
    """Take COLUMNS and LINES out of the environment where they are no size, so that the terminal's own holds.

    Some CI systems set COLUMNS=0, at which rich prints nothing at all; and it stops at digits that are none to Python.
    """
    for name in ("COLUMNS", "LINES"):
        told = os.environ.get(name)
        if told is not None and not _is_size(told):
            del os.environ[name]


def write_file_format(content: str | bytes) -> None:
    """Write to stdout what a program reads: always UTF-8, as in a file, whatever the encoding of the terminal."""
    if isinstance(content, str):
        if sys.stdout.isatty() or not hasattr(sys.stdout, "buffer"):
            sys.stdout.write(content)
            return
        content = content.encode(errors="replace")
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


def _is_size(told: str) -> bool:
    return told.isascii() and told.isdecimal() and len(told) <= _MOST_DIGITS and int(told) > 0


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelled = error.object[error.start : error.end].translate(_SPELLINGS)
    return "".join(letter if letter.isascii() else "?" for letter in spelled), error.end
