"""On a real NVIDIA GPU: modes of torch.compile with CUDA graphs, dynamic tanh, and libraries' kernels, judged."""

import pytest
from stage import cases, judged, timed, workload

from lnbench.implementations.registry import BUILT_IN, availability
from lnbench.measure.cuda import CudaSampler, TorchEventClock, missing_device
from lnbench.planned import Status
from lnbench.worker.judging import Judge

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(missing_device("cuda")), reason=f"needs an NVIDIA GPU: {missing_device('cuda')}"),
]
FUNCTIONS_OF_ROWS = ("add_rms_norm", "dyt", "layer_norm", "rms_norm")
ROWS = [row for row in BUILT_IN.values() if row.function in FUNCTIONS_OF_ROWS and row.devices != ("cpu",)]


@pytest.mark.parametrize("mode", ["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"])
@pytest.mark.parametrize("name", ["compiled", "compiled_rms_norm", "compiled_add_rms_norm", "compiled_dyt"])
def test_every_mode_is_right_and_those_with_graphs_say_that_they_overwrite(name, mode):
    builder = BUILT_IN[name].load().build

    outcome = judged(lambda on: builder(on, mode=mode), 64, 256, function=BUILT_IN[name].function, device="cuda")

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert ("overwrites-results" in outcome.notices) is (mode in {"reduce-overhead", "max-autotune"})


def test_graphs_of_several_cases_take_turns_and_are_right_afterwards():
    graphs = BUILT_IN["compiled"].load().build
    made, heard = cases(
        {
            "graphs": lambda on: graphs(on, mode="reduce-overhead"),
            "twin": lambda on: graphs(on, mode="reduce-overhead"),
        },
        workload(64, 256, device="cuda"),
    )
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    turns = timed(made, heard, CudaSampler(TorchEventClock("cuda")), rounds=4)
    judge.after()

    assert heard.ends() == {}
    assert {turn.case for turn in turns} >= {0, 1}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_that_runs_here_is_right(row, dtype):
    missing = availability(row)
    if missing:
        pytest.skip(missing)

    outcome = judged(row.name, 64, 256, device="cuda", dtype=dtype)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
