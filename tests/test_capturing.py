"""Cases captured into CUDA graphs, by a stand-in that writes operations of the CPU down and runs them again."""

from types import SimpleNamespace

import pytest
import torch
from fake_graphs import TapeCapturer
from stage import cases, timed, workload

from lnbench.events import L2_HOT, Verified
from lnbench.measure.graphs import TorchCapturer
from lnbench.measure.probe import Probe
from lnbench.measure.sampler import Sample, step_phases
from lnbench.planned import Stage, Status
from lnbench.worker.captured import Captured, CapturedCopies
from lnbench.worker.capturing import FreshGradients, capture_all, check_replays
from lnbench.worker.cases import SpoiledProcessError
from lnbench.worker.graph_sizes import GraphSize, cold_pairs, graph_size
from lnbench.workload import Clock, Phase

pytestmark = pytest.mark.usefixtures("one_thread")

KIB = 1 << 10
L2_B = 64 * KIB
ROWS = workload(16, 64)  # 4 KiB of x


def captured(entries, on=ROWS, *, capturer=None, phases=tuple(Phase), launches=None, **fields):
    """The cases after their capture, what was heard, and the capturer."""
    capturer = capturer or TapeCapturer()
    made, heard = cases(entries, on, pairs=cold_pairs(on, l2_b=L2_B), clock=Clock.GRAPH, **fields)
    made.build_all()
    capture_all(made, capturer, phases=phases, l2_b=L2_B, launches=launches or {})
    return made, heard, capturer


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("fused", {}),
        ("eager", {}),
        ("rms_norm", {}),
        ("batch_norm", {"norm_mode": "train"}),
        ("batch_norm", {"norm_mode": "eval"}),
        ("add_layer_norm", {}),
    ],
)
@pytest.mark.parametrize("cache", ["hot", "cold"])
def test_what_replays_give_is_right_on_values_that_came_after_the_capture(name, fields, cache):
    made, heard, capturer = captured({"it": name}, workload(16, 64, cache=cache), **fields)

    check_replays(made, "before")
    check_replays(made, "after")

    assert heard.ends() == {}
    assert [event.moment for event in heard.of(Verified)] == ["before", "after"]
    assert all(share <= 1 for event in heard.of(Verified) for share in event.share_of_tolerance.values())
    assert {"y", "inference_y", "dx"} <= set(heard.of(Verified)[0].share_of_tolerance)
    assert [graph.replays for graph in capturer.graphs] == [2, 2, 2]


def test_a_result_that_no_replay_brings_up_to_date_is_wrong_on_the_graph_clock_alone():
    def by_the_host(workload):
        def forward(x, weight, bias):
            row_mean = torch.from_numpy(x.detach().numpy().mean(-1, keepdims=True))  # what a graph does not record
            centred = x - row_mean
            return centred * (centred.square().mean(-1, keepdim=True) + workload.eps).rsqrt() * weight + bias

        return forward

    made, heard, _ = captured({"stale": by_the_host, "fused": "fused"}, phases=(Phase.INFERENCE,))

    check_replays(made, "before")

    end = heard.ends()[0]
    assert (end.status, end.stage, end.clock) == (Status.WRONG, Stage.VERIFY, Clock.GRAPH)
    assert end.reason.startswith("replayed from a CUDA graph, inference_y is off by")
    assert list(made.live) == [1]


def test_each_graph_is_warmed_up_and_backward_shares_the_memory_of_forward_alone():
    _, _, capturer = captured({"fused": "fused"})
    inference, forward, backward = capturer.graphs

    assert capturer.warmed == 2
    assert backward.pool() is forward.pool()
    assert inference.pool() is not forward.pool()


def test_only_the_phases_that_are_asked_for_are_captured():
    _, _, inference = captured({"fused": "fused"}, phases=(Phase.INFERENCE,))
    _, _, step = captured({"fused": "fused"}, phases=(Phase.BACKWARD,))

    assert (len(inference.graphs), len(step.graphs)) == (1, 2)


