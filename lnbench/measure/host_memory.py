"""The host's memory: how much of it this process may still get, and how often the kernel killed for want of it."""

import resource
from pathlib import Path

import psutil

from lnbench.measure.cgroup import ROOT, cgroup_files

_UNLIMITED_B = 1 << 60
"""What version 1 of control groups writes in place of no limit, or more."""


def available_b(*, root: Path = ROOT) -> int:
    """Bytes that this process can get without swapping: the least that system, control groups and `ulimit -v` leave."""
    found = [psutil.virtual_memory().available, *_group_headrooms(root)]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit - psutil.Process().memory_info().vms)
    return max(min(found), 0)


def kernel_kills(*, root: Path = ROOT) -> int:
    """How many processes the kernel has killed for want of memory, in this control group or on the whole machine."""
    return sum(
        [
            *(_field(path, "oom_kill") for path in cgroup_files("memory", "memory.events", root=root)),
            *(_field(path, "oom_kill") for path in cgroup_files("memory", "memory.oom_control", root=root)),
            _field(root / "proc/vmstat", "oom_kill"),
        ]
    )


def offer_as_victim(path: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Ask the kernel to kill this process before others when memory runs out: a worker, not who keeps its results."""
    try:
        path.write_text("500", encoding="ascii")
    except OSError:
        return


def _group_headrooms(root: Path) -> list[int]:
    """What each control group around this process still allows; file caches of the group can be taken back."""
    found = []
    for limit, usage, stat, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"),
    ):
        for path in cgroup_files("memory", limit, root=root):
            most, used = _number(path), _number(path.with_name(usage))
            if most is not None and used is not None and most < _UNLIMITED_B:
                found.append(most - used + _field(path.with_name(stat), cache))
    return found


def _field(path: Path, name: str) -> int:
    """The number behind a name in a file of such lines; 0 where it does not say."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next((int(value) for key, _, value in (line.partition(" ") for line in lines) if key == name), 0)
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # version 2 writes "max" where there is no limit
        return None
