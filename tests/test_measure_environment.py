"""What the machine tells of itself, from files laid out as Linux lays them out; and the C heap, which is real."""

import os
import platform
from types import SimpleNamespace

import pytest
from command import run_python

from lnbench.measure import environment
from lnbench.measure.environment import (
    absent_devices,
    cache_sizes,
    installed_versions,
    read_environment,
    usable_logical_cores,
    usable_physical_cores,
)
from lnbench.measure.heap import can_retain_heap, page_faults
from lnbench.measure.processor import processor_name
from lnbench.planned import CacheSizes, Environment, Gpu

KIB, MIB = 1 << 10, 1 << 20
NO_NVML = SimpleNamespace(missing="NVML: Driver Not Loaded", gpus=lambda: (), driver=lambda: None)
NVML = SimpleNamespace(missing="", gpus=lambda: (), driver=lambda: "570.86.15")
FAULTS = """
from lnbench.measure.heap import page_faults, retain_heap
{retain}
for _ in range(3):
    block = bytearray(b"x") * {size}
    del block
before = page_faults()
for _ in range(20):
    block = bytearray(b"x") * {size}
    del block
print(page_faults() - before)
"""


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """A machine whose files a test writes: `write(path, text)` below sysfs; `allow(cores)`, `quota(text)`.

    Control groups lie below the same folder, as `sys/fs/cgroup` and `proc/self/cgroup`.
    """
    monkeypatch.setattr(environment, "_SYSFS", tmp_path)
    monkeypatch.setattr(environment._quota_cores, "__defaults__", (tmp_path,))

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{text}\n")

    def allow(*cores):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores), raising=False)

    return SimpleNamespace(write=write, allow=allow, quota=lambda text: write("sys/fs/cgroup/cpu.max", text))


def cache(sysfs, index, kind, level, size):
    for name, text in (("type", kind), ("level", level), ("size", size)):
        sysfs.write(f"cpu0/cache/index{index}/{name}", text)


def machine(*, torch="2.13.0", gpus=0):
    return Environment(
        system="Linux",
        machine="x86_64",
        cpu="a cpu",
        physical_cores=2,
        logical_cores=2,
        caches=CacheSizes(),
        memory_b=1,
        gpus=tuple(Gpu(index=index, name="a gpu") for index in range(gpus)),
        versions={"torch": torch},
    )


def test_the_last_level_is_the_highest_data_cache_and_l2_that_of_one_core(sysfs):
    cache(sysfs, 0, "Data", 1, "32K")
    cache(sysfs, 1, "Instruction", 1, "64K")
    cache(sysfs, 2, "Unified", 2, "512K")
    cache(sysfs, 3, "Unified", 3, "32M")

    assert cache_sizes() == CacheSizes(l2_b=512 * KIB, last_level_b=32 * MIB)


def test_without_a_third_level_the_second_is_the_last(sysfs):
    cache(sysfs, 0, "Data", 1, "32K")
    cache(sysfs, 1, "Unified", 2, "2048K")

    assert cache_sizes() == CacheSizes(l2_b=2 * MIB, last_level_b=2 * MIB)


def test_caches_that_the_system_does_not_tell_are_none(sysfs):
    sysfs.write("cpu0/cache/index0/type", "Data")

    assert cache_sizes() == CacheSizes(l2_b=None, last_level_b=None)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 4), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("800000 100000", 4), ("", 4)],
)
def test_usable_cores_are_those_allowed_and_no_more_than_the_quota(sysfs, quota, cores):
    sysfs.allow(0, 1, 2, 3)
    sysfs.quota(quota)

    assert usable_logical_cores() == cores


def test_two_hardware_threads_of_a_core_count_once(sysfs):
    sysfs.allow(0, 1, 2, 3)
    for core, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        sysfs.write(f"cpu{core}/topology/thread_siblings_list", siblings)

    assert (usable_physical_cores(), usable_logical_cores()) == (2, 4)


