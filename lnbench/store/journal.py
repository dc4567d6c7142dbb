"""Writing a journal: one header, then one JSON line per event, handed to the operating system as it happens."""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from lnbench.errors import OutputError
from lnbench.events import Event
from lnbench.record import Header, Run

JOURNAL_NAME = "run.jsonl"
PACKED_NAME = "run.jsonl.gz"
RESULTS_NAME = "results.csv"
REPORT_NAME = "report.md"


class Journal:
    """A journal that is being written. Every line is complete in the file before `append` returns."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    @classmethod
    def create(cls, folder: Path, header: Header) -> Self:
        """Make the folder where needed and write the header.

        Raises OutputError when the folder already holds a run, or can't be written.
        """
        path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = [name for name in (JOURNAL_NAME, PACKED_NAME, RESULTS_NAME, REPORT_NAME) if (folder / name).exists()]
            if held:
                raise _already_held(folder, held[0])
            file = path.open("xb")
        except FileExistsError as error:
            if folder.is_dir():  # another run was a moment faster
                raise _already_held(folder, JOURNAL_NAME) from error
            raise OutputError(
                f"{folder}: a file stands where the run's folder should be", hint="name another folder with --output"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{folder}: can't write a run here: {error.strerror}", hint="name a folder you may write with --output"
            ) from error
        journal = cls(path, file)
        journal._write(header)
        journal.sync()
        return journal

    def append(self, event: Event) -> None:
        """Write one event; raises OutputError when the file can't take it, as on a full disk."""
        self._write(event)

    def sync(self) -> None:
        """Wait until all lines are on the disk itself: after each workload, and at the end."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; nothing can be appended afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, line: Header | Event) -> None:
        text = line.model_dump_json()
        try:
            self._file.write(_without_home(text).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.path}: can't write: {error.strerror}", hint="what was measured before is kept"
            ) from error


def journal_lines(run: Run) -> str:
    """A whole run as the text of a journal."""
    return "".join(f"{_without_home(line.model_dump_json())}\n" for line in (run.header, *run.events))


def _already_held(folder: Path, name: str) -> OutputError:
    return OutputError(f"{folder}: already holds {name}", hint="name a new folder with --output")


def _without_home(line: str) -> str:
    """The line with this user's home folder as `~`: a journal can be published, and reasons quote paths."""
    home = str(Path.home())
    if len(home) < 2 or home not in line:
        return line
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", line)
