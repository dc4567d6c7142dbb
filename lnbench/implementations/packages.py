"""Installed packages that bring implementations: named by their metadata alone, loaded when one is asked for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint, distribution, distributions
from pathlib import Path

from lnbench.errors import PluginError, in_a_line
from lnbench.implementations.contract import Registration, collect
from lnbench.planned import InstalledSource

GROUP = "lnbench.implementations"
"""The group of entry points: `my_norm = "my_package.norms:my_norm"`, the name being the implementation's."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What a suite or a command line can name; what is called otherwise can't be asked for."""

_registered: list[Registration] = []
"""What the modules of packages have registered in this process: each does so once, when it is first imported."""


def installed_sources() -> Mapping[str, tuple[InstalledSource, ...]]:
    """Every entry point of the group, by its name; more than one where several packages claim a name.

    Nothing is imported, and of most packages only one small file is read.
    """
    found: dict[str, tuple[InstalledSource, ...]] = {}
    entries = {entry for package in distributions() for entry in _entries(package)}
    for source in sorted(entries, key=lambda it: (it.name, it.distribution)):
        found[source.name] = (*found.get(source.name, ()), source)
    return found


def chosen_sources(names: Iterable[str]) -> tuple[InstalledSource, ...]:
    """The entry points among these names. Raises PluginError where several packages claim one of them."""
    installed = installed_sources()
    return tuple(_only_one(installed[name]) for name in sorted(names) if name in installed)


def load_installed(source: InstalledSource) -> Registration:
    """Import what an entry point names, and give what the builder was registered as.

    Raises PluginError when that fails, or is no builder of the entry point's name. This runs the package's code: it is
    called in a worker process only.
    """
    place = f"{source.title}: {source.name} = {source.value}"
    point = EntryPoint(source.name, source.value, GROUP)
    if not EntryPoint.pattern.match(source.value):
        raise PluginError(f'{place}: "{source.value}" is not module:attribute')
    try:
        builder = point.load()
    except Exception as error:
        raise PluginError(f"{place}: {in_a_line(error)}{_origin(error)}") from error
    _registered.extend(collect())
    own = [it for it in _registered if it.build is builder]
    if not own:
        hint = "an entry point names a builder with @lnbench.implementation(...) on it"
        raise PluginError(f"{place}: is not registered", hint=hint)
    for registration in own:
        if registration.name == source.name:
            return registration
    hint = "give the implementation the name of its entry point"
    raise PluginError(f'{place}: is registered as "{own[0].name}"', hint=hint)


def _only_one(claims: Sequence[InstalledSource]) -> InstalledSource:
    if len(claims) > 1:
        owners = " and by ".join(claim.title for claim in claims)
        raise PluginError(f'"{claims[0].name}" is claimed by {owners}', hint="uninstall all of them but one")
    return claims[0]


def _entries(package: Distribution) -> list[InstalledSource]:
    """A distribution's entry points of the group; none of one that Python would not import, since another hides it."""
    text = package.read_text("entry_points.txt")
    if not text or GROUP not in text:
        return []
    try:
        name, version = package.metadata["Name"], package.version
        first = distribution(name)
        if (first.version, first.read_text("entry_points.txt")) != (version, text):
            return []
        points = package.entry_points.select(group=GROUP)
        return [
            InstalledSource(name=it.name, value=it.value, distribution=name, version=version)
            for it in points
            if _NAME.fullmatch(it.name)
        ]
    # Metadata that no installer would have written may fail in any way; it must not hide all other packages.
    except Exception:
        return []


def _origin(error: Exception) -> str:
    """The innermost file and line that an error comes from, without its folder; "" for one from importing itself."""
    origin, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and not file.endswith(
            ("importlib/metadata/__init__.py", "importlib/__init__.py")
        ):
            origin = f" ({Path(file).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return "" if origin.startswith(f" ({Path(__file__).name}:") else origin
