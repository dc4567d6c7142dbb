"""What NVIDIA's management library tells: the GPUs, their memory, clocks, power and energy, and what holds them back.

A missing library, driver, permission or function gives None, with the reason kept, never an error.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lnbench.planned import Gpu

# Bits of NVML's "clocks event reasons" (nvml.h, called throttle reasons before driver 535).
THROTTLE_BITS: Mapping[int, str] = MappingProxyType(
    {
        0x1: "gpu_idle",
        0x2: "applications_clocks_setting",
        0x4: "sw_power_cap",
        0x8: "hw_slowdown",
        0x10: "sync_boost",
        0x20: "sw_thermal_slowdown",
        0x40: "hw_thermal_slowdown",
        0x80: "hw_power_brake_slowdown",
        0x100: "display_clock_setting",
    }
)
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_TEMPERATURE_GPU = 0

VIOLATIONS: Mapping[int, str] = MappingProxyType({0: "sw_power_cap", 1: "sw_thermal_slowdown", 2: "sync_boost"})
"""NVML's counters of the time for which clocks were held back (nvmlPerfPolicyType_t), by the reason that each counts.
Unlike the reasons themselves they show what happened between two looks, while the GPU worked. The finer counters among
NVML's fields have other numbers from driver to driver (251 in 560, 269 in 575 are the same one)."""


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes held by this process and by everyone on a GPU; None where NVML does not tell."""

    process_b: int | None
    device_b: int | None


class Nvml:
    """A session with NVML; `missing` says why there is none. `library` stands in for pynvml in tests.

    `unanswered`: what was asked and not answered, by function, with the reason.
    """

    def __init__(self, library: Any = None) -> None:
        self.missing = ""
        self.unanswered: dict[str, str] = {}
        self._library = library
        self._handles: dict[str, Any] = {}
        self._cards: dict[str, Any] = {}
        self._others: frozenset[int] = frozenset()
        try:
            if self._library is None:
                import pynvml

                self._library = pynvml
            self._library.nvmlInit()
        except ImportError as error:
            self.missing = f"nvidia-ml-py is not installed ({error})"
        except Exception as error:
            # NVML's own errors are a class of the library that may be missing; whatever it raises, the fields stay
            # empty and the reason is kept.
            self.missing = f"NVML: {error}"

    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that the driver shows."""
        if self.missing:
            return ()
        count = self._try("nvmlDeviceGetCount") or 0
        found = []
        for index in range(count):
            handle = self._try("nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                continue
            memory = self._try("nvmlDeviceGetMemoryInfo", handle)
            found.append(
                Gpu(
                    index=index,
                    name=_text(self._try("nvmlDeviceGetName", handle) or "unknown GPU"),
                    memory_b=None if memory is None else int(memory.total),
                    **self._setup(handle),
                )
            )
        return tuple(found)

    def _setup(self, handle: Any) -> dict[str, Any]:
        """How a card is set up, as far as NVML reports it: what makes two cards of one name differ."""
        limit_mw = self._try("nvmlDeviceGetEnforcedPowerLimit", handle)
        clocks_mhz = {kind: self._try("nvmlDeviceGetMaxClockInfo", handle, kind) for kind in (_CLOCK_SM, _CLOCK_MEMORY)}
        ecc, mig = (self._try(f"nvmlDeviceGet{mode}Mode", handle) for mode in ("Ecc", "Mig"))
        persistence = self._try("nvmlDeviceGetPersistenceMode", handle)
        return {
            "power_limit_w": None if limit_mw is None else limit_mw * 1e-3,
            **{
                name: None if (mhz := clocks_mhz[kind]) is None else mhz * 1e6
                for name, kind in (("max_sm_clock_hz", _CLOCK_SM), ("max_memory_clock_hz", _CLOCK_MEMORY))
            },
            "ecc": None if ecc is None else bool(ecc[0]),  # now; the second is that after the next reboot
            "mig": None if mig is None else bool(mig[0]),
            "persistence": None if persistence is None else bool(persistence),
        }

    def free_b(self) -> list[int]:
        """The bytes of each GPU that nobody has."""
        count = 0 if self.missing else self._try("nvmlDeviceGetCount") or 0
        handles = (self._try("nvmlDeviceGetHandleByIndex", index) for index in range(count))
        found = (self._try("nvmlDeviceGetMemoryInfo", handle) for handle in handles if handle is not None)
        return [int(info.total) - int(info.used) for info in found if info is not None]

    def driver(self) -> str | None:
        """The driver's version."""
        version = None if self.missing else self._try("nvmlSystemGetDriverVersion")
        return None if version is None else _text(version)

    def memory(self, uuid: str) -> GpuMemory:
        """Memory in use on the GPU with this UUID, by this process and by all."""
        handle = self._handle(uuid)
        if handle is None:
            return GpuMemory(None, None)
        info = self._try("nvmlDeviceGetMemoryInfo", handle)
        processes = self._try("nvmlDeviceGetComputeRunningProcesses", handle)
        mine = [process.usedGpuMemory for process in processes or () if process.pid == os.getpid()]
        return GpuMemory(
            process_b=int(mine[0]) if mine and mine[0] is not None else None,
            device_b=None if info is None else int(info.used),
        )

    def memory_bus(self, uuid: str) -> tuple[float | None, int | None]:
        """The largest memory clock of a GPU in Hz and the width of its memory bus in bits; None where not reported."""
        handle = self._handle(uuid)
        if handle is None:
            return None, None
        clock_mhz = self._try("nvmlDeviceGetMaxClockInfo", handle, _CLOCK_MEMORY)
        return None if clock_mhz is None else 1e6 * clock_mhz, self._try("nvmlDeviceGetMemoryBusWidth", handle)

    def readings(self, uuid: str) -> Mapping[str, float]:
        """Clocks, power and temperature of a GPU now, as far as NVML reports them.

        Of a slice its card's clocks and temperature. The power of a card is not that of one of its slices.
        """
        handle, card = self._handle(uuid), self._card(uuid)
        if handle is None:
            return {}
        found = {
            "sm_clock_hz": (1e6, self._try("nvmlDeviceGetClockInfo", card, _CLOCK_SM)),
            "memory_clock_hz": (1e6, self._try("nvmlDeviceGetClockInfo", card, _CLOCK_MEMORY)),
            "power_w": (1e-3, self._try("nvmlDeviceGetPowerUsage", handle)),
            "temperature_c": (1.0, self._try("nvmlDeviceGetTemperature", card, _TEMPERATURE_GPU)),
        }
        return {name: scale * value for name, (scale, value) in found.items() if value is not None}

    def throttling(self, uuid: str) -> tuple[str, ...]:
        """Why a GPU's clocks are held back now."""
        card = self._card(uuid)
        if card is None:
            return ()
        newer = hasattr(self._library, "nvmlDeviceGetCurrentClocksEventReasons")
        kind = "Event" if newer else "Throttle"
        bits = self._try(f"nvmlDeviceGetCurrentClocks{kind}Reasons", card) or 0
        return tuple(name for bit, name in THROTTLE_BITS.items() if bits & bit)

    def held_back_s(self, uuid: str) -> Mapping[str, float]:
        """For how long a GPU's clocks have been held back since its driver was loaded, by each reason that is counted.

        A reason that is here need not be taken from `throttling`.
        """
        card = self._card(uuid)
        if card is None:
            return {}
        counted = {name: self._ask("nvmlDeviceGetViolationStatus", card, policy) for policy, name in VIOLATIONS.items()}
        return {name: found.violationTime * 1e-9 for name, found in counted.items() if found is not None}

    def note_others(self) -> None:
        """Remember the processes that compute on any GPU now; to be called before this one begins to."""
        count = 0 if self.missing else self._ask("nvmlDeviceGetCount") or 0
        handles = (self._ask("nvmlDeviceGetHandleByIndex", index) for index in range(count))
        lists = (self._ask("nvmlDeviceGetComputeRunningProcesses", it) for it in handles if it is not None)
        self._others = frozenset(process.pid for found in lists for process in found or ())

    def foreign_processes(self, uuid: str) -> int | None:
        """How many other processes compute on a GPU.

        Inside a container NVML may know this process by another number, or not show it at all: then one of those that
        were not there before is taken for it, and none where there is none.
        """
        handle = self._handle(uuid)
        processes = None if handle is None else self._try("nvmlDeviceGetComputeRunningProcesses", handle)
        if processes is None:
            return None
        listed = {process.pid for process in processes}
        is_listed = os.getpid() in listed or bool(listed - self._others)
        return len(listed) - is_listed

    def energy_j(self, uuid: str) -> float | None:
        """What a GPU has used since its driver was loaded."""
        handle = self._handle(uuid)
        millijoules = None if handle is None else self._try("nvmlDeviceGetTotalEnergyConsumption", handle)
        return None if millijoules is None else millijoules * 1e-3

    def _handle(self, uuid: str) -> Any:
        """A GPU or a slice of one. PyTorch gives the UUIDs of both without the word that NVML puts before them."""
        if self.missing:
            return None
        if uuid not in self._handles:
            prefixed = [uuid] if uuid.startswith(("GPU-", "MIG-")) else [f"GPU-{uuid}", f"MIG-{uuid}"]
            found = (self._ask("nvmlDeviceGetHandleByUUID", name) for name in prefixed[:-1])
            handle = next((it for it in found if it is not None), None)
            if handle is None:
                handle = self._try("nvmlDeviceGetHandleByUUID", prefixed[-1])
            if handle is None:
                return None
            self._handles[uuid] = handle
        return self._handles[uuid]

    def _card(self, uuid: str) -> Any:
        """The whole card: of a slice the one that it is a part of, which has the clocks."""
        handle = self._handle(uuid)
        if handle is not None and uuid not in self._cards:
            card = self._ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle)
            self._cards[uuid] = handle if card is None else card
        return self._cards.get(uuid)

    def _try(self, function: str, *arguments: Any) -> Any:
        """A call's result, or None where the library, the driver or the card does not answer it; that is kept."""
        try:
            return getattr(self._library, function)(*arguments)
        except Exception as error:
            self.unanswered.setdefault(function.removeprefix("nvml"), str(error) or type(error).__name__)
            return None

    def _ask(self, function: str, *arguments: Any) -> Any:
        """The same where no answer is nothing to tell: there is another way, or it is the usual one."""
        try:
            return getattr(self._library, function)(*arguments)
        except Exception:  # as above
            return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
