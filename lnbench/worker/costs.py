"""What a case costs beside time, from calls of their own after it was timed: memory, and energy where asked for."""

import torch

from lnbench.implementations.torch_compiling import compilations
from lnbench.measure.cuda import device_uuid
from lnbench.measure.memory import memory_of
from lnbench.measure.nvml import Nvml
from lnbench.observed import DeviceMemory, MemoryUse
from lnbench.planned import Stage
from lnbench.worker.cases import Cases, LiveCase


def measure_memory(cases: Cases) -> None:
    """What each live case allocates; on a GPU also what NVML shows while its tensors are alive."""
    nvml = Nvml() if cases.workload.is_cuda else None
    for number, case in list(cases.live.items()):
        with cases.attempt(number, Stage.MEMORY):
            _measure_one(cases, number, case)
            if nvml is not None:
                _read_nvml(cases, number, case, nvml)


def _measure_one(cases: Cases, number: int, case: LiveCase) -> None:
    compiled = compilations()
    found = memory_of(case.prepared, on_cuda=cases.workload.is_cuda)
    if compilations() == compiled:  # what compiling allocates is not the case's
        saved_b = case.prepared.saved_bytes()
        cases.report(
            MemoryUse(process=cases.process, case=number, phases=found.phases, saved_b=saved_b, kept_b=found.kept_b)
        )


def _read_nvml(cases: Cases, number: int, case: LiveCase, nvml: Nvml) -> None:
    torch.cuda.empty_cache()  # what checking and other cases left in the allocator is not this case's
    kept = case.prepared.forward()
    case.prepared.wait()
    memory = nvml.memory(device_uuid(cases.workload.device))
    del kept
    cases.report(
        DeviceMemory(
            process=cases.process,
            case=number,
            nvml_process_bytes=memory.process_b,
            nvml_device_bytes=memory.device_b,
        )
    )
