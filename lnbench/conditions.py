"""What has to match before two rows are compared, and what else differs between two runs, with both values."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple, Protocol

from lnbench.evidence import Evidence
from lnbench.gpu_setup import OTHER_SETUP, SPEED_SETUP
from lnbench.planned import Gpu
from lnbench.record import Header

FIRST_UNDISTURBED = 7
"""The first version of the journal that records which samples a busy machine disturbed."""


class Difference(NamedTuple):
    """One thing that differs, with what it is on either side."""

    name: str
    base: str
    head: str

    def __str__(self) -> str:
        return f"{self.name}: {self.base or 'none'} there, {self.head or 'none'} here"


class Placed(Protocol):
    """What of a row tells where it was measured; rows of results are such."""

    @property
    def case(self) -> int: ...
    @property
    def suite(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def device_name(self) -> str | None: ...
    @property
    def threads(self) -> int: ...
    @property
    def allocator(self) -> str: ...
    @property
    def torch_version(self) -> str | None: ...
    @property
    def reference(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where a row was measured."""

    evidence: Evidence
    row: Placed


def _machine(found: Circumstances) -> str:
    if found.row.device != "cpu":
        return found.row.device_name or ""
    environment = found.evidence.run.header.environment
    cores = f"{environment.physical_cores} core{'s' if environment.physical_cores != 1 else ''}"
    return f"{environment.cpu} ({environment.machine}), {cores}"


def _processor(found: Circumstances) -> str:
    return found.evidence.run.header.environment.cpu_signature if found.row.device == "cpu" else ""


def _of_gpu(found: Circumstances, *, read: Callable[[Gpu], str]) -> str:
    """A setting of the GPUs of the row's name; a slice's name begins with its card's."""
    if found.row.device == "cpu":
        return ""
    name = found.row.device_name or ""
    gpus = found.evidence.run.header.environment.gpus
    return _distinct(read(gpu) for gpu in gpus if name.startswith(gpu.name))


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(sorted({*values} - {""}))


def _of_torch(found: Circumstances, *, package: str) -> str:
    return "" if found.row.device == "cpu" else found.evidence.run.header.environment.versions.get(package, "")


def _gpu_allocator(found: Circumstances) -> str:
    return "" if found.row.device == "cpu" else found.evidence.run.header.environment.settings.get("cuda_allocator", "")


def _triton(found: Circumstances) -> str:
    return "" if found.row.device == "cpu" else found.evidence.run.header.environment.versions.get("triton", "")


def _libraries(found: Circumstances) -> str:
    versions = found.evidence.run.header.environment.versions
    names = found.evidence.case(found.row.case).libraries
    return ", ".join(f"{name} {versions.get(name, '')}".strip() for name in names)


def _threads(found: Circumstances) -> str:
    return str(found.row.threads) if found.row.device == "cpu" else ""


def _allocator(found: Circumstances) -> str:
    is_kept = all(noticed.notice.code != "heap-not-retained" for noticed in found.evidence.noticed)
    return found.row.allocator if is_kept or found.row.device != "cpu" else "system"


def _samples(found: Circumstances) -> str:
    """Which samples the figures rest on: of CPU rows the undisturbed ones, since version 7 of the journal."""
    if found.row.device != "cpu":
        return ""
    return "undisturbed" if found.evidence.run.header.schema_version >= FIRST_UNDISTURBED else "all"


def _suite(found: Circumstances) -> str:
    """The suite's name and what it says of the row: the same name with other options is another thing."""
    case = found.evidence.case(found.row.case)
    options = {**case.options, **({"groups": case.groups} if case.groups is not None else {})}
    told = ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
    return f"{found.row.suite}: {case.use}{f' ({told})' if told else ''}, {case.function}"


CONDITIONS: Mapping[str, Callable[[Circumstances], str]] = MappingProxyType(
    {
        "machine": _machine,
        "torch": lambda found: found.row.torch_version or "",
        "triton": _triton,
        "libraries": _libraries,
        "threads": _threads,
        "allocator": _allocator,
        "samples": _samples,
        "suite": _suite,
    }
)
"""What must match, by the name under which a difference can be allowed."""

