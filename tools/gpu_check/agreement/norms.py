"""Norms timed by lnbench and by other tools, and norms of very large tensors."""

from typing import Any

import torch
from torch.nn.functional import layer_norm

from lnbench.measure.cuda import CudaSampler
from tools.gpu_check.agreement.checks import DEVICE, Setting, microseconds
from tools.gpu_check.agreement.sampled import (
    CALLS,
    benched_s,
    case,
    graphed_s,
    inference_s,
    median,
    profiled_s,
    step_s,
)
from tools.gpu_check.summary import Outcome, Result, passed_if

LAUNCH_S = 3e-6
"""What lies between kernels and the events around them, at most, per launch: CUPTI and graphs leave it out."""

PAIRS = 15
MOST_BIAS = 0.01
"""Two samplers' medians of one case may differ by so much."""

MOST_ERROR = 0.05
"""Of values of a few units in bfloat16, which keeps 8 bits."""


def fused_agrees(setting: Setting) -> Outcome:
    """The fused layer norm, one launch per call."""
    return _agreement(setting, "fused", setting.shapes)


def eager_agrees(setting: Setting) -> Outcome:
    """The eager formula, many launches per call."""
    return _agreement(setting, "eager", setting.shapes[1:3])


def identical_work_reads_one(setting: Setting) -> Outcome:
    """Two samples of the same case in turn, in one process: by how much they differ."""
    found: dict[str, Any] = {}
    for rows, features in setting.shapes[:3]:
        prepared, sampler, ratios = case(rows, features), CudaSampler(setting.clock), []
        with prepared.without_gradients():
            for _ in range(PAIRS):
                one, other = (sampler.sample_inference(prepared, CALLS).device_s.get("inference") for _ in range(2))
                ratios += [one / other] if one and other else []
        found[f"{rows}x{features}"] = {"median": median(ratios), "pairs": len(ratios)}
    medians = [entry["median"] for entry in found.values()]
    if setting.rehearsal:
        return _unjudged([name for name in found if found[name]["median"] is None], found)
    return passed_if(all(ratio is not None and abs(ratio - 1) < MOST_BIAS for ratio in medians), found)


def right_beyond_2_to_31_elements(setting: Setting) -> Outcome:
    """PyTorch's layer norm at the end of a tensor with more elements than 32 bits can count."""
    if setting.rehearsal:
        return Outcome(Result.SKIPPED, {"why": "it takes 8 GiB"})
    rows, features = (1 << 19) + 8, 4096
    torch.cuda.empty_cache()
    x = torch.empty(rows, features, dtype=torch.bfloat16, device=DEVICE)
    for start in range(0, rows, 1 << 16):
        x[start : start + (1 << 16)].normal_()
    last = layer_norm(x, (features,))[-4:].float()
    error = float((last - layer_norm(x[-4:].float(), (features,))).abs().max())
    return passed_if(error < MOST_ERROR, {"largest_error": error})


def _agreement(setting: Setting, implementation: str, shapes: tuple[tuple[int, int], ...]) -> Outcome:
    found: dict[str, Any] = {}
    disagreeing = []
    for rows, features in shapes:
        name = f"{rows}x{features}"
        found[name], odd = _compared(setting, implementation, rows, features)
        disagreeing += [f"{name}: {other}" for other in odd]
        torch.cuda.empty_cache()
    found["disagreeing"] = disagreeing
    return _unjudged(disagreeing, found) if setting.rehearsal else passed_if(not disagreeing, found)


def _compared(setting: Setting, implementation: str, rows: int, features: int) -> tuple[dict[str, Any], list[str]]:
    """Times by lnbench and by others, and who disagrees with it."""
    prepared = case(rows, features, implementation=implementation)
    hot, cold = CudaSampler(setting.clock), CudaSampler(setting.clock, cold=True)
    inference, kept = inference_s(hot, prepared)
    cold_inference, _ = inference_s(cold, prepared)
    step = step_s(hot, prepared)
    times = {"inference": inference, "cold inference": cold_inference, **{f"step {it}": step[it] for it in step}}
    found = {"lnbench_us": {name: microseconds(seconds) for name, seconds in times.items()}, "kept": kept}
    if setting.rehearsal:
        return found, [name for name in ("inference", "step forward_backward") if not times.get(name)]
    with torch.no_grad():
        kernels, launches = profiled_s(prepared.inference)
        graphed, benched = graphed_s(prepared.inference), benched_s(prepared.inference)
    step_kernels, step_launches = profiled_s(lambda: prepared.backward(prepared.forward()))
    others = {
        "profiler": (inference, kernels, 0.1, launches * LAUNCH_S),
        "cudagraph": (inference, graphed, 0.1, launches * LAUNCH_S),
        "do_bench": (cold_inference, benched, 0.15, 2 * LAUNCH_S),
        "step profiler": (step.get("forward_backward"), step_kernels, 0.15, step_launches * LAUNCH_S),
    }
    found["others_us"] = {name: microseconds(theirs) for name, (_, theirs, _, _) in others.items()}
    found["launches"] = [launches, step_launches]
    return found, [name for name, values in others.items() if not _is_near(*values)]


def _unjudged(without_time: list[str], found: dict[str, Any]) -> Outcome:
    """A rehearsal's outcome: that it ran is all; on a busy machine the host is too late for some samples."""
    return Outcome(Result.NOTE if without_time else Result.PASS, found)


def _is_near(mine: float | None, theirs: float, share: float, floor_s: float) -> bool:
    """True when two times agree to a share of theirs, or to a floor."""
    return mine is not None and abs(mine - theirs) <= max(share * theirs, floor_s)
