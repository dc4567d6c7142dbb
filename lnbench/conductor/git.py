"""git, asked about the repository that the current folder is in, whoever started lnbench and in whatever language."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_OTHERS_REPOSITORY = frozenset(
    f"GIT_{name}"
    for name in (
        "ALTERNATE_OBJECT_DIRECTORIES",
        "ATTR_SOURCE",
        "COMMON_DIR",
        "CONFIG",
        "DIR",
        "GRAFT_FILE",
        "IMPLICIT_WORK_TREE",
        "INDEX_FILE",
        "INTERNAL_SUPER_PREFIX",
        "NAMESPACE",
        "NO_REPLACE_OBJECTS",
        "OBJECT_DIRECTORY",
        "PREFIX",
        "QUARANTINE_PATH",
        "REPLACE_REF_BASE",
        "SHALLOW_FILE",
        "WORK_TREE",
    )
)
"""What git sets for its hooks and aliases (`git rev-parse --local-env-vars`, and what came later): it is about the
repository of whoever started us, and makes git take the current folder for the top of one. Settings (GIT_CONFIG_COUNT
and the like, where containers keep safe.directory) stay."""


def git_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for git: nothing points to another repository, and its messages are in English."""
    kept = {name: value for name, value in environment.items() if name not in _OTHERS_REPOSITORY and name != "LANGUAGE"}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def run_git(
    *arguments: str, cwd: Path | None = None, index: Path | None = None, timeout_s: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end; what it says stays bytes, for file names may be in any encoding.

    It takes no lock that it can do without, and starts nothing that goes on beside a measurement. `index`: a file to
    use instead of the repository's own index. Raises FileNotFoundError where git is not installed, and TimeoutExpired.
    """
    environment = git_environment(os.environ)
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    return subprocess.run(
        ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        env=environment,
        check=False,
    )


def complaint(said: bytes) -> tuple[str, str]:
    """What went wrong in what git wrote to stderr, and what it says to do about it, each in one line."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith(("fatal: ", "error: "))]
    if not starts:
        return (lines[-1] if lines else "git failed"), ""
    advice = " ".join(line.removeprefix("hint: ") for line in lines[starts[0] + 1 :])
    return lines[starts[0]].partition(": ")[2], advice
