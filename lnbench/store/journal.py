"""Writing a journal: one header, then one JSON line per event, handed to the operating system as it happens."""

import errno
import fcntl
import os
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import TracebackType
from typing import Self

from lnbench.errors import OutputError
from lnbench.events import Event, Turn
from lnbench.record import Header, Run
from lnbench.store.anonymous import anonymous
from lnbench.store.place import JOURNAL_NAME, TURNS_NAME, already_held, refuse_held

_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Journal:
    """A journal that is being written. Every line is complete in the file before `append` returns.

    `turns_fd`: the file for a worker to write its turns to.
    """

    def __init__(self, path: Path, file: int, turns_fd: int) -> None:
        self.path = path
        self.turns_fd = turns_fd
        self._file = file
        self._end = os.fstat(file).st_size
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{path}: another run is writing it", hint="wait until it has ended") from None
        except OSError:  # a file system without locks
            return

    @classmethod
    def create(cls, folder: Path, header: Header) -> Self:
        """Make the folder where needed and write the header.

        Raises OutputError when the folder already holds a run, or can't be written.
        """
        path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            refuse_held(folder)
            file = os.open(path, _APPENDING | os.O_CREAT | os.O_EXCL, 0o666)
            turns_fd = _open_turns(folder, os.O_TRUNC)
        except FileExistsError as error:
            if folder.is_dir():  # another run was a moment faster
                raise already_held(folder, JOURNAL_NAME) from error
            raise OutputError(
                f"{folder}: a file stands where the run's folder should be", hint="name another folder with --output"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{folder}: can't write a run here: {error.strerror}", hint="name a folder you may write with --output"
            ) from error
        journal = cls(path, file, turns_fd)
        try:
            journal._write(header)
            journal.sync()
        except BaseException:
            journal.close()
            path.unlink()
            raise
        _sync_folder(folder)
        return journal

    @classmethod
    def reopen(cls, path: Path, run: Run) -> Self:
        """Go on with a journal that was read as `run`: an incomplete last line is cut off, turns beside it are added.

        Raises OutputError when it can't be written, or another process is writing it.
        """
        try:
            file = os.open(path, (_APPENDING & ~os.O_WRONLY) | os.O_RDWR)
            turns_fd = _open_turns(path.parent)
        except OSError as error:
            raise OutputError(
                f"{path}: can't write: {'it is a link' if error.errno == errno.ELOOP else error.strerror}",
                hint="a run goes on in its own folder",
            ) from error
        journal = cls(path, file, turns_fd)
        journal._mend_last_line(torn=run.torn)
        for turn in run.beside:
            journal.append(turn)
        journal.sync()
        journal.forget_turns_beside()
        return journal

    def append(self, event: Event) -> None:
        """Write one event; raises OutputError when the file can't take it, as on a full disk."""
        self._write(event)

    def forget_turns_beside(self) -> None:
        """Empty the file of turns, when all that it holds stands in the journal."""
        os.ftruncate(self.turns_fd, 0)

    def sync(self) -> None:
        """Wait until all lines are on the disk itself: after each workload, and at the end.

        Raises OutputError when that can't be, or the file has no name any more.
        """
        if os.fstat(self._file).st_nlink == 0:
            raise OutputError(f"{self.path}: was removed while the run measured", hint="what it held is lost")
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Close the file; nothing can be appended afterwards."""
        if os.fstat(self.turns_fd).st_size == 0:
            self.path.with_name(TURNS_NAME).unlink(missing_ok=True)
        os.close(self.turns_fd)
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, line: Header | Event) -> None:
        """Write a line whole, or nothing of it: half a line would spoil those that a later part of the run adds."""
        text = line.model_dump_json()
        data = (text if isinstance(line, Turn) else anonymous(text)).encode() + b"\n"  # a turn holds numbers alone
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise self._cannot_write(error) from error
        self._end += len(data)

    def _mend_last_line(self, *, torn: bool) -> None:
        """Cut an incomplete line off; end a complete one that lacks only its end."""
        with mmap(self._file, 0, access=ACCESS_READ) as content:
            after_last_end = content.rfind(b"\n") + 1
        if after_last_end == self._end:
            return
        if torn:
            self._end = after_last_end
            os.ftruncate(self._file, self._end)
        else:
            self._end += os.write(self._file, b"\n")

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.path}: can't write: {error.strerror}",
            hint=f"what was measured before is kept; make room, then `lnbench run --resume {self.path.parent}`",
        )


def journal_lines(run: Run) -> str:
    """A whole run as the text of a journal."""
    return "".join(f"{anonymous(line.model_dump_json())}\n" for line in (run.header, *run.events))


def _open_turns(folder: Path, flags: int = 0) -> int:
    return os.open(folder / TURNS_NAME, _APPENDING | os.O_CREAT | flags, 0o666)


def _sync_folder(folder: Path) -> None:
    """Make the journal's name in its folder last, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems know no such thing
        return
    finally:
        os.close(descriptor)