def test_a_capture_that_is_refused_ends_that_row_with_the_reason_and_leaves_the_process():
    made, heard = cases({"fused": "fused"}, ROWS, clock=Clock.GRAPH)
    made.build_all()

    with pytest.raises(SpoiledProcessError, match="the capture of fused failed"):
        capture_all(made, TapeCapturer(refuses=frozenset({1})), phases=tuple(Phase), l2_b=L2_B, launches={})

    end = heard.ends()[0]
    assert (end.status, end.stage, end.clock) == (Status.UNSUPPORTED, Stage.CAPTURE, Clock.GRAPH)
    assert end.reason == (
        "it can't be captured into a CUDA graph: RuntimeError: CUDA error: operation not permitted when stream is "
        "capturing"
    )


def test_running_out_of_memory_while_capturing_is_told_as_that():
    class Full(TapeCapturer):
        def capture(self, call, *, beside=None):
            raise torch.OutOfMemoryError("CUDA out of memory")

    made, heard = cases({"fused": "fused"}, ROWS, clock=Clock.GRAPH)
    made.build_all()

    with pytest.raises(SpoiledProcessError):
        capture_all(made, Full(), phases=tuple(Phase), l2_b=L2_B, launches={})

    assert heard.ends()[0].status is Status.OOM


def test_work_on_a_stream_of_its_own_is_not_captured_and_the_others_are():
    made, heard = cases({"elsewhere": "fused", "fused": "fused"}, ROWS, clock=Clock.GRAPH)
    made.build_all()
    made.live[0].prepared.on_torch_stream = False

    capture_all(made, TapeCapturer(), phases=tuple(Phase), l2_b=L2_B, launches={})

    assert (heard.ends()[0].status, heard.ends()[0].clock) == (Status.UNSUPPORTED, Clock.GRAPH)
    assert "which PyTorch can't capture" in heard.ends()[0].reason
    assert list(made.live) == [1]


def test_a_backward_that_writes_into_dy_is_not_captured_and_its_inference_is():
    made, heard = cases({"in_place": "fused"}, ROWS, clock=Clock.GRAPH)
    made.build_all()
    made.live[0].prepared.renew_dy = lambda: None

    capture_all(made, TapeCapturer(), phases=(Phase.INFERENCE,), l2_b=L2_B, launches={})
    assert heard.ends() == {}

    made.live[0].prepared.renew_dy = lambda: None
    capture_all(made, TapeCapturer(), phases=tuple(Phase), l2_b=L2_B, launches={})
    assert heard.ends()[0].reason.startswith("its backward writes into dy")


def test_what_replays_graphs_of_its_own_is_not_captured_and_costs_no_process():
    made, heard = cases({"graphs": "fused"}, ROWS, clock=Clock.GRAPH)
    made.build_all()
    made.live[0].prepared.overwrites_results = True

    capture_all(made, TapeCapturer(), phases=tuple(Phase), l2_b=L2_B, launches={})

    assert heard.ends()[0].status is Status.UNSUPPORTED
    assert "graphs of its own" in heard.ends()[0].reason


def test_a_step_in_one_piece_is_captured_as_its_parts():
    made, heard = cases({"fused": "fused"}, ROWS, clock=Clock.GRAPH)
    made.build_all()
    made.live[0].prepared.forward_backward = lambda: None
    whole = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)

    capture_all(made, TapeCapturer(), phases=whole, l2_b=L2_B, launches={})
    made.live[0].prepared.backward(made.live[0].prepared.forward())

    assert heard.ends() == {}


def test_the_error_of_a_refused_capture_is_the_call_s_own_and_not_the_one_that_ends_the_capture():
    class Graph:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            raise RuntimeError("operation failed due to a previous error during capture")

    capturer = object.__new__(TorchCapturer)
    capturer._cuda = SimpleNamespace(CUDAGraph=object, graph=lambda graph, pool: Graph())

    def full():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        capturer.capture(full)
    with pytest.raises(RuntimeError, match="previous error"):
        capturer.capture(lambda: None)


