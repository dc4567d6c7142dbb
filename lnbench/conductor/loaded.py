"""What brings implementations to a run from outside: plug-in files, and the packages that its suite names."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lnbench.conductor.describing import Registered
from lnbench.errors import PluginError
from lnbench.implementations.packages import chosen_sources
from lnbench.implementations.registry import BUILT_IN
from lnbench.planned import BASE_SUFFIX, InstalledSource, PluginSource, Source
from lnbench.store.regular import open_regular

_MOST_PLUGIN_BYTES = 1 << 24
"""Python needs some hundred times a source file's size to compile it: 16 MiB of code is a mistake or an attack."""


@dataclass(frozen=True)
class Loaded:
    """Sources that can be loaded, and for each implementation the number of the one that registers it."""

    sources: tuple[Source, ...] = ()
    owners: Mapping[str, int] = field(default_factory=dict)


def with_packages(files: Iterable[PluginSource], names: Iterable[str]) -> tuple[Source, ...]:
    """Plug-in files, and the installed packages that bring some of these names; what lnbench itself has is its own.

    Raises PluginError for a file that is none, and where several packages claim one of the names.
    """
    files = tuple(files)
    for file in files:
        _check_plugin(Path(file.path))
    return (*files, *chosen_sources(name for name in names if name not in BUILT_IN))


def loaded(sources: Sequence[Source], registered: Registered) -> Loaded:
    """The sources that can be loaded, files as they are now, and which of them registers what."""
    usable = [number for number in range(len(sources)) if number not in registered.unloadable]
    owners = {entry.name: usable.index(entry.number) for entry in registered.found}
    return Loaded(tuple(_as_it_is(sources[number]) for number in usable), owners)


def _as_it_is(source: Source) -> Source:
    """A file with what stands in it now, which must still stand there when it is run; a package as it is."""
    if isinstance(source, InstalledSource):
        return source
    return source.model_copy(update={"digest": digests([source])[_shown_name(source)]})


def digests(sources: Iterable[PluginSource]) -> dict[str, str]:
    """The SHA-256 of each plug-in file by the name under which a journal keeps it.

    Raises PluginError for what is no file, and for two of one name, which a journal could not tell apart.
    """
    found: dict[str, str] = {}
    for source in sources:
        _check_plugin(Path(source.path))
        name = _shown_name(source)
        if name in found:
            hint = "a run knows its plug-ins by their names: rename one"
            raise PluginError(f"{source.path}: there is another plug-in called {name}", hint=hint)
        found[name] = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
    return found


def _shown_name(source: PluginSource) -> str:
    """A file's name alone, with a suffix for the old version's."""
    return Path(source.path).name + (BASE_SUFFIX if source.is_base else "")


def require_python_name(path: Path) -> None:
    """Raise PluginError for a path that can't be a plug-in's by its name."""
    if path.suffix != ".py":
        raise PluginError(f"{path}: a plug-in is a Python file (.py)")


def _check_plugin(path: Path) -> None:
    if not os.path.exists(path):  # pathlib's own raises for names that are too long
        raise PluginError(f"{path}: there is no such file")
    require_python_name(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise PluginError(f"{path}: can't be read: {error.strerror}") from None
    if size > _MOST_PLUGIN_BYTES:
        raise PluginError(f"{path}: a plug-in file has at most {_MOST_PLUGIN_BYTES >> 20} MiB")