DETAILS: Mapping[str, tuple[str, Callable[[Circumstances], str]]] = MappingProxyType(
    {
        "processor numbers": ("machine", _processor),
        **{name: ("machine", partial(_of_gpu, read=read)) for name, read in SPEED_SETUP.items()},
        "CUDA": ("torch", partial(_of_torch, package="cuda")),
        "cuDNN": ("torch", partial(_of_torch, package="cudnn")),
        "GPU memory": ("allocator", _gpu_allocator),
    }
)
"""More that must match, each under a condition of CONDITIONS, where both sides have it: journals before version 8 do
not, and no system gives all. "" stands for unknown."""


def obstacles(base: Circumstances, head: Circumstances, *, allowed: frozenset[str]) -> list[Difference]:
    """The conditions in which two rows differ, without those allowed; another reference is never allowed."""
    ours, theirs = conditions(head), conditions(base)
    found = [Difference(name, theirs[name], ours[name]) for name in ours if name not in allowed]
    found = [difference for difference in found if difference.base != difference.head]
    told = {*allowed, *(difference.name for difference in found)}
    more = (Difference(name, read(base), read(head)) for name, read in DETAILS.values() if name not in told)
    return [*found, *(it for it in more if it.base and it.head and it.base != it.head)]


def details(found: Circumstances, *, of: Container[str] = CONDITIONS) -> dict[str, str]:
    """What else must match where it is known, by its own name; "" where it is not. `of`: under these conditions."""
    return {name: read(found) for name, (condition, read) in DETAILS.items() if condition in of}


def conditions(found: Circumstances) -> dict[str, str]:
    """What must match before a row is compared, by its name: CONDITIONS, and the reference."""
    return {**{name: read(found) for name, read in CONDITIONS.items()}, "reference": found.row.reference}


def environment_differences(base: Header, head: Header) -> list[Difference]:
    """Everything that differs between the machines, versions and settings of two runs."""
    return setting_differences(dict(header_settings(base)), dict(header_settings(head)))


def setting_differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[Difference]:
    """The same from what `header_settings` gave for base and head."""
    names = [*theirs, *(name for name in ours if name not in theirs)]
    found = [Difference(name, theirs.get(name, ""), ours.get(name, "")) for name in names]
    return [difference for difference in found if difference.base != difference.head]


def header_settings(header: Header) -> Iterator[tuple[str, str]]:
    """Commit, machine, versions and settings of a run by their names, in the order in which people read them."""
    yield "commit", header.revision
    environment, sampling = header.environment, header.sampling
    yield "lnbench", header.lnbench_version
    yield "python", environment.python
    yield from environment.versions.items()
    yield "system", environment.system
    yield "processor", f"{environment.cpu} ({environment.machine})"
    yield "processor numbers", environment.cpu_signature
    yield "physical cores", str(environment.physical_cores)
    yield "logical cores", str(environment.logical_cores)
    yield "last-level cache (B)", str(environment.caches.last_level_b or "")
    yield "memory (GiB)", f"{environment.memory_b / 2**30:.0f}"
    yield "libc", environment.libc
    yield from environment.settings.items()
    yield "GPUs", ", ".join(gpu.name for gpu in environment.gpus)
    yield from ((name, _distinct(map(read, environment.gpus))) for name, read in {**SPEED_SETUP, **OTHER_SETUP}.items())
    yield "GPU driver", environment.gpu_driver or ""
    yield "suite", header.suite
    yield "suite text", sha256(header.suite_text.encode()).hexdigest()[:12]
    yield "processes", str(sampling.processes)
    yield "precision", f"{sampling.precision:g}"
    yield "budget (s)", f"{sampling.budget_s:g}"
    yield from ((f"plug-in {name}", digest[:12]) for name, digest in header.plugins.items())
