"""A journal's lines, one by one and bounded: a file of a stranger may be anything, packed or plain."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lnbench.errors import JournalError
from lnbench.store.regular import open_regular

MOST_HEADER_BYTES = 1 << 28
"""A plan of a million cases takes 250 bytes for each; a check's header holds a baseline beside it."""

MOST_LINE_BYTES = 1 << 24
"""The longest event names the cases to confirm: a million numbers. Others are below a few kilobytes."""

MOST_BYTES = 1 << 32
"""Ten million turns, unpacked: a run of a day has a tenth of them. A file of a megabyte can unpack to a thousand."""

FIRST_EVENT = 2
"""The line of the first event."""

Line = tuple[int, bytes]
"""A line with its number."""

Stream = IO[bytes] | gzip.GzipFile

_PIECE_BYTES = 1 << 20

_GLANCE_BYTES = 1 << 12
"""So much of a first line is looked at before all of it is read."""


@contextmanager
def opened(file: Path) -> Iterator[Stream]:
    """A journal's bytes, unpacked where it is packed.

    Raises JournalError, also from inside, for what is no regular file, can't be read or is damaged.
    """
    try:
        with open_regular(file) as raw:
            if file.suffix != ".gz":
                yield raw
                return
            with gzip.open(raw) as unpacked:
                yield unpacked
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise JournalError(f"{file}: the compressed file is damaged or incomplete: {error}") from error
    except OSError as error:
        raise JournalError(f"{file}: can't be read: {error.strerror}") from error


def first_line(stream: Stream, file: Path) -> bytes:
    """The header's line. Raises JournalError for one that is too long, or no JSON object from its start."""
    line = stream.readline(_GLANCE_BYTES)
    if not line.lstrip().startswith(b"{"):
        raise JournalError(f"{file}:1: not a journal of lnbench", hint="the first line should be the run's header")
    if len(line) == _GLANCE_BYTES and not line.endswith(b"\n"):
        line += stream.readline(MOST_HEADER_BYTES + 1 - len(line))
    if len(line) > MOST_HEADER_BYTES:
        raise JournalError(f"{file}:1: the header has more than {MOST_HEADER_BYTES >> 20} MiB")
    return line


def later_lines(stream: Stream, file: Path) -> Iterator[tuple[list[Line], bool]]:
    """All lines but the first without their ends, a few thousand at a time, and whether they had ends.

    Only the last line may have none; it comes alone.
    """
    number, total, rest = FIRST_EVENT, 0, b""
    while piece := stream.read(_PIECE_BYTES):
        total += len(piece)
        if total > MOST_BYTES:
            raise JournalError(f"{file}:{number}: the journal has more than {MOST_BYTES >> 30} GiB")
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        yield list(enumerate(lines, start=number)), True
        number += len(lines)
        # No line inside a piece is longer than a piece; only one that goes on through several has to be bounded.
        if len(rest) > MOST_LINE_BYTES:
            raise JournalError(f"{file}:{number}: the line has more than {MOST_LINE_BYTES >> 20} MiB")
    if rest:
        yield [(number, rest)], False
