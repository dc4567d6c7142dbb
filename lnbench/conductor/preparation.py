"""From what the command line asks for to a plan: the suite's text, the plug-ins' names, the machine."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from lnbench.conductor.calling import call_worker
from lnbench.conductor.loaded import Loaded
from lnbench.conductor.revision import both_sides, parse_against
from lnbench.errors import PluginError, SuiteError, UsageError, nearest
from lnbench.implementations.registry import BUILT_IN
from lnbench.measure.environment import absent_devices, read_environment
from lnbench.measure.nvml import Nvml
from lnbench.plan import Known, Machine, Plan, make_plan, parse_only
from lnbench.planned import BASE_SUFFIX, Environment, PluginSource
from lnbench.store.regular import open_regular
from lnbench.suite import Suite, read_suite
from lnbench.worker.description import Described, Description

PLUGIN_TIMEOUT_S = 120.0
"""A plug-in file is imported within this time; importing torch on a slow disk takes half a minute."""

LEAST_IMPORT_S = 30.0
"""However short the time limit of a case is, for the same reason."""

_MOST_SUITE_BYTES = 1 << 20

_MOST_PLUGIN_BYTES = 1 << 24
"""Python needs some hundred times a source file's size to compile it: 16 MiB of code is a mistake or an attack."""


@dataclass(frozen=True)
class Request:
    """What to measure, as the command line says it; None and () leave things to the suite."""

    suite: str
    only: Sequence[str] = ()
    implementations: Sequence[str] = ()
    devices: Sequence[str] = ()
    plugins: Sequence[Path] = ()
    processes: int | None = None
    precision: float | None = None
    budget_s: float | None = None
    least_processes: int = 1
    margin: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Prepared:
    """A request, worked out on this machine: all that is known before anything is measured.

    `commit`: that of the old version, where git told it. `gone`: what the old version has and the new one has not.
    """

    suite: Suite
    suite_text: str
    plan: Plan
    environment: Environment
    plugins: Loaded = field(default_factory=Loaded)
    plugin_digests: dict[str, str] = field(default_factory=dict)
    missing_nvml: str = ""
    commit: str = ""
    gone: tuple[str, ...] = ()


def check_suite(request: Request) -> Suite:
    """Read the suite alone, for what can be told of it at once. Raises SuiteError or UsageError."""
    source, text = read_suite_text(request.suite)
    return read_suite(text, source=source)


def prepare(request: Request) -> Prepared:
    """Read the suite, ask the plug-ins for their names, look at the machine, and make the plan.

    Raises SuiteError, PluginError or UsageError for what can't be done.
    """
    return _prepare(request, tuple(PluginSource(path=str(path)) for path in request.plugins))


@contextmanager
def prepare_sides(request: Request, against: str) -> Iterator[Prepared]:
    """The same with the old version of the plug-in beside the new one; the old one's files last as long as the context.

    Raises PluginError too where the two have no implementation in common.
    """
    asked = parse_against(against)
    with both_sides(asked, request.plugins) as sides:
        sources = (sides.base, *sides.heads)
        yield replace(_prepare(request, sources, only_name=asked.name), commit=sides.commit)


def _prepare(request: Request, sources: tuple[PluginSource, ...], *, only_name: str = "") -> Prepared:
    source, text = read_suite_text(request.suite)
    suite = read_suite(text, source=source)
    described = describe_plugins(sources, timeout_s=request.timeout_s)
    known = known_implementations(described)
    has_sides = any(source.is_base for source in sources)
    names, gone = _common_names(described, request.implementations, only_name) if has_sides else ((), ())
    nvml = Nvml()
    environment = read_environment(nvml)
    plan = make_plan(
        suite,
        known=known,
        machine=machine_of(environment, nvml),
        implementations=None if has_sides else tuple(request.implementations) or None,
        devices=tuple(request.devices) or None,
        only=parse_only(",".join(request.only)) if request.only else None,
        processes=request.processes,
        precision=request.precision,
        budget_s=request.budget_s,
        least_processes=request.least_processes,
        against=names,
        margin=request.margin,
    )
    return Prepared(
        suite, text, plan, environment, loaded(sources, described), digests(sources), nvml.missing, gone=gone
    )


def loaded(sources: tuple[PluginSource, ...], described: Iterable[Described]) -> Loaded:
    """Plug-in files, as they are now, and which of them registers what."""
    found = digests(sources)
    as_they_are = (source.model_copy(update={"digest": found[_shown_name(source)]}) for source in sources)
    return Loaded(tuple(as_they_are), {entry.name: entry.number for entry in described})


