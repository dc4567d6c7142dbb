"""What a real run tells beside time: cold and warm compiling, memory, both heaps, energy, determinism."""

import os
from types import SimpleNamespace

import pytest
from command import journal, results, run_lnbench

from lnbench.implementations.toolchains import missing_cpp_compiler

PLUGIN = """
import torch
from lnbench import implementation

@implementation("restless", function="layer_norm")
def restless(workload):
    calls = [0]

    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias):
            ctx.save_for_backward(x, weight, bias)
            return torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)

        @staticmethod
        def backward(ctx, dy):
            x, weight, bias = (it.detach().requires_grad_() for it in ctx.saved_tensors)
            with torch.enable_grad():
                y = torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)
            dx, dweight, dbias = torch.autograd.grad(y, (x, weight, bias), dy)
            calls[0] += 1
            return dx * (1 + 1e-7 * (calls[0] % 3)), dweight, dbias

    return lambda x, weight, bias: Norm.apply(x, weight, bias)
"""
SUITE = """
name: costs
reference: fused
implementations: [fused, eager, compiled, restless]
workloads:
  - shapes: [[64, 256]]
    phases: [inference, forward_backward]
    allocators: [retained, system]
exclude: [{implementation: [compiled, restless], allocator: system}]
sampling: {processes: 2, precision: 0.05, budget_s: 0.5}
"""


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    (folder / "costs.yaml").write_text(SUITE)
    (folder / "restless.py").write_text(PLUGIN)
    arguments = ("--plugin", "restless.py", "--cold-compile", "--energy", "--columns", "all", "--output", "run")
    done = run_lnbench(folder, "run", "costs.yaml", *arguments)
    assert done.code == 0, done.stderr
    return SimpleNamespace(done=done, folder=folder, rows=results(folder / "run"))


def of(costs, implementation, allocator="retained", phase="forward_backward"):
    rows = costs.rows
    mask = (rows.implementation == implementation) & (rows.allocator == allocator) & (rows.phase == phase)
    return rows[mask].iloc[0]


@pytest.mark.skipif(bool(missing_cpp_compiler()), reason="torch.compile needs a C++ compiler")
def test_the_first_process_compiles_cold_and_the_second_finds_it_compiled(costs):
    row = of(costs, "compiled")

    assert row.cold_first_call_s > 0
    assert row.warm_first_call_s > 0
    assert (row.graphs, row.graph_breaks, row.recompilations) == (2, 0, 1)
    built = [event for event in journal(costs.folder / "run") if event["event"] == "built" and event["graphs"]]
    assert [event["compiled_cold"] for event in built] == [True, False]


def test_a_backward_that_differs_from_call_to_call_is_told(costs):
    assert not of(costs, "restless").repeats
    assert of(costs, "fused").repeats


def test_every_case_has_memory_accuracy_and_conditions(costs):
    told = costs.rows[costs.rows.phase == "forward_backward"]

    for column in ("peak_memory_bytes", "saved_bytes", "output_bytes", "y_error_eps", "hard_error_eps", "load"):
        assert told[column].notna().all(), column
    assert (told.dropped_rounds >= 0).all()
    assert not told.flushes_denormals.any()
    assert (told.percent_of_copy > 0).all()


def test_both_heaps_are_compared_in_words(costs):
    assert "the system's heap against the retained one" in costs.done.stdout
    assert "fused 1" in costs.done.stdout or "fused 0" in costs.done.stdout


@pytest.mark.skipif(os.path.exists("/sys/class/powercap/intel-rapl:0/energy_uj"), reason="RAPL may be readable here")
def test_energy_without_a_counter_is_empty_with_a_notice_and_never_zero(costs):
    assert costs.rows.energy_per_call_j.isna().all()
    assert "energy was not measured: the processor has no energy counter" in costs.done.stdout


def test_the_flags_are_kept_with_the_run(costs):
    header = next(iter(journal(costs.folder / "run")))

    assert header["options"]["energy"] == header["options"]["cold_compile"] == "yes"


def test_the_report_folds_every_group_and_shows_it_again(costs):
    text = (costs.folder / "run" / "report.md").read_text()
    again = run_lnbench(costs.folder, "report", "run", "--columns", "memory")

    assert "<details><summary>Memory</summary>" in text
    assert "saved" in again.stdout
    assert "Each phase has a median" not in again.stdout
