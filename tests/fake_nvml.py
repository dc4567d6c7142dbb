"""A recorded NVML: two cards and a MIG slice that tell what a script says, and fail as the real library does."""

from types import SimpleNamespace

import pynvml

GIB = 1 << 30
CODES = sorted({value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")})
"""Every code that NVML can fail with."""

ASKED = (
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetMemoryInfo",
)
"""Every function that is asked of one card."""


class FakeNvml:
    """Two cards and a slice.

    `reasons`: the throttle bits of one look after the other, the last one for good. `lost_after`: so many looks after
    which the card has fallen off the bus. `failing`: error codes by function. `others`: processes on the card.
    `held_back_ns`: for each policy whose violations the card counts, what each look reads.
    """

    def __init__(self, *, reasons=(0,), lost_after=None, failing=None, others=0, energy_mj=None, held_back_ns=None):
        self._reasons = list(reasons)
        self._lost_after = lost_after
        self._failing = failing or {}
        self._others = others
        self._energy_mj = energy_mj or (lambda: 0)
        self._held_back_ns = {policy: list(read) for policy, read in (held_back_ns or {}).items()}
        self._looks = 0

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if not name.startswith("nvml"):
            return found
        failing = object.__getattribute__(self, "_failing")

        def call(*arguments):
            if name in failing:
                raise pynvml.NVMLError(failing[name])
            return found(*arguments)

        return call

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "570.86.15"

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        handles = {"GPU-first": 0, "GPU-second": 1, "MIG-slice": "slice"}
        if uuid not in handles:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return handles[uuid]

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return f"NVIDIA Card {handle}"

    def nvmlDeviceGetMemoryInfo(self, _):  # noqa: N802
        return SimpleNamespace(total=80 * GIB, used=2 * GIB)

    def nvmlDeviceGetComputeRunningProcesses(self, _):  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=GIB) for pid in range(1, 2 + self._others)]

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        self._refuse_on_a_slice(handle)
        if self._lost_after is not None and self._looks >= self._lost_after:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[kind]

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        self._refuse_on_a_slice(handle)
        return 312_500

    def nvmlDeviceGetTemperature(self, handle, _):  # noqa: N802
        self._refuse_on_a_slice(handle)
        return 54

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):  # noqa: N802
        self._refuse_on_a_slice(handle)
        self._looks += 1
        return self._reasons.pop(0) if len(self._reasons) > 1 else self._reasons[0]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle):  # noqa: N802
        if handle != "slice":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return 1

    def nvmlDeviceGetViolationStatus(self, handle, policy):  # noqa: N802
        self._refuse_on_a_slice(handle)
        if policy not in self._held_back_ns:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(referenceTime=0, violationTime=self._held_back_ns[policy].pop(0))

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        self._refuse_on_a_slice(handle)
        return self._energy_mj()

    def _refuse_on_a_slice(self, handle):
        """NVML tells most of this for whole cards only."""
        if handle == "slice":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
