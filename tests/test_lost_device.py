"""A case after which nothing runs on the device any more: it is blamed, whatever says so, and nobody after it."""

import pytest
import zoo
from pretended_cuda import pretend_cuda
from stage import ScriptedSampler, cases, timed, workload
from test_array_adapter import Rows

from lnbench.errors import Unsupported
from lnbench.implementations.contract import WrongResultError
from lnbench.measure.cuda import lost_device
from lnbench.planned import Stage, Status
from lnbench.worker.cases import SpoiledProcessError
from lnbench.worker.judging import Judge

pytestmark = pytest.mark.usefixtures("one_thread")

LOST = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later.")


class XlaRuntimeError(RuntimeError):
    """As jaxlib calls its own."""


class InternalError(Exception):
    """TensorFlow's errors are no RuntimeErrors."""


ERRORS = {
    "PyTorch": LOST,
    "Triton": RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
    "XLA": XlaRuntimeError("INTERNAL: Failed to synchronize: CUDA_ERROR_ILLEGAL_ADDRESS"),
    "TensorFlow": InternalError("Failed to launch kernel: unspecified launch failure"),
    "cuDNN": RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    "unsupported": Unsupported("this kernel does not launch here"),
    "wrong": WrongResultError("it gives no y"),
}


@pytest.fixture
def pretended(monkeypatch):
    return pretend_cuda(monkeypatch)


def losing(pretended, error=None, *, when=lambda: True):
    """A builder whose forward ends the device's work, and raises where it is asked to."""

    def build(on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            if when():
                pretended.lost = LOST
                if error is not None:
                    raise error
            return norm(x, weight, bias)

        return forward

    return build


def on_cuda(entries):
    return cases(entries, workload(8, 16, device="cuda"))


@pytest.mark.parametrize("name", ERRORS)
def test_whatever_says_that_the_device_is_lost_the_process_is_left_and_nobody_else_is_blamed(pretended, name):
    made, heard = on_cuda({"guilty": losing(pretended, ERRORS[name]), "one": zoo.honest, "other": zoo.honest})

    with pytest.raises(SpoiledProcessError, match="illegal memory access"):
        made.build_all()

    assert list(heard.ends()) == [0]


@pytest.mark.parametrize("name", sorted(set(ERRORS) - {"unsupported", "wrong"}))
def test_the_same_words_while_the_device_works_cost_that_case_alone(pretended, name):
    def build(on):
        raise ERRORS[name]

    made, heard = on_cuda({"fails": build, "one": zoo.honest})

    made.build_all()

    assert [end.status for end in heard.ends().values()] == [Status.ERROR]
    assert list(made.live) == [1]


def test_a_case_that_loses_the_device_without_a_word_ends_with_what_the_device_says(pretended):
    class Silent(Rows):
        """Waits for its own stream alone, as another framework does."""

        def forward(self):
            pretended.lost = LOST
            return super().forward()

    made, heard = on_cuda({"guilty": lambda on, arrays: Silent(on, arrays), "one": zoo.honest})

    with pytest.raises(SpoiledProcessError):
        made.build_all()

    (end,) = heard.ends().values()
    assert (end.case, end.status, end.stage) == (0, Status.ERROR, Stage.BUILD)
    assert end.reason == ("the device was lost after its calls: CUDA error: an illegal memory access was encountered")


def test_a_case_that_loses_the_device_while_it_is_judged_or_timed_is_the_one_that_ends(pretended):
    for stage in (Stage.VERIFY, Stage.TIMING):
        loses = []
        pretended.lost = None
        made, heard = on_cuda({"guilty": losing(pretended, when=lambda loses=loses: bool(loses)), "one": zoo.honest})
        made.build_all()
        loses.append(True)

        with pytest.raises(SpoiledProcessError):
            Judge(made, judged={}).before() if stage is Stage.VERIFY else timed(made, heard, ScriptedSampler())

        assert [(end.case, end.status) for end in heard.ends().values()] == [(0, Status.ERROR)]


def test_a_device_that_works_is_not_lost_and_the_cpu_never_is(pretended):
    assert lost_device("cuda") == ""
    assert pretended.waits == 1

    pretended.lost = LOST

    assert lost_device("cuda:0") == "CUDA error: an illegal memory access was encountered"
    assert lost_device("cpu") == ""
