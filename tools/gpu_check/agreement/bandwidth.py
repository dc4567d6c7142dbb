"""Copies beside the bandwidth that the card's data sheet names, hot and cold."""

from typing import Any

import torch

from lnbench.measure.cuda import CudaSampler, TorchEventClock
from tools.gpu_check.agreement.checks import DEVICE, MIB, Setting, microseconds
from tools.gpu_check.agreement.sampled import case, copy_s, inference_s
from tools.gpu_check.summary import Outcome, Result, passed_if

DATA_SHEET_TB_S = {
    "B200": 8.0,
    "H200": 4.8,
    "H100 80GB HBM3": 3.35,
    "H100 PCIe": 2.0,
    "A100-SXM4-80GB": 2.039,
    "A100-SXM4-40GB": 1.555,
    "A100 80GB PCIe": 1.935,
    "L40S": 0.864,
    "L4": 0.3,
    "A10": 0.6,
    "T4": 0.32,
    "RTX 4090": 1.008,
    "RTX 5090": 1.792,
}
"""Memory bandwidth by a part of the name that drivers give a card, from NVIDIA's data sheets; the longest part wins."""

REACHED = (0.75, 1.02)
"""The share of it that a large copy reaches."""


def copies_reach_the_card_s_bandwidth(setting: Setting) -> Outcome:
    """copy_ and a kernel that copies, at sizes beyond and within L2, hot and cold."""
    found: dict[str, Any] = {}
    for size_b in (MIB,) if setting.rehearsal else (512 * MIB, 64 * MIB, 8 * MIB):
        source = torch.randn(size_b // 4, device=DEVICE)
        target = torch.empty_like(source)
        for state, sampler in (("hot", CudaSampler(setting.clock)), ("cold", CudaSampler(setting.clock, cold=True))):
            times = {
                "copy": copy_s(sampler, lambda source=source, target=target: target.copy_(source)),  # type: ignore[misc]
                "kernel": copy_s(
                    sampler,
                    lambda source=source, target=target: torch.mul(source, 1.0, out=target),  # type: ignore[misc]
                ),
            }
            for how, seconds in times.items():
                name = f"{size_b // MIB}MiB {how} {state} TB/s"
                found[name] = None if seconds is None else round(2 * size_b / seconds / 1e12, 3)
        del source, target
    reached, named = found.get("512MiB copy hot TB/s"), _data_sheet_tb_s(torch.cuda.get_device_name(0))
    if setting.rehearsal or named is None:
        return Outcome(Result.NOTE, found)
    found["data sheet TB/s"] = named
    return passed_if(reached is not None and REACHED[0] < reached / named < REACHED[1], found)


def clean_lines_beside_dirty_ones(setting: Setting) -> Outcome:
    """What the dirty lines of a displaced cache cost the work that evicts them: the same after a read past them."""
    other = torch.ones(2 * torch.cuda.get_device_properties(0).L2_cache_size // 4, device=DEVICE)
    total = torch.zeros((), device=DEVICE)

    class Clean(TorchEventClock):
        def displace(self) -> None:
            super().displace()
            torch.sum(other, dim=None, out=total)

    found = {}
    for rows, features in setting.shapes[1:]:
        prepared = case(rows, features)
        samplers = {
            "hot_us": CudaSampler(setting.clock),
            "cold_us": CudaSampler(setting.clock, cold=True),
            "clean_us": CudaSampler(Clean(DEVICE), cold=True),
        }
        found[f"{rows}x{features}"] = {
            name: microseconds(inference_s(sampler, prepared, samples=7)[0]) for name, sampler in samplers.items()
        }
    return Outcome(Result.NOTE, found)


def _data_sheet_tb_s(name: str) -> float | None:
    parts = sorted((part for part in DATA_SHEET_TB_S if part in name), key=len)
    return DATA_SHEET_TB_S[parts[-1]] if parts else None
