"""Memory and energy as lnbench reads them, beside PyTorch's allocator and NVML."""

import statistics
import time

import torch

from lnbench.measure.cuda import device_uuid, free_device_b
from lnbench.measure.energy import NvmlCounter
from lnbench.measure.memory import memory_of
from lnbench.measure.nvml import Nvml
from lnbench.workload import Phase
from tools.gpu_check.agreement.checks import DEVICE, GIB, MIB, Setting
from tools.gpu_check.agreement.sampled import case
from tools.gpu_check.summary import Outcome, Result, passed_if

MOST_MEMORY_APART_B = 1.5 * GIB
"""Between what NVML and PyTorch call used: contexts come and go."""

ENERGY_S = 2.5
POWER_SHARES = (0.7, 1.5)
"""NVML's power is a mean over up to a second, and the card was idle before."""


def memory_is_what_the_allocator_says(setting: Setting) -> Outcome:
    """Peaks and saved bytes of a float32 layer norm, against the allocator's counters around the same calls."""
    rows, features = (64, 64) if setting.rehearsal else (4096, 4096)
    prepared = case(rows, features, dtype="float32")
    seen = memory_of(prepared, on_cuda=True)
    torch.cuda.synchronize()
    base_b = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    y = prepared.forward()
    torch.cuda.synchronize()
    forward_b = torch.cuda.max_memory_allocated() - base_b
    torch.cuda.reset_peak_memory_stats()
    gradients = prepared.backward(y)
    torch.cuda.synchronize()
    backward_b = torch.cuda.max_memory_allocated() - base_b
    del y, gradients
    found: dict[str, tuple[int | None, int]] = {
        "forward_b": (seen.phases[Phase.FORWARD].peak_b, forward_b),
        "backward_b": (seen.phases[Phase.BACKWARD].peak_b, backward_b),
        "saved_b": (prepared.saved_bytes(), 2 * rows * 4),  # mean and rstd
    }
    apart_b = [abs((mine or 0) - theirs) for mine, theirs in found.values()]
    return passed_if(max(apart_b) < MIB, found)


def nvml_and_torch_agree(_: Setting) -> Outcome:
    """The memory in use on the device, and whatever NVML leaves unanswered."""
    nvml, uuid = Nvml(), device_uuid(DEVICE)
    free_b, total_b = torch.cuda.mem_get_info(0)
    memory = nvml.memory(uuid)
    found = {
        "missing": nvml.missing,
        "gpus": [gpu.name for gpu in nvml.gpus()],
        "driver": nvml.driver(),
        "torch_used_b": total_b - free_b,
        "nvml_used_b": memory.device_b,
        "nvml_process_b": memory.process_b,
        "other_processes": nvml.foreign_processes(uuid),
        "readings": dict(nvml.readings(uuid)),
        "throttling": nvml.throttling(uuid),
        "unanswered": nvml.unanswered,
        "free_b": free_device_b(DEVICE),
    }
    used_b = memory.device_b
    return passed_if(used_b is not None and abs(used_b - (total_b - free_b)) < MOST_MEMORY_APART_B, found)


def energy_is_power_times_time(setting: Setting) -> Outcome:
    """The counter of joules under load, against NVML's readings of power."""
    nvml, uuid = Nvml(), device_uuid(DEVICE)
    counter = NvmlCounter(nvml, uuid)
    first_j = counter.read_j()
    if first_j is None:
        return Outcome(Result.NOTE, {"unanswered": nvml.unanswered})
    prepared = case(*setting.shapes[-1])
    calls, least_s = (5, 0.3) if setting.rehearsal else (100, ENERGY_S)
    powers_w, steps, last_j, began = [], 0, first_j, time.perf_counter()
    with prepared.without_gradients():
        while time.perf_counter() - began < least_s:
            for _ in range(calls):
                prepared.inference()
            prepared.wait()
            powers_w.append(nvml.readings(uuid).get("power_w", 0.0))
            now_j = counter.read_j() or last_j
            steps += now_j != last_j
            last_j = now_j
    seconds = time.perf_counter() - began
    counted_w, read_w = (last_j - first_j) / seconds, statistics.mean(powers_w)
    found = {
        "counted_w": round(counted_w, 1),
        "read_w": round(read_w, 1),
        "steps_per_s": round(steps / seconds, 1),
        "throttling": nvml.throttling(uuid),
    }
    return passed_if(bool(read_w) and POWER_SHARES[0] < counted_w / read_w < POWER_SHARES[1], found)
