"""What NVIDIA's management library tells: which GPUs there are, and who holds how much memory.

A missing library, driver, permission or function gives None, with the reason kept, never an error.
"""

import os
from dataclasses import dataclass
from typing import Any

from lnbench.planned import Gpu


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes held by this process and by everyone on a GPU; None where NVML does not tell."""

    process_b: int | None
    device_b: int | None


class Nvml:
    """A session with NVML; `missing` says why there is none. `library` stands in for pynvml in tests."""

    def __init__(self, library: Any = None) -> None:
        self.missing = ""
        self._library = library
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
                )
            )
        return tuple(found)

    def driver(self) -> str | None:
        """The driver's version."""
        version = None if self.missing else self._try("nvmlSystemGetDriverVersion")
        return None if version is None else _text(version)

    def memory(self, uuid: str) -> GpuMemory:
        """Memory in use on the GPU with this UUID, by this process and by all."""
        handle = None if self.missing else self._handle(uuid)
        if handle is None:
            return GpuMemory(None, None)
        info = self._try("nvmlDeviceGetMemoryInfo", handle)
        processes = self._try("nvmlDeviceGetComputeRunningProcesses", handle)
        mine = [process.usedGpuMemory for process in processes or () if process.pid == os.getpid()]
        return GpuMemory(
            process_b=int(mine[0]) if mine and mine[0] is not None else None,
            device_b=None if info is None else int(info.used),
        )

    def _handle(self, uuid: str) -> Any:
        prefixed = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        return self._try("nvmlDeviceGetHandleByUUID", prefixed)

    def _try(self, function: str, *arguments: Any) -> Any:
        """A call's result, or None where the library, the driver or the card does not answer it."""
        try:
            return getattr(self._library, function)(*arguments)
        except Exception:
            return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
