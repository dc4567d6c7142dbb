"""What implementations there are, where each comes from, what it needs, and whether that is here; on demand, tried."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from lnbench.conductor.calling import call_worker
from lnbench.conductor.describing import describe_sources
from lnbench.conductor.loaded import with_packages
from lnbench.errors import UsageError, nearest
from lnbench.examined import Listed, Rehearsal
from lnbench.implementations.needs import installed_version, is_installed
from lnbench.implementations.packages import installed_sources
from lnbench.implementations.registry import BUILT_IN, Row, availability
from lnbench.lineup import runs_only_on
from lnbench.measure.environment import absent_devices, read_environment
from lnbench.measure.nvml import Nvml
from lnbench.planned import PluginSource


def list_implementations(plugins: Sequence[Path], *, names: Sequence[str] = ()) -> tuple[Listed, ...]:
    """Every implementation: lnbench's own, those of plug-in files, which are run, and those of installed packages.

    Packages are not loaded. `names`: these alone. Raises PluginError for a plug-in file that can't be loaded, and
    UsageError for a name that nothing has.
    """
    nvml = Nvml()
    absent = absent_devices(read_environment(nvml), nvml)
    files = with_packages([PluginSource(path=str(path)) for path in plugins], names=())
    own = tuple(_built_in(row, absent_cuda=absent["cuda"]) for row in BUILT_IN.values())
    described = describe_sources(files).found
    given = tuple(Listed(it.name, it.function, it.summary, files[it.number], options=it.options) for it in described)
    found = (*own, *given, *_installed({listed.name: listed.origin for listed in (*own, *given)}))
    known = {listed.name for listed in found}
    for name in names:
        if name not in known:
            raise UsageError(f"--implementation: unknown implementation {name!a}", hint=nearest(name, known))
    return tuple(listed for listed in found if not names or listed.name in names)


def try_each(found: Sequence[Listed], *, timeout_s: float, say: Callable[[int, Listed], None]) -> Iterator[Listed]:
    """Try one after the other, each in a process of its own; what is missing something is not tried.

    `say` is told the number and the implementation that comes next.
    """
    for number, listed in enumerate(found):
        say(number, listed)
        yield listed if listed.missing else _tried(listed, timeout_s=timeout_s)


def _tried(listed: Listed, *, timeout_s: float) -> Listed:
    source = [] if listed.source is None else [listed.source.model_dump_json()]
    answer = call_worker(["--rehearse", listed.device, listed.name, *source], timeout_s=timeout_s)
    try:
        rehearsal = Rehearsal.model_validate_json(answer.text)
    except ValidationError:
        rehearsal = Rehearsal(
            status="fails", detail=answer.failure or "it wrote something else where its answer belongs"
        )
    if answer.failure:
        rehearsal = rehearsal.model_copy(update={"status": "fails", "detail": answer.failure})
    elif listed.source is not None:  # which stands in the next column
        detail = rehearsal.detail.removeprefix(f"{listed.source.title}: ")
        rehearsal = rehearsal.model_copy(update={"detail": detail})
    return replace(
        listed,
        function=listed.function or rehearsal.function,
        summary=listed.summary or rehearsal.summary,
        rehearsal=rehearsal,
    )


def _built_in(row: Row, *, absent_cuda: str) -> Listed:
    needs = tuple((need.name, installed_version(need) if is_installed(need) else "") for need in row.needs)
    missing = availability(row)
    if row.devices == ("cuda",) and absent_cuda and not missing:
        missing = f"{runs_only_on(row.devices)}; {absent_cuda}"
    device = row.devices[0] if row.devices else "cpu"
    return Listed(row.name, row.function, row.summary, needs=needs, missing=missing, device=device, options=row.options)


def _installed(taken: dict[str, str]) -> Iterator[Listed]:
    """The entry points of installed packages. `taken`: names that others have, with whose they are."""
    for name, claims in installed_sources().items():
        for source in claims:
            others = " and by ".join(claim.title for claim in claims if claim is not source)
            missing = f"the name is claimed by {others} too" if others else ""
            if name in taken:
                missing = f"the name is taken by {taken[name]}"
            yield Listed(name, "", "", source, missing=missing)