def _common_names(
    described: Sequence[Described], chosen: Sequence[str], only_name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The implementations that both sides have, in the old one's order, and those that the new side has lost.

    `chosen` or `only_name`: these alone.
    """
    old = {entry.name.removesuffix(BASE_SUFFIX): entry for entry in described if entry.name.endswith(BASE_SUFFIX)}
    new = {entry.name: entry for entry in described if not entry.name.endswith(BASE_SUFFIX)}
    wanted = [only_name] if only_name else list(chosen)
    for name in wanted:
        if name not in old:
            raise PluginError(f'--against: the old version registers no "{name}"', hint=nearest(name, old))
    names = [name for name in old if name in new and (not wanted or name in wanted)]
    if not names:
        raise PluginError(
            f"--against: the two versions have no implementation in common: {', '.join(old)} there, "
            f"{', '.join(new) or 'nothing'} here"
        )
    for name in names:
        if old[name].function != new[name].function:
            raise PluginError(
                f'--against: "{name}" computes {old[name].function} there and {new[name].function} here',
                hint="two functions can't be held against each other",
            )
    return tuple(names), tuple(name for name in old if name not in new and (not wanted or name in wanted))


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


def machine_of(environment: Environment, nvml: Nvml) -> Machine:
    """The machine as far as a plan needs it."""
    return Machine(
        threads=environment.physical_cores,
        logical_cores=environment.logical_cores,
        caches=environment.caches,
        memory_b=environment.memory_b,
        devices=absent_devices(environment, nvml),
    )


def known_implementations(described: Iterable[Described] = ()) -> dict[str, Known]:
    """Every implementation that a suite may name."""
    known = {row.name: Known(row.function, compiles=row.compiles) for row in BUILT_IN.values()}
    return known | {entry.name: Known(entry.function, entry.options) for entry in described}


def describe_plugins(sources: Sequence[PluginSource], *, timeout_s: float | None = None) -> tuple[Described, ...]:
    """What plug-in files register, found out in a process of its own; no file, no process.

    Raises PluginError with file and line where one can't be loaded.
    """
    if not sources:
        return ()
    for source in sources:
        _check_plugin(Path(source.path))
    limit_s = PLUGIN_TIMEOUT_S if timeout_s is None else max(timeout_s, LEAST_IMPORT_S)
    answer, failure = call_worker(["--describe", *(source.model_dump_json() for source in sources)], timeout_s=limit_s)
    if failure:
        names = ", ".join(source.path for source in sources)
        raise PluginError(f"{names}: loading it failed: {failure}")
    try:
        description = Description.model_validate_json(answer)
    except ValidationError:
        names = ", ".join(source.path for source in sources)
        raise PluginError(f"{names}: loading it wrote something else where its names were to stand") from None
    if description.error:
        raise PluginError(description.error, hint=description.hint)
    return description.found


def shipped_suites_folder() -> Path:
    """Where the shipped suites lie: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    packed = package / "shipped_suites"
    return packed if packed.is_dir() else package.parent / "suites"


def shipped_suites() -> dict[str, Path]:
    """The shipped suites by name."""
    return {path.stem: path for path in sorted(shipped_suites_folder().glob("*.yaml"))}


def read_suite_text(suite: str) -> tuple[str, str]:
    """The source to name in messages and the text of a suite: a path when it has a / or ends in .yaml or .yml."""
    if os.sep in suite or "/" in suite or suite.endswith((".yaml", ".yml")):
        return suite, _read_text(Path(suite))
    shipped = shipped_suites()
    if suite not in shipped:
        hint = nearest(suite, shipped)
        if os.path.isfile(f"{suite}.yaml"):
            hint = f"to run the file write {suite}.yaml; {hint}"
        raise UsageError(f'there is no shipped suite "{suite}"', hint=hint)
    return f"{suite}.yaml", shipped[suite].read_text(encoding="utf-8")


def _read_text(path: Path) -> str:
    try:
        if os.path.isdir(path):
            raise SuiteError(f"{path}: is a folder, not a suite file")
        with open_regular(path) as file:
            data = file.read(_MOST_SUITE_BYTES + 1)
    except FileNotFoundError:
        near = nearest(path.name, (other.name for other in path.parent.glob("*.y*ml"))) if path.parent.is_dir() else ""
        raise SuiteError(f"{path}: there is no such file", hint=near if "did you mean" in near else "") from None
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror or error}") from None
    if len(data) > _MOST_SUITE_BYTES:
        raise SuiteError(f"{path}: a suite file has at most 1 MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SuiteError(f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None


def _check_plugin(path: Path) -> None:
    if not os.path.exists(path):  # pathlib's own raises for names that are too long
        raise PluginError(f"{path}: there is no such file")
    if path.suffix != ".py":
        raise PluginError(f"{path}: a plug-in is a Python file (.py)")
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise PluginError(f"{path}: can't be read: {error.strerror}") from None
    if size > _MOST_PLUGIN_BYTES:
        raise PluginError(f"{path}: a plug-in file has at most {_MOST_PLUGIN_BYTES >> 20} MiB")
