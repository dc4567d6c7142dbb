"""What a report says in words about the machine and the measuring, as plain text for every format to escape."""

from collections.abc import Iterator

from lnbench.gpu_setup import setup_in_words
from lnbench.record import Header
from lnbench.units import format_bytes, format_percent
from lnbench.view import RunView


def machine_facts(header: Header) -> Iterator[tuple[str, str]]:
    """What the run was measured on: a name and a value each."""
    environment = header.environment
    caches = environment.caches
    yield "system", f"{environment.system} ({environment.machine}) {environment.libc}".strip()
    yield "processor", environment.cpu
    yield "cores", f"{environment.physical_cores} physical, {environment.logical_cores} logical"
    for name, size_b in (("L2 cache", caches.l2_b), ("last-level cache", caches.last_level_b)):
        if size_b is not None:
            yield name, format_bytes(size_b)
    yield "memory", format_bytes(environment.memory_b)
    if environment.settings:
        yield "settings", ", ".join(f"{name} {value}" for name, value in environment.settings.items())
    for gpu in environment.gpus:
        memory = [format_bytes(gpu.memory_b)] if gpu.memory_b is not None else []
        yield f"GPU {gpu.index}", ", ".join([gpu.name, *memory, *setup_in_words(gpu)])
    if environment.gpu_driver:
        yield "GPU driver", environment.gpu_driver
    versions = {"python": environment.python, **environment.versions, "lnbench": header.lnbench_version}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def measuring_facts(view: RunView) -> Iterator[str]:
    """How the run was measured, and what was noticed about it as a whole: a line each."""
    header, sampling = view.header, view.header.sampling
    yield f"run {header.run_id}, {header.created}, seed {header.seed}"
    if header.commit:
        yield f"commit {header.commit}{', and files that differ from it' if header.dirty else ''}"
    processes = "one process" if sampling.processes == 1 else f"{sampling.processes} processes"
    yield f"{processes} asked for, with {sampling.budget_s:g} s of timed rounds per workload and process"
    met = sum(event.stopped_by == "precision" for event in view.finished)
    yield (
        f"precision asked for: every speedup within ±{format_percent(sampling.precision)} inside a process; "
        f"met {met} of {len(view.finished)} times that a process finished a workload"
    )
    yield "all cases of a workload took turns in every round, in shuffled order, on the same inputs"
    if header.options:
        yield "options: " + ", ".join(f"{name}={value}" for name, value in header.options.items())
    yield from (f"note: {notice.text}" for notice in view.notices)
