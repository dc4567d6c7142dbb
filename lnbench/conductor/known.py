"""Every implementation that a suite may name, with what a plan must know of it; and the versions of what it needs."""

from collections.abc import Iterable, Sequence

from lnbench.conductor.describing import Registered
from lnbench.implementations.needs import installed_version
from lnbench.implementations.packages import installed_sources
from lnbench.implementations.registry import BUILT_IN, Row, availability
from lnbench.lineup import NOT_LOADED, Known
from lnbench.planned import Environment, InstalledSource, PlannedCase, Source, Status


def known_implementations(sources: Sequence[Source] = (), registered: Registered | None = None) -> dict[str, Known]:
    """Every implementation that a suite may name, and why some can't be built here.

    Of installed packages that are not among the sources only the names are known: for a hint, where one is mistyped.
    """
    registered = registered or Registered()
    known = {name: Known("", obstacle=(Status.SKIPPED, NOT_LOADED)) for name in installed_sources()}
    known |= {row.name: _known(row) for row in BUILT_IN.values()}
    for entry in registered.found:
        source = sources[entry.number]
        libraries = (source.distribution,) if isinstance(source, InstalledSource) else ()
        known[entry.name] = Known(entry.function, entry.options, libraries=libraries, norm_axes=entry.norm_axes)
    for number, obstacle in registered.unloadable.items():
        source = sources[number]
        if isinstance(source, InstalledSource):
            known[source.name] = Known("", obstacle=obstacle)
    return known


def _known(row: Row) -> Known:
    missing = availability(row)
    return Known(
        row.function,
        row.options,
        choices=row.choices,
        compiles=row.compiles,
        obstacle=(Status.SKIPPED, missing) if missing else None,
        devices=row.devices,
        libraries=tuple(need.name for need in row.needs),
        norm_axes=row.norm_axes,
    )


def with_libraries(environment: Environment, cases: Iterable[PlannedCase], sources: Iterable[Source]) -> Environment:
    """The environment with the versions of the libraries and packages that these cases are measured with."""
    used = {case.use for case in cases if case.status is None}
    needs = (need for name in used & BUILT_IN.keys() for need in BUILT_IN[name].needs)
    found = {need.name: installed_version(need) for need in needs}
    found |= {it.distribution: it.version for it in sources if isinstance(it, InstalledSource) and it.name in used}
    told = {name: version for name, version in sorted(found.items()) if version}
    return environment.model_copy(update={"versions": {**environment.versions, **told}})
