"""Verifying on a card: the reference result lies there, and results of other frameworks come as the CPU's tensors."""

import pytest
import torch
import zoo
from placed import CPU, CUDA, Placed, place_of
from stage import cases, workload
from test_array_adapter import Rows, WithStep

from lnbench.functions import FUNCTIONS
from lnbench.implementations.array_adapter import ArrayPrepared
from lnbench.implementations.oracle import Expected, Part
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.worker.deviations import judge
from lnbench.worker.judging import Judge

pytestmark = pytest.mark.usefixtures("one_thread")


class OnCuda(Rows):
    """NumPy's layer norm, which reads a card's arrays through copies."""

    copies = ("x", "dy", "weight", "bias")

    def __init__(self, on, arrays):
        self._shared = arrays
        super().__init__(on, arrays)
        self.refresh()

    def refresh(self):
        shared = self._shared
        self.arrays = type(shared)(
            pairs=tuple((x.cpu(), dy.cpu()) for x, dy in shared.pairs),
            gradients=shared.gradients,
            weight=shared.weight.detach().cpu(),
            bias=shared.bias.detach().cpu(),
        )
        self.pair = self.arrays.pairs[0]


class OnCudaWithStep(OnCuda, WithStep):
    """The same with a step in one piece."""


def test_tensors_of_a_card_and_of_the_cpu_do_not_mix_until_one_is_moved():
    with Placed():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)

        assert (there.device, there.is_cuda, here.device) == (CUDA, True, CPU)
        assert place_of(there.detach()[1:] * 2.0) == CUDA
        assert place_of(here.to("cuda", torch.float64) + there) == CUDA
        assert place_of(there.cpu() + here) == CPU
        assert place_of(there.copy_(here)) == CUDA
        with pytest.raises(RuntimeError, match="same device"):
            here + there
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_a_result_is_compared_where_the_reference_result_lies(place):
    with Placed():
        value = torch.linspace(-1, 1, 8, dtype=torch.float64).to("cuda")
        right = Expected(value, torch.full_like(value, 1e-3))
        part = Part(view=(8,), place=(slice(None),), expected={"y": right})

        found = judge({"y": (value + 2e-4).to(place)}, [part], names=["y"], dtype="float32")

    assert found.relative == pytest.approx({"y": 2e-4})
    assert found.share == pytest.approx({"y": 0.2})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cases_of_pytorch_and_of_other_frameworks_are_judged_on_a_card(monkeypatch, dtype):
    monkeypatch.setattr("torch.cuda.synchronize", lambda device=None: None)
    entries = {"torch": zoo.honest}
    if dtype == "float32":
        entries |= {
            "numpy": lambda on, arrays: OnCuda(on, arrays),
            "step": lambda on, arrays: OnCudaWithStep(on, arrays),
        }
    with Placed():
        made, heard = cases(entries, workload(64, 16, dtype=dtype, device="cuda"))
        made.build_all()
        judging = Judge(made, judged={})
        judging.before()
        judging.after()

    assert heard.ends() == {}
    assert {place_of(tensor) for tensor in made.arrays.all_buffers()} == {CUDA}


def test_a_wrong_result_of_another_framework_is_wrong_on_a_card_too(monkeypatch):
    monkeypatch.setattr("torch.cuda.synchronize", lambda device=None: None)

    class Off(OnCuda):
        def forward(self):
            y, *saved = super().forward()
            return y * 1.01, *saved

    with Placed():
        made, heard = cases({"off": lambda on, arrays: Off(on, arrays)}, workload(64, 16, device="cuda"))
        made.build_all()
        Judge(made, judged={}).before()

    (end,) = heard.ends().values()
    assert end.status == "wrong"
    assert "times the tolerance" in end.reason


def test_pytorch_has_finished_what_another_framework_reads_and_that_what_pytorch_reads(monkeypatch):
    log = []
    monkeypatch.setattr("torch.cuda.synchronize", lambda device=None: log.append(f"finished {device}"))

    class Logged(OnCuda):
        def refresh(self):
            log.append("reads")
            super().refresh()

        def backward(self, saved):
            log.append("computes")
            return super().backward(saved)

        def wait(self):
            log.append("waits")

    with Placed():
        arrays = TorchArrays(workload(8, 16, device="cuda"), seed=1)
        case = ArrayPrepared(lambda on, arrays: Logged(on, arrays), FUNCTIONS["layer_norm"], arrays.workload, arrays)
        made = list(log)
        log.clear()
        arrays.refill(2)
        case.refresh()
        refreshed = list(log)
        log.clear()
        case.outputs()

    assert made == ["finished cuda", "reads"]
    assert refreshed == ["finished cuda", "reads"]
    # The timed calls only enqueue: their results are waited for before they are read.
    assert log[:2] == ["computes", "waits"]
