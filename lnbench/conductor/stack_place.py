"""Where a worker was when it died or hung, out of the stacks of its threads."""

import os
import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_THREAD = re.compile(r"^(Current thread|Thread) 0x[0-9a-f]+.*\(most recent call first\):$", re.MULTILINE)
_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+) in (.+)$', re.MULTILINE)
"""As Python's faulthandler writes them."""

_PACKAGES = re.compile(r".*[/\\](?:site|dist)-packages[/\\]")
_OWN = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))


class _Frame(NamedTuple):
    file: str
    line: str
    name: str

    @property
    def is_own(self) -> bool:
        """True for one of lnbench."""
        return self.file.startswith(_OWN)

    @property
    def is_library(self) -> bool:
        """True for one of Python's own modules, or of an installed package."""
        return self.file.startswith(_LIBRARIES) or _PACKAGES.match(self.file) is not None

    def __str__(self) -> str:
        short = _PACKAGES.sub("", self.file)
        return f"{short if short != self.file else Path(self.file).name}:{self.line} ({self.name})"


def place_of(stacks: str, *, of_crash: bool) -> str:
    """`torch/utils/file_baton.py:49 (wait), called by my_norms.py:44 (my_norm)`: where it was, and which code of the
    user's led there.

    `of_crash`: the thread that crashed is looked at, else the main one. "" where the stacks do not say, and where
    lnbench itself had called what never returned, as a kernel of PyTorch's.
    """
    frames = _frames(stacks, of_crash=of_crash)
    if not frames or frames[0].is_own:
        return ""
    outside = next((frame for frame in frames if not frame.is_own and not frame.is_library), frames[0])
    return str(frames[0]) if outside == frames[0] else f"{frames[0]}, called by {outside}"


def _frames(stacks: str, *, of_crash: bool) -> Sequence[_Frame]:
    """The frames of one thread, innermost first, without those of Python's machinery for imports."""
    starts = list(_THREAD.finditer(stacks))
    if not starts:
        return ()
    ends = [start.start() for start in starts[1:]] + [len(stacks)]
    # Threads are listed newest first, so the main one comes last.
    chosen = next((n for n, start in enumerate(starts) if of_crash and start[1] == "Current thread"), len(starts) - 1)
    found = [_Frame(*frame) for frame in _FRAME.findall(stacks, starts[chosen].end(), ends[chosen])]
    return [frame for frame in found if not frame.file.startswith("<")]
