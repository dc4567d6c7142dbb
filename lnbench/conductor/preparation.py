"""From what the command line asks for to a plan: the suite's text, the plug-ins' names, the machine."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lnbench.conductor.processes import call_worker
from lnbench.errors import PluginError, SuiteError, UsageError, nearest
from lnbench.implementations.registry import BUILT_IN
from lnbench.measure.environment import absent_devices, read_environment
from lnbench.measure.nvml import Nvml
from lnbench.plan import Known, Machine, Plan, make_plan, parse_only
from lnbench.record import Environment
from lnbench.suite import Suite, read_suite
from lnbench.worker.description import Described, Description

PLUGIN_TIMEOUT_S = 120.0
"""A plug-in file is imported within this time; importing torch on a slow disk takes half a minute."""

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


@dataclass(frozen=True)
class Prepared:
    """A request, worked out on this machine: all that is known before anything is measured."""

    suite: Suite
    suite_text: str
    plan: Plan
    environment: Environment
    plugins: tuple[Path, ...]
    plugin_digests: dict[str, str] = field(default_factory=dict)
    missing_nvml: str = ""


def prepare(request: Request) -> Prepared:
    """Read the suite, ask the plug-ins for their names, look at the machine, and make the plan.

    Raises SuiteError, PluginError or UsageError for what can't be done.
    """
    source, text = read_suite_text(request.suite)
    suite = read_suite(text, source=source)
    plugins = tuple(_checked_plugins(request.plugins))
    described = describe_plugins(plugins)
    nvml = Nvml()
    environment = read_environment(nvml)
    plan = make_plan(
        suite,
        known=known_implementations(described),
        machine=machine_of(environment, nvml),
        implementations=tuple(request.implementations) or None,
        devices=tuple(request.devices) or None,
        only=parse_only(",".join(request.only)) if request.only else None,
        processes=request.processes,
        precision=request.precision,
        budget_s=request.budget_s,
    )
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in plugins}
    return Prepared(suite, text, plan, environment, plugins, digests, nvml.missing)


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


def describe_plugins(paths: Sequence[Path]) -> tuple[Described, ...]:
    """What plug-in files register, found out in a process of its own; no file, no process.

    Raises PluginError with file and line where one can't be loaded.
    """
    if not paths:
        return ()
    answer, failure = call_worker(["--describe", *map(str, paths)], timeout_s=PLUGIN_TIMEOUT_S)
    if failure:
        names = ", ".join(map(str, paths))
        raise PluginError(f"{names}: loading it ended the process: {failure}")
    description = Description.model_validate_json(answer)
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
        if Path(f"{suite}.yaml").is_file():
            hint = f"to run the file write {suite}.yaml; {hint}"
        raise UsageError(f'there is no shipped suite "{suite}"', hint=hint)
    return f"{suite}.yaml", shipped[suite].read_text(encoding="utf-8")


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise SuiteError(f"{path}: is a folder, not a suite file")
        with path.open("rb") as file:
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


def _checked_plugins(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if not path.is_file():
            raise PluginError(f"{path}: there is no such file")
        if path.suffix != ".py":
            raise PluginError(f"{path}: a plug-in is a Python file (.py)")
        yield path
