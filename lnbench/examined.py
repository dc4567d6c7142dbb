"""What processes of their own find out about the machine and what is installed, before anything is judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, assert_never

from lnbench.planned import Frozen, InstalledSource, PluginSource, Source


class Bandwidth(Frozen):
    """How fast a plain copy moves the bytes of a working set, half of them read and half written, over and over."""

    working_set_b: int
    bytes_per_s: float


class Survey(Frozen):
    """What one process measured of the machine. `timer_step_s`: the clock's smallest step; `stamp_s`: what reading it
    twice takes; `fault_s`: one page fault; `launch_s`: a copy of one element.
    """

    device: str = "cpu"
    threads: int
    bandwidths: tuple[Bandwidth, ...]
    timer_step_s: float
    stamp_s: float
    fault_s: float | None
    launch_s: float


class Trial(Frozen):
    """Whether something works here, really tried. `detail`: its version, or why not."""

    name: str
    status: Literal["works", "fails", "absent"]
    detail: str


class Rehearsal(Frozen):
    """Whether an implementation can be built and called here, really tried. `detail`: why not; "" when it works.

    `function` and `summary`: what it says of itself, where it could be loaded at all.
    """

    status: Literal["works", "fails", "absent"]
    detail: str = ""
    function: str = ""
    summary: str = ""


@dataclass(frozen=True)
class Listed:
    """An implementation in the list. `function` and `summary` are "" where only loading its package would tell.

    `needs`: its libraries, with the version of each that is here. `missing`: why it can't be used here, "" when nothing
    is known to be in the way. `options`: what a suite may set, with the defaults. `rehearsal`: what came of trying it,
    None when it was not tried. `source`: what brings it; None for lnbench itself. `device`: the kind on which it would
    be tried.
    """

    name: str
    function: str
    summary: str
    source: Source | None = None
    needs: tuple[tuple[str, str], ...] = ()
    missing: str = ""
    device: str = "cpu"
    rehearsal: Rehearsal | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Where it comes from: lnbench, a plug-in's file, or an installed package with its version."""
        match self.source:
            case None:
                return "lnbench"
            case PluginSource(path=path):
                return PurePath(path).name
            case InstalledSource():
                return self.source.title
            case _:
                assert_never(self.source)
