"""`--format NAME` and `--format NAME=PATH`: what a command shows, and the files that it writes beside it."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from lnbench.cli.common import message
from lnbench.cli.streams import write_file_format
from lnbench.errors import OutputError, UsageError, nearest

T = TypeVar("T")

TERMINAL = "terminal"
GITHUB = "github"

Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME[=PATH]",
        help="Show it so, or write it so to PATH. May repeat.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Chosen:
    """What goes to stdout, and which files are written."""

    shown: str
    files: tuple[tuple[str, Path], ...]


def chosen_formats(values: Iterable[str] | None, known: Iterable[str]) -> Chosen:
    """The formats asked for; a terminal table goes to stdout unless another format does.

    Raises UsageError for a name that is none or for two that go to stdout, OutputError for a path in no folder.
    """
    names = list(known)
    shown: list[str] = []
    files: list[tuple[str, Path]] = []
    for value in values or ():
        name, equals, path = value.partition("=")
        if name not in names:
            raise UsageError(f'--format: unknown format "{name}"', hint=nearest(name, names))
        if not equals:
            shown.append(name)
            continue
        if not path:
            raise UsageError(f'--format: "{value}" names no file', hint=f"as in {name}=FILE")
        if not Path(path).parent.is_dir():
            raise OutputError(f"--format {name}: there is no folder {Path(path).parent}", hint="make it first")
        if Path(path).is_dir():
            raise OutputError(f"--format {name}: {path} is a folder", hint=f"as in {name}={path}/check.txt")
        files.append((name, Path(path)))
    if len(set(shown)) > 1:
        raise UsageError(
            f"--format: {' and '.join(shown)} can't both go to stdout", hint=f"as in --format {shown[1]}=FILE"
        )
    return Chosen(shown[0] if shown else TERMINAL, tuple(files))


def write_files(chosen: Chosen, shown: T, formats: Mapping[str, Callable[[T], str | bytes]]) -> None:
    """Write every file that was asked for."""
    for name, path in chosen.files:
        from lnbench.store.folder import (
            write_bytes_atomically,
        )  # loads numpy, which a command that only shows does without

        if name == GITHUB:
            _write(formats[GITHUB](shown))
            content = formats["markdown"](shown)
        else:
            content = formats[name](shown)
        write_bytes_atomically(path, content.encode() if isinstance(content, str) else content)
        message(f"written: {path}")


def write_shown(chosen: Chosen, shown: T, formats: Mapping[str, Callable[[T], str | bytes]]) -> None:
    """Write what goes to stdout; GitHub's summary goes where GitHub says."""
    _write(formats[chosen.shown](shown), what=chosen.shown)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if chosen.shown == GITHUB and summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(str(formats["markdown"](shown)))
        except OSError as error:
            raise OutputError(f"{summary}: can't write the summary: {error.strerror}") from error


def _write(content: str | bytes, *, what: str = GITHUB) -> None:
    if isinstance(content, bytes) and sys.stdout.isatty():
        raise UsageError(f"--format {what}: a terminal shows no image", hint=f"as in --format {what}=plot.{what}")
    write_file_format(content)
