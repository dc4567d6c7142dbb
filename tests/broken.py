"""A copy of lnbench in which a fault is put back in, so that a test can show that it would be caught."""

import shutil
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lnbench"


@dataclass(frozen=True)
class Fault:
    """A fault: in which file of lnbench which words replace the right ones."""

    file: str
    right: str
    wrong: str


def broken_copy(folder: Path, fault: Fault) -> Path:
    """Copy the package into a folder with a fault in it; gives the folder, for PYTHONPATH.

    The right words have to be there exactly once: where they have changed, the fault has to be written anew.
    """
    shutil.copytree(PACKAGE, folder / "lnbench", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "lnbench" / fault.file
    text = file.read_text(encoding="utf-8")
    assert text.count(fault.right) == 1, f"{fault.file} has not the words {fault.right!r} once"
    file.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
    return folder
