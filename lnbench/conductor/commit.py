"""The commit of the code that is measured, as far as git tells it; nothing else about the repository is asked."""

import re
import subprocess
from typing import NamedTuple

from lnbench.conductor.git import run_git

_WHOLE_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_PATIENCE_S = 10.0
"""Looking through the files of a large repository on a cold disk takes seconds."""


class Commit(NamedTuple):
    """A commit's id, and whether tracked files differ from it; "" where there is none, or no telling."""

    id: str = ""
    dirty: bool = False


def current_commit() -> Commit:
    """The commit that is checked out around the current folder, where suites and plug-ins lie.

    Files that git does not track say nothing here: reports of earlier runs are such, and a plug-in has its own digest.
    Never raises: no git, no repository, no commit yet and somebody else's repository all read as no commit.
    """
    found = _git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    if not _WHOLE_ID.fullmatch(found):
        return Commit()
    return Commit(found, bool(_git("status", "--porcelain", "--untracked-files=no")))


def _git(*arguments: str) -> str:
    """What git prints; "" where it fails."""
    try:
        done = run_git(*arguments, timeout_s=_PATIENCE_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "" if done.returncode else done.stdout.decode(errors="replace")