def test_the_calls_of_a_cold_graph_read_a_pair_each_and_keep_results_of_their_own():
    made, _, _ = captured({"fused": "fused"}, workload(16, 64, cache="cold"))
    case = made.live[0].prepared

    assert (case.calls_per_replay, case.checked_calls) == (2 * L2_B // ROWS.x_bytes, (0, 31))
    case.outputs()
    first, last = (case.results(call)["y"] for call in case.checked_calls)
    assert not torch.equal(first, last)
    assert torch.allclose(last, torch.nn.functional.layer_norm(made.arrays.x[31], (64,), *parameters(made)), atol=1e-5)


def parameters(made):
    return [it.detach() for it in made.arrays.parameters(made.live[0].function)]


def test_where_a_graph_can_t_fill_l2_twice_the_row_says_that_l2_is_hot():
    tiny = workload(1, 64, cache="cold")  # 256 bytes of x: 512 calls would be needed
    _, heard, _ = captured({"fused": "fused"}, tiny, phases=(Phase.INFERENCE,), launches={0: 10.0})

    assert heard.notices()[L2_HOT].startswith("L2 hot: the inputs of the 100 calls that a graph holds take 25.0 KiB")


def test_a_fresh_gradient_is_what_the_next_backward_reads():
    made, _, _ = captured({"fused": "fused"})
    case, renew = made.live[0].prepared, FreshGradients(made.arrays)
    drawn = made.arrays.dy[0].clone()

    gradients = []
    for _ in range(2):
        case.forward()
        renew()
        case.backward(None)
        gradients.append(case.results(case.checked_calls[0])["dx"].clone())

    assert torch.equal(made.arrays.dy[0], -drawn)
    assert torch.allclose(gradients[0], -gradients[1], atol=1e-6)


def test_replays_take_their_turns_as_calls_do():
    class Sampler:
        def sample_inference(self, work, calls):
            assert isinstance(work, Captured)
            work.inference()
            return Sample(graph_s={"inference": 1e-6}, graph_calls=calls * work.calls_per_replay)

        def sample_step(self, work, calls):
            work.backward(work.forward())
            return Sample(graph_s=step_phases(1e-6, 2e-6), graph_calls=calls * work.calls_per_replay)

        sample_one_piece = None

        def sample_copy(self, copies, name, calls):
            return Sample(graph_s={name: 1e-6}, graph_calls=calls)

    made, heard, _ = captured({"fused": "fused", "eager": "eager"})

    turns = timed(made, heard, Sampler(), clock=Clock.GRAPH)

    own = [turn for turn in turns if turn.case >= 0]
    assert {turn.case for turn in own} == {0, 1}
    assert all(set(turn.graph_s) == set(Phase) for turn in own)
    assert all(turn.graph_calls["inference"] % made.live[turn.case].prepared.calls_per_replay == 0 for turn in own)
    assert not any(turn.wall_s or turn.device_s for turn in own)


def test_the_probe_s_copies_go_round_the_pairs_in_graphs_of_their_own():
    made, _, capturer = captured({"fused": "fused"}, workload(16, 64, cache="cold"))
    size = GraphSize(calls=6, pairs=3, keeps_results=True, is_l2_hot=False)
    copies = CapturedCopies(Probe(*made.arrays.dense()), capturer, size=size)

    copies.pieces["copy"]()

    assert copies.calls_per_replay == 6
    assert set(copies.pieces) == {"copy", "step_copy", "launch"}
    assert len(capturer.graphs[-3].operations) == 6


@pytest.mark.parametrize(
    ("shape", "cache", "nodes", "calls", "is_l2_hot"),
    [
        ((1, 4096), "hot", 1, 100, False),  # 8 KiB: as many as a graph holds
        ((1, 4096), "hot", 25, 40, False),  # at most 1,000 kernels
        ((1, 4096), "hot", None, 50, False),  # 20 kernels a call where they were not counted
        ((256, 4096), "hot", 1, 8, False),  # 2 MiB: three fit into half of L2, eight spread what a replay costs
        ((65536, 4096), "hot", 1, 1, False),  # 512 MiB: nothing to spread
        ((256, 4096), "cold", 1, 50, False),
        ((256, 4096), "cold", 30, 33, True),
        ((1, 4096), "cold", 1, 1000, True),
        ((65536, 4096), "cold", 1, 1, False),
    ],
)
def test_a_graph_holds_as_many_calls_as_leave_l2_hot_or_cold(shape, cache, nodes, calls, is_l2_hot):
    on = workload(*shape, dtype="bfloat16", cache=cache)

    size = graph_size(on, l2_b=50 << 20, nodes=nodes)

    assert (size.calls, size.is_l2_hot) == (calls, is_l2_hot)
    assert size.pairs == (1 if cache == "hot" else calls)
    assert size.pairs <= cold_pairs(on, l2_b=50 << 20)
