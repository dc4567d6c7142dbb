"""The machine and its versions, found without loading a framework; nothing here names the host, a user or a folder."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from math import floor
from pathlib import Path

import psutil

from lnbench.measure.cgroup import ROOT, cgroup_files
from lnbench.measure.cuda_setup import allocator_settings, cuda_versions
from lnbench.measure.nvml import Nvml
from lnbench.measure.processor import processor_name, processor_signature
from lnbench.planned import CacheSizes, Environment

RECORDED_PACKAGES = ("torch", "numpy", "triton")
_SYSFS = Path("/sys/devices/system/cpu")
_TURBO = {"0": "on", "1": "off"}
_BOOST = {"1": "on", "0": "off"}


def read_environment(nvml: Nvml) -> Environment:
    """This machine, now."""
    gpus = nvml.gpus()
    return Environment(
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=processor_name(),
        cpu_signature=processor_signature(),
        physical_cores=usable_physical_cores(),
        logical_cores=usable_logical_cores(),
        caches=cache_sizes(),
        memory_b=psutil.virtual_memory().total,
        gpus=gpus,
        gpu_driver=nvml.driver(),
        libc=" ".join(platform.libc_ver()).strip(),
        python=platform.python_version(),
        versions=installed_versions(RECORDED_PACKAGES) | cuda_versions(),
        settings=read_settings() | ({"cuda_allocator": allocator_settings()} if gpus else {}),
    )


def read_settings(root: Path = Path("/")) -> dict[str, str]:
    """How the system is set, as far as it says: what may disturb measuring or explain another machine's numbers."""
    cpu, kernel = root / "sys/devices/system/cpu", root / "sys/kernel/mm/transparent_hugepage/enabled"
    found = {
        "governor": _line(cpu / "cpu0/cpufreq/scaling_governor"),
        "turbo": _TURBO.get(_line(cpu / "intel_pstate/no_turbo") or "", _BOOST.get(_line(cpu / "cpufreq/boost"), "")),
        "smt": _line(cpu / "smt/control"),
        "numa_nodes": str(len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or ""),
        "transparent_huge_pages": _chosen(_line(kernel)),
        "virtualized": "yes" if "hypervisor" in _cpu_flags(root) else "",
    }
    return {name: value for name, value in found.items() if value}


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed, from their metadata."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def usable_logical_cores() -> int:
    """The logical cores that this process may use, by its affinity and the quotas of its control groups; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota_cores() or cores))


def usable_physical_cores() -> int:
    """The physical cores among them: two hardware threads of one core count once."""
    logical = usable_logical_cores()
    if hasattr(os, "sched_getaffinity"):
        siblings = {_siblings(core) for core in os.sched_getaffinity(0)}
        return max(1, min(len(siblings), logical))
    return max(1, min(psutil.cpu_count(logical=False) or logical, logical))


def cache_sizes() -> CacheSizes:
    """The sizes of L2 (of one core) and of the last-level cache, from the system; None where it does not say."""
    sizes: dict[int, int] = {}
    for index in sorted((_SYSFS / "cpu0" / "cache").glob("index*")):
        try:
            kind = (index / "type").read_text(encoding="utf-8").strip()
            level = int((index / "level").read_text(encoding="utf-8"))
            size = _size_b((index / "size").read_text(encoding="utf-8").strip())
        except (OSError, ValueError):
            continue
        if kind != "Instruction":
            sizes[level] = size
    return CacheSizes(l2_b=sizes.get(2), last_level_b=sizes[max(sizes)] if sizes else None)


def absent_devices(environment: Environment, nvml: Nvml) -> dict[str, str]:
    """For "cpu", "cuda" and each "cuda:N" there could be: why it is absent; empty when it is there.

    Found through the driver's library and torch's metadata, so that a plan needs no torch; the worker has the last
    word.
    """
    torch_version = environment.versions.get("torch", "")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = len(environment.gpus)
    if "+cpu" in torch_version:
        reason = f"torch {torch_version} is built without CUDA"
    elif not count:
        reason = f"no NVIDIA GPU was found ({nvml.missing or 'the driver shows none'})"
    elif hidden is not None and (hidden.strip() or "-").startswith("-"):
        reason = "CUDA_VISIBLE_DEVICES hides all GPUs"
    else:
        reason = ""
    if hidden and not reason:
        count = min(count, len(hidden.split(",")))
    return {"cpu": "", "cuda": reason} | {f"cuda:{index}": reason for index in range(count)}


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _chosen(text: str) -> str:
    """The word in brackets, as in `always [madvise] never`."""
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else text


def _cpu_flags(root: Path) -> list[str]:
    lines = _line(root / "proc/cpuinfo").splitlines()
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def _siblings(core: int) -> str:
    """The hardware threads that share this one's core, as the system lists them, by its new or its old name."""
    topology = _SYSFS / f"cpu{core}" / "topology"
    return _line(topology / "core_cpus_list") or _line(topology / "thread_siblings_list") or str(core)


def _quota_cores(root: Path = ROOT) -> int | None:
    """Whole cores of the tightest CPU quota of the process's control groups and those above, at least 1; None without.

    Version 2 writes quota and period as one line, the quota `max` where there is none; version 1 as two files, the
    quota -1 where there is none.
    """
    lines = [_line(path) for path in cgroup_files("cpu", "cpu.max", root=root)]
    lines += [
        f"{_line(path)} {_line(path.with_name('cpu.cfs_period_us'))}"
        for path in cgroup_files("cpu", "cpu.cfs_quota_us", root=root)
    ]
    pairs = (line.split() for line in lines)
    shares = [
        int(pair[0]) / int(pair[1]) for pair in pairs if len(pair) == 2 and all(it.isdigit() and int(it) for it in pair)
    ]
    return max(1, floor(min(shares))) if shares else None


def _size_b(text: str) -> int:
    """Bytes of a size like 32768K."""
    scale = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:], 1)
    return int(text.rstrip("KMG")) * scale