def test_the_siblings_of_a_core_are_read_by_their_new_name_too(sysfs):
    sysfs.allow(0, 1, 2, 3)
    for core, siblings in enumerate(("0-1", "0-1", "2-3", "2-3")):
        sysfs.write(f"cpu{core}/topology/core_cpus_list", siblings)

    assert (usable_physical_cores(), usable_logical_cores()) == (2, 4)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        pytest.param(
            "0::/jobs/mine",
            {"jobs/cpu.max": "300000 100000", "jobs/mine/cpu.max": "max 100000"},
            3,
            id="version 2, above the own group",
        ),
        pytest.param(
            "0::/jobs/mine", {"jobs/cpu.max": "300000 100000", "jobs/mine/cpu.max": "50000 25000"}, 2, id="the tightest"
        ),
        pytest.param(
            "4:cpu,cpuacct:/docker/it",
            {
                "cpu,cpuacct/docker/it/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/docker/it/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2,
            id="version 1",
        ),
        pytest.param(
            "4:cpu:/docker/it",
            {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"},
            1,
            id="version 1 in a container, which sees its own group as the root",
        ),
        pytest.param(
            "0::/mine",
            {"mine/cpu.max": "3000000000 1000000", "cpu/cpu.cfs_quota_us": "0", "cpu/cpu.cfs_period_us": "0"},
            4,
            id="more than there is, and nonsense",
        ),
    ],
)
def test_the_tightest_quota_of_all_groups_and_versions_holds(sysfs, groups, files, cores):
    sysfs.allow(0, 1, 2, 3)
    sysfs.write("proc/self/cgroup", groups)
    for path, text in files.items():
        sysfs.write(f"sys/fs/cgroup/{path}", text)

    assert usable_logical_cores() == cores


def test_a_quota_below_the_physical_cores_binds_them_too(sysfs):
    sysfs.allow(0, 1, 2, 3)
    sysfs.quota("100000 100000")

    assert (usable_physical_cores(), usable_logical_cores()) == (1, 1)


def test_cores_without_a_topology_count_each(sysfs):
    sysfs.allow(0, 5)

    assert usable_physical_cores() == 2


@pytest.mark.parametrize(
    ("described", "hidden", "reason"),
    [
        (machine(torch="2.13.0+cpu", gpus=1), None, "torch 2.13.0+cpu is built without CUDA"),
        (machine(gpus=0), None, "no NVIDIA GPU was found (NVML: Driver Not Loaded)"),
        (machine(gpus=2), "", "CUDA_VISIBLE_DEVICES hides all GPUs"),
        (machine(gpus=2), "-1", "CUDA_VISIBLE_DEVICES hides all GPUs"),
    ],
)
def test_cuda_is_absent_for_a_reason(monkeypatch, described, hidden, reason):
    set_or_delete(monkeypatch, hidden)

    absent = absent_devices(described, NVML if described.gpus else NO_NVML)

    assert absent["cpu"] == ""
    assert absent["cuda"] == reason
    assert {why for device, why in absent.items() if device.startswith("cuda:")} <= {reason}


@pytest.mark.parametrize(
    ("hidden", "devices"),
    [
        (None, ["cuda", "cuda:0", "cuda:1"]),
        ("1", ["cuda", "cuda:0"]),
        ("1,0", ["cuda", "cuda:0", "cuda:1"]),
        ("GPU-4f1c-aa", ["cuda", "cuda:0"]),
        ("MIG-7d2e-bb,GPU-4f1c-aa", ["cuda", "cuda:0", "cuda:1"]),
    ],
)
def test_the_gpus_that_are_visible_can_be_used(monkeypatch, hidden, devices):
    set_or_delete(monkeypatch, hidden)

    assert absent_devices(machine(gpus=2), NVML) == dict.fromkeys(["cpu", *devices], "")


def set_or_delete(monkeypatch, hidden):
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)


def test_versions_are_those_of_installed_packages_only():
    found = installed_versions(["torch", "a-package-that-is-nowhere"])

    assert list(found) == ["torch"]


def test_this_machine_is_described():
    found = read_environment(NO_NVML)

    assert found.physical_cores >= 1
    assert found.logical_cores >= found.physical_cores
    assert found.memory_b > 0
    assert found.cpu == processor_name() != ""
    assert found.python == platform.python_version()
    assert found.gpus == ()


def test_new_memory_costs_page_faults_that_are_counted():
    before = page_faults()

    block = bytearray(64 * MIB)

    assert page_faults() > before
    assert len(block) == 64 * MIB


@pytest.mark.skipif(not can_retain_heap(), reason="this system's C heap can't be told to keep memory")
def test_a_retained_heap_gives_the_same_block_again_without_page_faults(tmp_path):
    default, retained = (
        int(run_python(tmp_path, "-c", FAULTS.format(retain=retain, size=48 * MIB)).stdout)
        for retain in ("", "assert retain_heap()")
    )

    # glibc maps blocks above 32 MiB apart each time: here twenty, in pages of 4 KiB, or of 2 MiB where there are such.
    assert default >= 20 * 24
    # The loop itself may touch a page for the first time.
    assert retained <= 20
