"""From what the command line asks for to a plan: the suite's text, the plug-ins' names, the machine."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lnbench.conductor.describing import describe_sources
from lnbench.conductor.known import known_implementations, with_libraries
from lnbench.conductor.loaded import Loaded, digests, loaded, with_packages
from lnbench.conductor.revision import both_sides, files_of_both_sides, parse_against
from lnbench.conductor.thread_variables import asked_threads
from lnbench.errors import NothingMeasuredError, PluginError, SuiteError, UsageError, nearest
from lnbench.lineup import NOT_LOADED, Known, used_names
from lnbench.measure.environment import absent_devices, read_environment
from lnbench.measure.host_memory import available_b
from lnbench.measure.nvml import Nvml
from lnbench.plan import Machine, Plan, make_plan, parse_only
from lnbench.planned import BASE_SUFFIX, Environment, PluginSource
from lnbench.selection import Filter
from lnbench.store.regular import open_regular
from lnbench.suite import Suite, read_suite
from lnbench.worker.description import Described

_MOST_SUITE_BYTES = 1 << 20


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
    budget_total_s: float | None = None
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


def check_early(request: Request, against: str = "") -> None:
    """Check everything about a request that can be checked without running code from outside.

    Importing plug-in files or installed packages takes a core for seconds, and would disturb who measures now; so they
    are not loaded. Free memory is not asked for either: who measures now holds some.
    Raises as `prepare` and `prepare_sides` do, and NothingMeasuredError when no case can be measured here.
    """
    source, text = read_suite_text(request.suite)
    suite = read_suite(text, source=source)
    asked = parse_against(against) if against else None
    files = files_of_both_sides(asked, request.plugins) if asked else _files(request)
    digests(files)
    is_loading = bool(with_packages(files, () if asked else _named(request, suite)))
    if asked and not request.implementations:
        request = replace(request, implementations=(asked.name or asked.file,))
    unknown = {"function", "norm_mode", *(["implementation"] if asked else [])} if is_loading else set()
    nvml = Nvml()
    plan = _plan(
        suite,
        request,
        known=known_implementations(),
        machine=machine_of(read_environment(nvml), nvml),
        only={column: patterns for column, patterns in _only(request).items() if column not in unknown},
        is_complete=not files,
    )
    refuse_empty(plan, loadable=is_loading)


def refuse_empty(plan: Plan, *, loadable: bool = False) -> None:
    """Raise NothingMeasuredError for a plan without a case to measure; `loadable`: those not loaded yet may be."""
    if not plan.measurable and not (loadable and any(reason == NOT_LOADED for _, reason in plan.set_aside)):
        reasons = "; ".join(reason for (_, reason) in plan.set_aside) or "the filters leave no case"
        raise NothingMeasuredError(f"nothing to measure: {reasons}", hint="`lnbench list cases SUITE` shows every case")


def _files(request: Request) -> tuple[PluginSource, ...]:
    return tuple(PluginSource(path=str(path)) for path in request.plugins)


def _named(request: Request, suite: Suite) -> frozenset[str]:
    return used_names(suite, chosen=request.implementations)


def prepare(request: Request) -> Prepared:
    """Read the suite, ask the plug-ins for their names, look at the machine, and make the plan.

    Raises SuiteError, PluginError or UsageError for what can't be done.
    """
    return _prepare(request, _files(request))


@contextmanager
def prepare_sides(request: Request, against: str) -> Iterator[Prepared]:
    """The same with the old version of the plug-in beside the new one; the old one's files last as long as the context.

    Raises PluginError too where the two have no implementation in common.
    """
    asked = parse_against(against)
    with both_sides(asked, request.plugins) as sides:
        sources = (sides.base, *sides.heads)
        yield replace(_prepare(request, sources, only_name=asked.name), commit=sides.commit)


def _prepare(request: Request, files: tuple[PluginSource, ...], *, only_name: str = "") -> Prepared:
    source, text = read_suite_text(request.suite)
    suite = read_suite(text, source=source)
    has_sides = any(file.is_base for file in files)
    # Both versions of one file are held against each other, whatever is installed beside them.
    sources = with_packages(files, () if has_sides else _named(request, suite))
    registered = describe_sources(sources, timeout_s=request.timeout_s)
    known = known_implementations(sources, registered)
    names, gone = _common_names(registered.found, request.implementations, only_name) if has_sides else ((), ())
    nvml = Nvml()
    environment = read_environment(nvml)
    plan = _plan(
        suite,
        replace(request, implementations=()) if has_sides else request,
        known=known,
        machine=machine_of(environment, nvml, free_b=free_memory_b(nvml)),
        only=_only(request),
        against=names,
    )
    return Prepared(
        suite,
        text,
        plan,
        with_libraries(environment, plan.cases, sources),
        loaded(sources, registered),
        digests(files),
        nvml.missing,
        gone=gone,
    )


def _only(request: Request) -> Filter:
    return parse_only(",".join(request.only)) if request.only else {}


def _plan(
    suite: Suite,
    request: Request,
    *,
    known: Mapping[str, Known],
    machine: Machine,
    only: Filter,
    against: Sequence[str] = (),
    is_complete: bool = True,
) -> Plan:
    return make_plan(
        suite,
        known=known,
        machine=machine,
        implementations=tuple(request.implementations) or None,
        devices=tuple(request.devices) or None,
        only=only or None,
        processes=request.processes,
        precision=request.precision,
        budget_s=request.budget_s,
        budget_total_s=request.budget_total_s,
        least_processes=request.least_processes,
        against=against,
        margin=request.margin,
        is_complete=is_complete,
    )


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


def machine_of(environment: Environment, nvml: Nvml, *, free_b: Mapping[str, int] | None = None) -> Machine:
    """The machine as far as a plan needs it. `free_b`: memory that a worker can get, where that is to be looked at."""
    return Machine(
        threads=environment.physical_cores,
        logical_cores=environment.logical_cores,
        caches=environment.caches,
        memory_b=environment.memory_b,
        devices=absent_devices(environment, nvml),
        free_b=free_b or {},
        asked_threads=asked_threads(os.environ),
    )


CONTEXT_B = 500_000_000
"""What a worker's CUDA context and loaded kernels take of a GPU before it asks how much is free."""


def free_memory_b(nvml: Nvml) -> dict[str, int]:
    """The memory that a worker could get now, by kind of device.

    Of several GPUs the one with most stands for all: PyTorch may number them otherwise than the driver, and what fits
    on one must not be left out. The worker asks its own device again.
    """
    found = {"cpu": available_b()}
    on_gpus = nvml.free_b()
    return found | ({"cuda": max(max(on_gpus) - CONTEXT_B, 0)} if on_gpus else {})


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
