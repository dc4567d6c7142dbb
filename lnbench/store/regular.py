"""Regular files alone: a pipe or a device in a file's place would be waited for, or never end."""

import errno
import os
import stat
from pathlib import Path
from typing import IO


def open_regular(file: Path) -> IO[bytes]:
    """The bytes of a regular file, which links may lead to. Raises OSError for anything else, at once."""
    try:
        # Without O_NONBLOCK opening a named pipe waits for somebody to write into it.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a null byte
        raise OSError(errno.EINVAL, str(error)) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    return os.fdopen(descriptor, "rb")
