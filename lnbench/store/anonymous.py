"""Lines that can be published: reasons and last words quote paths, which tell who ran what where."""

import getpass
import os
import platform
import re
import sys
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
"""Where the package lies: among all others, or in a checkout."""

_TELLING = re.compile(r"[0-9.-]")
"""What a host's name must hold to be replaced: one that is a plain word can't be told from a word of the text."""


def anonymous(line: str) -> str:
    """The line without this user's folders, name and host: each becomes a word for what it is.

    What stands below the home folder begins with `~`, below the current one with `.`, in the interpreter's own with
    `<python>`, and in that for temporary files with `<tmp>`.
    """
    for pattern, word in _replaced(Path.cwd() if _has_folder() else Path("/"), _home()):
        line = pattern.sub(word, line)
    return line


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's user may have none
        return Path("/")


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


@cache
def _replaced(here: Path, home: Path) -> tuple[tuple[re.Pattern[str], str], ...]:
    """What is replaced by what; the longest path first, since one may lie inside another."""
    folders = {
        str(Path(sys.prefix)): "<python>",
        str(Path(sys.base_prefix)): "<python>",
        os.environ.get("TMPDIR", "/tmp"): "<tmp>",
        **({} if _PACKAGE.is_relative_to(sys.prefix) else {str(_PACKAGE): "<lnbench>"}),
        str(home): "~",
        str(here): ".",
    }
    found = [
        (re.compile(rf"(?<![\w./-]){re.escape(folder)}(?![\w.-])"), word)
        for folder, word in sorted(folders.items(), key=lambda item: len(item[0]), reverse=True)
        if len(folder) > 1
    ]
    found.append((re.compile(r"/(home|Users)/[^/\s\"\\]+"), "~"))
    user, host = _user(), platform.node()
    if user and user != "root":
        found.append((re.compile(rf"(?<=/){re.escape(user)}(?=/)"), "<user>"))
    if len(host) > 1 and _TELLING.search(host):
        found.append((re.compile(rf"(?<![\w.-]){re.escape(host)}(?![\w-])"), "<host>"))
    return tuple(found)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""
