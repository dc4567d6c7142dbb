"""What a case costs beside time, from calls of their own after it was timed: memory, and energy where asked for."""

from dataclasses import asdict
from typing import Literal

import torch

from lnbench.implementations.torch_compiling import compilations
from lnbench.measure.cuda import device_uuid
from lnbench.measure.energy import EnergyCounter, NvmlCounter, RaplCounter, measure_energy
from lnbench.measure.memory import memory_of
from lnbench.measure.nvml import Nvml
from lnbench.observed import DeviceMemory, EnergyUse, MemoryUse
from lnbench.planned import PlannedWorkload, Stage
from lnbench.worker.calls import Kind, calls_for, fastest_block_s, gradients_for, kinds_for, one_call
from lnbench.worker.cases import Cases, LiveCase

BLOCK_S = 10e-3
"""Between two looks at the counter: far shorter than its own steps, far longer than the look."""


def measure_memory(cases: Cases) -> None:
    """What each live case allocates; on a GPU also what NVML shows while its tensors are alive."""
    nvml = Nvml() if cases.workload.is_cuda else None
    for number, case in list(cases.live.items()):
        with cases.attempt(number, Stage.MEMORY):
            _measure_one(cases, number, case)
            if nvml is not None:
                _read_nvml(cases, number, case, nvml)


def measure_energy_of(cases: Cases, *, planned: PlannedWorkload) -> None:
    """The joules of each kind of call of each live case; a notice where no counter can be read."""
    counter = _counter(cases)
    for number, case in list(cases.live.items()):
        kinds = kinds_for(planned.phases, case.prepared, on_cuda=cases.workload.is_cuda)
        for kind in (it for it in kinds if it is not Kind.STEP or Kind.ONE_PIECE not in kinds):
            if kind is not Kind.INFERENCE and case.prepared.renew_dy is not None:
                cases.notice(number, "no-energy", "energy of a step was not measured: it would hold the copies of dy")
                continue
            with cases.attempt(number, Stage.ENERGY):
                if not _measure_energy(cases, number, case, kind, counter):
                    cases.notice(None, "no-energy", f"energy was not measured: {_why_no_counter(cases)}")
                    return


def _counter(cases: Cases) -> EnergyCounter:
    if cases.workload.is_cuda:
        return NvmlCounter(Nvml(), device_uuid(cases.workload.device))
    return RaplCounter()


def _why_no_counter(cases: Cases) -> str:
    if cases.workload.is_cuda:
        return Nvml().missing or "this GPU does not report total energy"
    return "the processor has no energy counter that this user may read (RAPL under /sys/class/powercap)"


def _measure_energy(cases: Cases, number: int, case: LiveCase, kind: Kind, counter: EnergyCounter) -> bool:
    """Report what a counter shows for one kind of call; False where it can't be read."""
    if counter.read_j() is None:
        return False
    name: Literal["inference", "step"] = "inference" if kind is Kind.INFERENCE else "step"
    called = Kind.ONE_PIECE if kind is Kind.STEP and case.prepared.forward_backward is not None else kind
    with gradients_for(case.prepared, kind):
        call = one_call(case.prepared, called)
        calls = calls_for(fastest_block_s(call, case.prepared.wait), BLOCK_S)

        def block() -> int:
            for _ in range(calls):
                call()
            case.prepared.wait()
            return calls

        found = measure_energy(block, counter)
    if found is None:
        return False
    event = EnergyUse(process=cases.process, case=number, kind=name, source=counter.source, **asdict(found))
    cases.report(event)
    return True


def _measure_one(cases: Cases, number: int, case: LiveCase) -> None:
    compiled = compilations()
    saved_b = case.prepared.saved_bytes()
    if saved_b is None:  # another framework allocates where PyTorch's profiler and allocator do not see it
        return
    found = memory_of(case.prepared, on_cuda=cases.workload.is_cuda)
    if case.prepared.renew_dy is not None:
        case.prepared.renew_dy()
    if compilations() == compiled:  # what compiling allocates is not the case's
        cases.report(
            MemoryUse(process=cases.process, case=number, phases=found.phases, saved_b=saved_b, kept_b=found.kept_b)
        )


def _read_nvml(cases: Cases, number: int, case: LiveCase, nvml: Nvml) -> None:
    torch.cuda.empty_cache()  # what checking and other cases left in the allocator is not this case's
    kept = case.prepared.inference() if case.prepared.no_step else case.prepared.forward()
    case.prepared.wait()
    memory = nvml.memory(device_uuid(cases.workload.device))
    if not case.prepared.no_step:
        case.prepared.backward(kept)  # or the memory of CUDA graphs stays taken for a backward that never comes
    del kept
    cases.report(
        DeviceMemory(
            process=cases.process,
            case=number,
            nvml_process_bytes=memory.process_b,
            nvml_device_bytes=memory.device_b,
        )
    )
