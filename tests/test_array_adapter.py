"""Cases of other frameworks: what the fuller contract asks for is checked, and what breaks it is told."""

import numpy as np
import pytest
import torch
from stage import cases, judged, prepared, workload

from lnbench.errors import Unsupported
from lnbench.planned import Stage, Status


class Rows:
    """A layer norm over the last axis in NumPy, with its gradients: right, until a test breaks it."""

    def __init__(self, on, arrays):
        self.arrays = arrays
        self.pair = arrays.pairs[0]
        self.eps = on.eps

    def select(self, index):
        self.pair = self.arrays.pairs[index]

    def normalized(self):
        x = self.pair[0].numpy()
        centred = x - x.mean(-1, keepdims=True)
        rstd = 1 / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(self.eps))
        return centred * rstd, rstd

    def inference(self):
        return self.forward()[0]

    def forward(self):
        x_hat, rstd = self.normalized()
        return x_hat * self.arrays.weight.numpy() + self.arrays.bias.numpy(), x_hat, rstd

    def backward(self, saved):
        _, x_hat, rstd = saved
        dy = self.pair[1].numpy()
        g = dy * self.arrays.weight.numpy()
        dx = rstd * (g - g.mean(-1, keepdims=True) - x_hat * (g * x_hat).mean(-1, keepdims=True))
        rows = tuple(range(dy.ndim - 1))
        found = {"dx": dx, "dweight": (dy * x_hat).sum(rows), "dbias": dy.sum(rows)}
        return tuple(found[name] for name in self.arrays.gradients)

    def wait(self):
        pass

    def outputs(self):
        saved = self.forward()
        gradients = dict(zip(self.arrays.gradients, self.backward(saved), strict=True))
        return {"inference_y": self.inference(), "y": saved[0]} | gradients

    def close(self):
        pass


class WithStep(Rows):
    """The same with a whole step as one function."""

    def forward_backward(self):
        saved = self.forward()
        return saved[0], self.backward(saved)

    def outputs(self):
        y, gradients = self.forward_backward()
        step = {f"step_{name}": it for name, it in zip(self.arrays.gradients, gradients, strict=True)}
        return super().outputs() | {"step_y": y} | step


def outcome_of(kind, **axes):
    """What becomes of a case of this kind."""
    return judged(lambda on, arrays: kind(on, arrays), 6, 32, **axes)


@pytest.mark.parametrize("kind", [Rows, WithStep])
def test_a_case_that_keeps_the_contract_is_right(kind):
    outcome = outcome_of(kind)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert outcome.repeats is True


@pytest.mark.parametrize("gradients", ["x", "parameters"])
def test_a_case_computes_the_gradients_that_the_workload_asks_for(gradients):
    assert outcome_of(Rows, gradients=gradients).status is Status.OK


class CachedOutput(Rows):
    kept = None

    def inference(self):
        if self.kept is None:
            self.kept = super().inference()
        return self.kept


class WrittenInput(Rows):
    def forward(self):
        found = super().forward()
        self.pair[0].numpy()[0] *= 2
        return found


class ViewOfInput(Rows):
    def outputs(self):
        return super().outputs() | {"inference_y": self.pair[0].numpy()}


class OtherDtype(Rows):
    def outputs(self):
        return super().outputs() | {"dx": super().outputs()["dx"].astype(np.float64)}


class OtherShape(Rows):
    def outputs(self):
        return super().outputs() | {"dbias": super().outputs()["dbias"][None]}


class NoArray(Rows):
    def outputs(self):
        return super().outputs() | {"y": 1.0}


class DroppedGradient(Rows):
    def outputs(self):
        found = super().outputs()
        del found["dbias"]
        return found


class WrongGradient(Rows):
    def backward(self, saved):
        dx, dweight, dbias = super().backward(saved)
        return dx, dweight, dbias * np.float32(0.98)


class WrongStep(WithStep):
    def forward_backward(self):
        y, (dx, dweight, dbias) = super().forward_backward()
        return y, (dx, dweight, dbias * np.float32(0.98))


