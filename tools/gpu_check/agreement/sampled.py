"""Cases and copies, timed by lnbench's own sampler and by other tools."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lnbench.implementations.contract import Prepared
from lnbench.implementations.preparing import prepare
from lnbench.implementations.registry import BUILT_IN
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.measure.cuda import CudaSampler
from lnbench.workload import Workload
from tools.gpu_check.agreement.checks import DEVICE

CALLS = 48
SAMPLES = 11
SAMPLE_S = 2e-3
"""About how long a sample is in a run."""

LONGEST_S = 3.0


class OneCopy:
    """One call, as samplers take the probe's copies."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.pieces = {"copy": call}

    def select(self, index: int) -> None:
        """There is one pair of buffers."""


def case(rows: int, features: int, *, implementation: str = "fused", dtype: str = "bfloat16") -> Prepared:
    """A case, built and called once."""
    workload = Workload((rows, features), (features,), dtype=dtype, param_dtype=dtype, device=DEVICE)
    prepared = prepare(BUILT_IN[implementation].load(), workload, {}, TorchArrays(workload, seed=1))
    with prepared.without_gradients():
        prepared.inference()
    prepared.backward(prepared.forward())
    prepared.wait()
    return prepared


def inference_s(sampler: CudaSampler, prepared: Prepared, *, samples: int = SAMPLES) -> tuple[float | None, int]:
    """The median of lnbench's samples of an inference, and how many were kept."""

    def sample(calls: int) -> dict[str, float]:
        with prepared.without_gradients():
            return dict(sampler.sample_inference(prepared, calls).device_s)

    found = _kept(sample, "inference", samples)
    return median([times["inference"] for times in found]), len(found)


def step_s(sampler: CudaSampler, prepared: Prepared, *, samples: int = SAMPLES) -> dict[str, float]:
    """The medians of lnbench's samples of a step by phase; empty where none was kept."""
    found = _kept(lambda calls: dict(sampler.sample_step(prepared, calls).device_s), "forward_backward", samples)
    return {phase: statistics.median(times[phase] for times in found) for phase in (found[0] if found else {})}


def copy_s(sampler: CudaSampler, call: Callable[[], Any], *, calls: int = 20, samples: int = 7) -> float | None:
    """The median of lnbench's samples of a copy."""
    found = [sampler.sample_copy(OneCopy(call), "copy", calls).device_s.get("copy") for _ in range(samples)]
    return median([seconds for seconds in found if seconds])


def profiled_s(call: Callable[[], Any], *, calls: int = 20) -> tuple[float, float]:
    """Seconds of kernels per call as CUPTI saw them, and how many kernels a call launches."""
    from torch.profiler import ProfilerActivity, profile

    for _ in range(5):
        call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    kernels = [event for event in profiler.events() if event.device_type.name == "CUDA"]
    return sum(event.time_range.elapsed_us() for event in kernels) * 1e-6 / calls, len(kernels) / calls


def graphed_s(call: Callable[[], Any]) -> float:
    """Triton's do_bench_cudagraph."""
    from triton.testing import do_bench_cudagraph

    return float(do_bench_cudagraph(call, rep=20, return_mode="median")) * 1e-3


def benched_s(call: Callable[[], Any]) -> float:
    """Triton's do_bench, which clears L2 before every call."""
    from triton.testing import do_bench

    return float(do_bench(call, warmup=10, rep=60, return_mode="median")) * 1e-3


def median(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(values) if values else None


def _kept(sample: Callable[[int], dict[str, float]], whole: str, samples: int) -> list[dict[str, float]]:
    """Samples that were kept, with fewer calls in each once their time is known."""
    kept, calls, began = [], CALLS, time.perf_counter()
    for _ in range(samples):
        found = sample(calls)
        if found:
            kept.append(found)
            if found[whole] * calls > 2 * SAMPLE_S:
                calls = max(3, int(SAMPLE_S / found[whole]))
        if time.perf_counter() - began > LONGEST_S:
            break
    return kept
