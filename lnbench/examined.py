"""What an examination of the machine finds out in processes of its own, before anything is judged."""

from typing import Literal

from lnbench.planned import Frozen


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