class StepWithoutOutput(WithStep):
    def outputs(self):
        found = super().outputs()
        del found["step_y"]
        return found


class StaleCopy(Rows):
    def __init__(self, on, arrays):
        super().__init__(on, arrays)
        self.x = arrays.x.numpy().copy()

    def normalized(self):
        kept, self.pair = self.pair, (torch.from_numpy(self.x), self.pair[1])
        found = super().normalized()
        self.pair = kept
        return found


class HalfAStep(Rows):
    """Without a backward."""

    def __getattribute__(self, name):
        if name == "backward":
            raise AttributeError(name)
        return super().__getattribute__(name)


class CopiesWithoutRefresh(Rows):
    copies = ("x",)


class Nothing(Rows):
    def inference(self):
        super().inference()

    def outputs(self):
        return super().outputs() | {"inference_y": Rows.inference(self)}


class OtherThanTimed(Rows):
    def inference(self):
        return np.zeros_like(super().inference())

    def outputs(self):
        return super().outputs() | {"inference_y": Rows.inference(self)}


class EmptyBackward(Rows):
    def backward(self, saved):
        return ()

    def outputs(self):
        gradients = dict(zip(self.arrays.gradients, Rows.backward(self, self.forward()), strict=True))
        return {"inference_y": self.inference(), "y": self.forward()[0]} | gradients


class Unreadable(Rows):
    """What it returns is computed only when somebody looks at it."""

    def inference(self):
        return lambda: Rows.inference(self)

    def outputs(self):
        return super().outputs() | {"inference_y": Rows.inference(self)}


class StepWithoutGradients(WithStep):
    def forward_backward(self):
        return self.forward()[0]

    def outputs(self):
        y, gradients = WithStep.forward_backward(self)
        step = {f"step_{name}": it for name, it in zip(self.arrays.gradients, gradients, strict=True)}
        return Rows.outputs(self) | {"step_y": y} | step


class NotACase:
    def __init__(self, on, arrays):
        pass


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (CachedOutput, "two calls return inference_y in the same memory"),
        (WrittenInput, "it writes into x"),
        (ViewOfInput, "inference_y is a view of an input"),
        (OtherDtype, "dx is float64 6x32, not float32 6x32"),
        (OtherShape, "dbias is float32 1x32, not float32 32"),
        (NoArray, "outputs() gives y as a float, not as a NumPy array"),
        (DroppedGradient, "outputs() has no dbias"),
        (WrongGradient, "dbias is off"),
        (WrongStep, "step_dbias is off"),
        (StepWithoutOutput, "outputs() has no step_y"),
        (StaleCopy, "is off"),
        (Nothing, "timed_y is nothing"),
        (OtherThanTimed, "timed_y is off"),
        (EmptyBackward, "backward(saved) gives 0 results"),
        (Unreadable, "which can't be read as an array"),
        (StepWithoutGradients, "no pair of y and the gradients"),
    ],
    ids=lambda it: it.__name__ if isinstance(it, type) else "",
)
def test_a_case_that_breaks_the_contract_is_wrong_and_told_why(kind, words):
    outcome = outcome_of(kind)

    assert outcome.status is Status.WRONG
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (HalfAStep, "a case has both forward() and backward(saved), or neither"),
        (CopiesWithoutRefresh, "a case that copies its inputs needs refresh(), which takes over new values"),
        (NotACase, "the builder gave a NotACase, which has no inference()"),
        (lambda on, arrays: None, "the builder gave None, not a case: is a `return` missing?"),
    ],
)
def test_what_is_no_case_is_an_error_and_not_called_wrong(kind, reason):
    outcome = outcome_of(kind)

    assert (outcome.status, outcome.reason) == (Status.ERROR, reason)


class Copying(Rows):
    """Copies its parameters, and takes over new values when it is told."""

    copies = ("weight",)

    def __init__(self, on, arrays):
        super().__init__(on, arrays)
        self.refresh()

    def refresh(self):
        self.weight = self.arrays.weight.numpy().copy()

    def forward(self):
        x_hat, rstd = self.normalized()
        return x_hat * self.weight + self.arrays.bias.numpy(), x_hat, rstd


