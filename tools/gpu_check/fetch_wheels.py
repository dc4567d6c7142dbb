"""Downloads what a GPU machine without a network lacks for lnbench, in the versions that are installed here.

    python -m tools.gpu_check.fetch_wheels FOLDER [--python 3.12] [--have torch,triton,numpy,...]

Copy FOLDER to that machine with the repository, and give it to the check as --wheels FOLDER.
"""

import argparse
import subprocess
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

WANTED = ("lnbench[liger]", "pytest")
"""What the check uses; lnbench itself is run from the repository."""

ALREADY_THERE = ("torch", "triton")
"""A GPU machine has a PyTorch of its own, and Triton with it."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main() -> int:
    """Download the wheels; pip's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check.fetch_wheels")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="that machine's Python (default: 3.12)")
    parser.add_argument("--have", default="", help="packages that it has already, beside torch and triton")
    options = parser.parse_args()
    have = {canonicalize_name(name) for name in (*ALREADY_THERE, *options.have.split(","))}
    names = sorted(set(needed(WANTED, have=have, python=options.python)) - {"lnbench"})
    pinned = [f"{name}=={version(name)}" for name in names]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    kind = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", options.python]
    command = [sys.executable, "-m", "pip", "download", *kind, *platforms, "-d", str(options.folder), *pinned]
    return subprocess.run(command, check=False).returncode


def needed(wanted: Collection[str], *, have: Collection[str], python: str) -> Iterator[str]:
    """The names of packages and of all that they require, without those that are there, and what only these require."""
    target = {"python_version": python, "python_full_version": f"{python}.0"}
    waiting, seen = [Requirement(name) for name in wanted], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in have or (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        yield name
        for text in _requires(name):
            required = Requirement(text)
            if required.marker is None or any(
                required.marker.evaluate({**target, "extra": extra}) for extra in requirement.extras or {""}
            ):
                waiting.append(required)


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        sys.exit(f"{name} is not installed here, so its version is not known: pip install it first")


if __name__ == "__main__":
    sys.exit(main())
