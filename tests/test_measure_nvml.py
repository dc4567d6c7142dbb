"""NVML through a library made of plain numbers: what it tells is kept, what it does not tell is None."""

import os
import sys
from types import SimpleNamespace

import pytest

from lnbench.measure.memory_bus import MemoryBus, bus_of, memory_bus
from lnbench.measure.nvml import GpuMemory, Nvml
from lnbench.planned import Gpu

GIB = 1 << 30


class Library:
    """Two cards as pynvml shows them; `processes` are those on the second one."""

    def __init__(self, *, processes=(), text=str):
        self.started = 0
        self._processes = processes
        self._text = text

    def nvmlInit(self):  # noqa: N802
        self.started += 1

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return self._text("570.86.15")

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return {"GPU-first": 0, "GPU-second": 1, "MIG-slice": 1}[uuid]

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return self._text(["NVIDIA Small", "NVIDIA Large"][handle])

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(total=(handle + 1) * 16 * GIB, used=(handle + 1) * GIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        return list(self._processes) if handle else []


def process(pid, used):
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


def refuse(*_):
    raise RuntimeError("Not Supported")


def test_every_card_is_told_with_its_name_and_memory():
    nvml = Nvml(Library())

    assert nvml.missing == ""
    assert nvml.driver() == "570.86.15"
    assert nvml.gpus() == (
        Gpu(index=0, name="NVIDIA Small", memory_b=16 * GIB),
        Gpu(index=1, name="NVIDIA Large", memory_b=32 * GIB),
    )


def test_names_that_come_as_bytes_are_told_as_text():
    nvml = Nvml(Library(text=str.encode))

    assert nvml.driver() == "570.86.15"
    assert [gpu.name for gpu in nvml.gpus()] == ["NVIDIA Small", "NVIDIA Large"]


@pytest.mark.parametrize("uuid", ["second", "GPU-second", "MIG-slice", "slice"])
def test_memory_is_that_of_the_card_with_the_uuid_and_of_this_process_on_it(uuid):
    library = Library(processes=[process(1, 7 * GIB), process(os.getpid(), 3 * GIB)])

    assert Nvml(library).memory(uuid) == GpuMemory(process_b=3 * GIB, device_b=2 * GIB)


@pytest.mark.parametrize("processes", [[], [process(1, GIB)], [process(os.getpid(), None)]], ids=str)
def test_a_process_that_nvml_does_not_show_has_no_memory_rather_than_none_in_use(processes):
    assert Nvml(Library(processes=processes)).memory("second") == GpuMemory(process_b=None, device_b=2 * GIB)


OWN = os.getpid()


@pytest.mark.parametrize(
    ("before", "now", "foreign"),
    [
        ([], [OWN], 0),
        ([], [OWN, 71, 72], 2),
        ([71], [71, OWN], 1),
        # In a container NVML knows this process by another number ...
        ([], [71], 0),
        ([71], [71, 72], 1),
        ([71, 72], [72, 73], 1),
        # ... or does not show it: then all those that it shows are others.
        ([71], [71], 1),
        ([71, 72], [71, 72], 2),
        ([], [], 0),
    ],
)
def test_other_processes_are_those_that_are_not_this_one(before, now, foreign):
    library = Library(processes=[process(pid, GIB) for pid in before])
    nvml = Nvml(library)
    nvml.note_others()
    library._processes = [process(pid, GIB) for pid in now]

    assert nvml.foreign_processes("second") == foreign


def test_a_process_on_two_slices_of_a_card_counts_once():
    nvml = Nvml(Library(processes=[process(OWN, GIB), process(71, GIB), process(71, GIB)]))

    assert nvml.foreign_processes("second") == 1


@pytest.mark.parametrize("replacement", [refuse, None], ids=["raises", "missing"])
def test_a_list_of_processes_that_is_refused_is_no_count(replacement):
    library = Library()
    library.nvmlDeviceGetComputeRunningProcesses = replacement
    nvml = Nvml(library)

    nvml.note_others()

    assert nvml.foreign_processes("second") is None


def test_the_memory_that_nobody_has_is_told_for_every_card():
    assert Nvml(Library()).free_b() == [15 * GIB, 30 * GIB]


def test_how_a_card_is_set_up_is_told_as_far_as_it_answers():
    library = Library()
    library.nvmlDeviceGetEnforcedPowerLimit = lambda _: 350_000
    library.nvmlDeviceGetMaxClockInfo = lambda _, kind: {1: 1980, 2: 2619}[kind]
    library.nvmlDeviceGetEccMode = lambda _: [0, 1]  # off until the next reboot
    library.nvmlDeviceGetPersistenceMode = lambda _: 1
    library.nvmlDeviceGetMigMode = refuse

    assert Nvml(library).gpus()[0] == Gpu(
        index=0,
        name="NVIDIA Small",
        memory_b=16 * GIB,
        power_limit_w=350.0,
        max_sm_clock_hz=1980e6,
        max_memory_clock_hz=2619e6,
        ecc=False,
        persistence=True,
        mig=None,
    )


def test_an_unknown_uuid_has_no_memory():
    assert Nvml(Library()).memory("third") == GpuMemory(None, None)


@pytest.mark.parametrize(
    ("function", "gpus"),
    [
        ("nvmlDeviceGetCount", ()),
        ("nvmlDeviceGetHandleByIndex", ()),
        ("nvmlDeviceGetName", (("unknown GPU", 16 * GIB), ("unknown GPU", 32 * GIB))),
        ("nvmlDeviceGetMemoryInfo", (("NVIDIA Small", None), ("NVIDIA Large", None))),
    ],
)
@pytest.mark.parametrize("replacement", [refuse, None], ids=["raises", "missing"])
def test_what_the_driver_refuses_or_does_not_have_leaves_only_its_own_field_empty(function, gpus, replacement):
    library = Library()
    setattr(library, function, replacement)

    nvml = Nvml(library)

    assert tuple((gpu.name, gpu.memory_b) for gpu in nvml.gpus()) == gpus
    assert nvml.driver() == "570.86.15"


def test_a_refused_driver_version_or_process_list_is_none():
    library = Library(processes=[process(os.getpid(), GIB)])
    library.nvmlSystemGetDriverVersion = library.nvmlDeviceGetComputeRunningProcesses = refuse

    nvml = Nvml(library)

    assert nvml.driver() is None
    assert nvml.memory("second") == GpuMemory(process_b=None, device_b=2 * GIB)


def test_a_driver_that_does_not_start_is_missing_with_its_reason_and_is_not_asked_again():
    library = Library()
    library.nvmlInit = refuse
    library.nvmlDeviceGetCount = pytest.fail

    nvml = Nvml(library)

    assert nvml.missing == "NVML: Not Supported"
    assert (nvml.gpus(), nvml.driver(), nvml.memory("first")) == ((), None, GpuMemory(None, None))


def test_a_library_that_is_not_installed_is_missing_with_its_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    nvml = Nvml()

    assert nvml.missing.startswith("nvidia-ml-py is not installed")
    assert nvml.gpus() == ()


def bus_library(**figures):
    """A card that reports these figures of its memory and refuses the rest."""
    library = Library()
    library.nvmlDeviceGetMaxClockInfo = lambda _, kind: figures["clock_mhz"] if kind == 2 else refuse()
    library.nvmlDeviceGetMemoryBusWidth = lambda _: figures["bits"]
    return library


@pytest.mark.parametrize(
    ("figures", "properties", "expected"),
    [
        ({"clock_mhz": 2619, "bits": 5120}, {}, MemoryBus(2.619e9, 5120)),
        ({}, {"memory_clock_rate": 2_619_000, "memory_bus_width": 5120}, MemoryBus(2.619e9, 5120)),
        ({"clock_mhz": 2619}, {"memory_clock_rate": 1, "memory_bus_width": 5120}, MemoryBus(2.619e9, 5120)),
        ({"clock_mhz": 2619, "bits": 0}, {}, None),
        ({"bits": 5120}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_memory_bus_is_nvml_s_else_pytorch_s_and_none_where_a_figure_is_missing(figures, properties, expected):
    found = bus_of(SimpleNamespace(uuid="second", **properties), Nvml(bus_library(**figures)))

    assert found == expected


def test_a_cpu_has_no_memory_bus():
    assert memory_bus("cpu") is None