def test_a_case_that_copies_is_told_of_new_values_and_its_row_says_so():
    outcome = outcome_of(Copying)

    assert outcome.status is Status.OK
    assert outcome.notices["own-buffers"].startswith("reads weight from memory of its own")


class InferenceOnly(Rows):
    no_step = "no gradients here"

    def __getattribute__(self, name):
        if name in {"forward", "backward"}:
            raise AttributeError(name)
        return super().__getattribute__(name)

    def inference(self):
        return Rows.forward(self)[0]

    def outputs(self):
        return {"inference_y": self.inference()}


def test_a_case_without_gradients_is_judged_by_its_output_and_tells_why():
    case, _ = prepared(lambda on, arrays: InferenceOnly(on, arrays), workload(6, 32))

    assert outcome_of(InferenceOnly).status is Status.OK
    assert case.no_step == "no gradients here"


class Unfinished(Rows):
    """Every call is done only when it was waited for."""

    waits = 0

    def wait(self):
        Unfinished.waits += 1


def test_every_call_on_the_cpu_is_waited_for_inside_the_time_that_counts():
    case, _ = prepared(lambda on, arrays: Unfinished(on, arrays), workload(6, 32))
    before = Unfinished.waits

    case.inference()
    case.backward(case.forward())

    assert Unfinished.waits - before == 3


def test_cold_caches_need_a_case_that_can_be_told_which_inputs_to_read():
    class Fixed(Rows):
        def __getattribute__(self, name):
            if name == "select":
                raise AttributeError(name)
            return super().__getattribute__(name)

    cold = workload(6, 32, cache="cold")

    made, heard = cases({"it": lambda on, arrays: Fixed(on, arrays)}, cold, pairs=3)
    made.build_all()

    assert heard.ends()[0].status is Status.UNSUPPORTED
    assert "no select(index)" in heard.ends()[0].reason


def test_cold_caches_rotate_through_the_inputs_of_a_case():
    made, _ = cases({"it": lambda on, arrays: Rows(on, arrays)}, workload(6, 32, cache="cold"), pairs=3)
    made.build_all()
    case = made.live[0].prepared

    results = []
    for index in range(3):
        case.select(index)
        results.append(case.inference())

    assert not np.array_equal(results[0], results[1])
    assert np.allclose(results[2].mean(), made.arrays.parameters(made.live[0].function)[1].mean(), atol=0.2)


def test_a_layout_of_pytorch_s_is_unsupported():
    with pytest.raises(Unsupported, match="layout transposed is PyTorch's"):
        prepared(lambda on, arrays: Rows(on, arrays), workload(6, 32, layout="transposed"))


class BrokenClose(Rows):
    def close(self):
        raise SystemExit("not today")


def test_a_close_that_fails_is_told_and_takes_nothing_from_the_case_nor_from_others():
    made, heard = cases({"it": lambda on, arrays: BrokenClose(on, arrays), "fused": "fused"}, workload(6, 32))
    made.build_all()

    made.close_all()

    assert not heard.ends()
    assert heard.notices(0)["close-failed"] == "its close() failed: SystemExit: not today"
    assert "close-failed" not in heard.notices(1)


def test_a_case_that_ends_keeps_its_reason_though_its_close_fails_too():
    made, heard = cases({"it": lambda on, arrays: BrokenClose(on, arrays)}, workload(6, 32))
    made.build_all()

    made.end(0, Status.ERROR, Stage.TIMING, "the reason")

    assert heard.ends()[0].reason == "the reason"


def test_pairs_begin_where_every_framework_takes_memory_without_a_copy():
    made, _ = cases({"it": "numpy"}, workload(6, 5, cache="cold"), pairs=3)

    assert all(x.data_ptr() % 64 == 0 and x.is_contiguous() for x in (*made.arrays.x, *made.arrays.dy))
