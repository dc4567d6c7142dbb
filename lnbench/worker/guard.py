"""What the cases of a worker share beside its buffers, set back after each of them."""

import gc
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lnbench.implementations.torch_state import TORCH_SETTINGS, Setting

_STANDARD_STREAMS = range(3)


class Changed(NamedTuple):
    """What was found changed, in words: what was merely set back, and what makes the work of others another one."""

    harmless: tuple[str, ...] = ()
    harmful: tuple[str, ...] = ()


class Guard:
    """Remembers the state of this process, and sets it back. `is_beyond_repair`: something could not be set back."""

    def __init__(self) -> None:
        self.is_beyond_repair = False
        self._settings = (*TORCH_SETTINGS, *_PROCESS_SETTINGS)
        self._kept: dict[str, Any] = {setting.name: setting.read() for setting in self._settings}

    def set_back(self) -> Changed:
        """Set back what has changed."""
        harmless: list[str] = []
        harmful: list[str] = []
        for setting in self._settings:
            wanted, found = self._kept[setting.name], setting.read()
            if found != wanted:
                with suppress(OSError):  # this user may not set it back
                    setting.write(wanted)
                self.is_beyond_repair |= setting.read() != wanted
                (harmful if setting.changes_speed else harmless).append(f"the {setting.name} to {found}")
        closed = [descriptor for descriptor in _STANDARD_STREAMS if not _is_open(descriptor)]
        if closed:
            _reopen(closed)
            harmless.append(f"standard streams ({', '.join(map(str, closed))}) to closed")
        return Changed(tuple(harmless), tuple(harmful))


def _affinity() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def _set_affinity(cores: tuple[int, ...]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


_LIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}


class _Limits(dict[str, tuple[int, int]]):
    """Soft and hard limit by name; told by those that differ from what is usual would be longer than a message."""

    def __str__(self) -> str:
        return "other ones"


def _limits() -> _Limits:
    return _Limits({name: resource.getrlimit(number) for name, number in _LIMITS.items()})


def _set_limits(limits: _Limits) -> None:
    for name, limit in limits.items():
        with suppress(ValueError):  # a hard limit can't be raised again by everybody
            resource.setrlimit(_LIMITS[name], limit)


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _set_priority(niceness: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, niceness)


def _set_collector(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "one that was removed"


def _set_folder(folder: str) -> None:
    if Path(folder).is_dir():
        os.chdir(folder)


_PROCESS_SETTINGS = (
    Setting("cores that it runs on", _affinity, _set_affinity, changes_speed=True),
    Setting("resource limits", _limits, _set_limits, changes_speed=True),
    Setting("priority", _priority, _set_priority, changes_speed=True),
    Setting("garbage collector", gc.isenabled, _set_collector),
    Setting("current folder", _folder, _set_folder),
)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _reopen(descriptors: list[int]) -> None:
    """Lead these to nowhere, before a file that is opened next takes their number and gets what is printed."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        if descriptor != nowhere:
            os.dup2(nowhere, descriptor)
    if nowhere not in descriptors:
        os.close(nowhere)
