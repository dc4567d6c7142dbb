"""A worker's orders on a pretended CUDA device: its clocks, and captures on tapes in place of CUDA graphs."""

import pytest
import torch
from fabricate import case
from fake_clocks import Stream
from fake_graphs import pretend_graphs
from pretended_cuda import L2_B, pretend_cuda
from stage import Heard, workload

from lnbench.events import Ended, Noticed, Turn, Verified, WorkloadFinished
from lnbench.measure.graphs import WARM_UPS, TorchCapturer
from lnbench.observed import Launching
from lnbench.planned import PlannedWorkload, Stage, Status
from lnbench.worker.graph_sizes import LEAST_HOT_CALLS
from lnbench.worker.protocol import Measure, Setup
from lnbench.worker.session import Session
from lnbench.workload import Clock, Phase

pytestmark = pytest.mark.usefixtures("one_thread")

OPERATION_S = 2e-6
SETUP = Setup(process=1, worker=0, device="cuda", threads=1, allocator="system")


class Leaving(Exception):  # noqa: N818  # no error, but what stands for the end of a process
    """The worker has said that it leaves."""


class Channel(Heard):
    """A channel of a process that a test looks into; it does not end with it."""

    def leave(self):
        raise Leaving


@pytest.fixture
def device(monkeypatch):
    """A pretended device whose graphs take OPERATION_S for each operation."""
    stream = Stream(launch_s=1e-6)
    made = pretend_cuda(monkeypatch, stream)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (70 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    made.graphs = pretend_graphs(monkeypatch, on_replay=lambda count: stream.enqueue(count * OPERATION_S)).graphs
    return made


def order(*names, clocks=tuple(Clock), on_graph=False, phases=tuple(Phase), **axes):
    on = workload(8, 32, device="cuda", **axes)
    return Measure(
        index=0,
        workload=PlannedWorkload(id="it", workload=on, reference=names[0], phases=phases, clocks=clocks),
        cases={number: case(name) for number, name in enumerate(names)},
        precision=0.5,
        budget_s=0.02,
        seed=3,
        on_graph=on_graph,
    )


def measured(*orders):
    heard = Channel()
    session = Session(heard, SETUP, started=0.0)
    for one in orders:
        session.measure(one)
    return heard


def test_the_graph_clock_s_worker_times_replays_alone_and_verifies_them_before_and_after(device):
    heard = measured(order("fused", "eager", on_graph=True))

    turns = [turn for turn in heard.of(Turn) if turn.case >= 0]
    assert {turn.case for turn in turns} == {0, 1}
    assert all(set(turn.graph_s) == set(Phase) and not turn.wall_s and not turn.device_s for turn in turns)
    assert [event.moment for event in heard.of(Verified)] == ["before"] * 2 + ["after"] * 2
    (finished,) = heard.of(WorkloadFinished)
    assert finished.on_graph
    assert heard.of(Ended) == []


def test_a_call_takes_its_share_of_the_operations_of_a_replay(device):
    heard = measured(order("fused", on_graph=True, phases=(Phase.INFERENCE,)))

    inference = device.graphs[0]
    turns = [turn for turn in heard.of(Turn) if turn.case == 0]
    assert turns
    for turn in turns:
        assert turn.graph_calls["inference"] % LEAST_HOT_CALLS == 0  # not even one call fits into half of L2
        assert turn.graph_s["inference"] == pytest.approx(len(inference.operations) * OPERATION_S / LEAST_HOT_CALLS)


def test_the_probe_s_copies_are_on_the_graph_clock_too(device):
    heard = measured(order("fused", on_graph=True))

    assert {name for turn in heard.of(Turn) if turn.case < 0 for name in turn.graph_s} == {
        "copy",
        "step_copy",
        "launch",
    }


def test_a_refused_capture_ends_the_graph_s_row_and_the_worker_leaves(device, monkeypatch):
    def refused(graph, pool=None):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refused)
    heard = Channel()
    session = Session(heard, SETUP, started=0.0)

    with pytest.raises(Leaving):
        session.measure(order("fused", on_graph=True))

    (end,) = heard.of(Ended)
    assert (end.status, end.stage, end.clock) == (Status.UNSUPPORTED, Stage.CAPTURE, Clock.GRAPH)


def test_cold_graphs_go_round_pairs_that_fill_l2_twice(device):
    heard = measured(order("fused", on_graph=True, cache="cold"))

    turns = [turn for turn in heard.of(Turn) if turn.case == 0]
    assert turns
    assert all(turn.graph_calls["inference"] % (2 * L2_B // (8 * 32 * 4)) == 0 for turn in turns)
    assert "l2-hot" not in heard.notices()


def test_the_first_worker_takes_the_batch_clock_only_where_it_is_asked_for_and_caches_are_hot(device):
    found = {
        (clocks, cache): {
            turn.case for turn in measured(order("fused", clocks=clocks, cache=cache)).of(Turn) if turn.batch_s
        }
        for clocks in ((Clock.DEVICE,), (Clock.DEVICE, Clock.BATCH))
        for cache in ("hot", "cold")
    }

    assert [key for key, cases in found.items() if 0 in cases] == [((Clock.DEVICE, Clock.BATCH), "hot")]


def test_what_the_graph_clock_alone_was_asked_for_is_judged_by_the_first_worker_and_timed_by_the_second(device):
    first = measured(order("fused", clocks=(Clock.GRAPH,)))
    second = measured(order("fused", clocks=(Clock.GRAPH,), on_graph=True))

    assert first.of(Turn) == []
    assert {event.moment for event in first.of(Verified)} == {"before", "after"}
    assert [(event.rounds, event.on_graph) for event in first.of(WorkloadFinished)] == [(0, False)]
    assert [event.on_graph for event in second.of(WorkloadFinished)] == [True]


def test_every_process_reports_what_the_host_needs_to_enqueue_a_call(device):
    (found,) = measured(order("fused")).of(Launching)

    assert set(found.host_overhead_s) == set(Phase)
    assert found.host_overhead_s["forward_backward"] == pytest.approx(
        found.host_overhead_s["forward"] + found.host_overhead_s["backward"]
    )
    assert (found.kernel_s, found.launches) == ({}, {})  # the first process counts kernels


def test_the_first_process_counts_kernels_and_says_so_where_it_sees_none(device, monkeypatch):
    monkeypatch.setattr("lnbench.worker.session.TorchProfiler", lambda wait: Kernels())
    first = SETUP.model_copy(update={"process": 0})

    def launching(kernels):
        monkeypatch.setattr(Kernels, "seen", kernels)
        heard = Channel()
        Session(heard, first, started=0.0).measure(order("fused"))
        return heard

    (found,) = launching((1e-6, 3e-6)).of(Launching)
    assert found.kernel_s == pytest.approx(
        {"inference": 0.8e-6, "forward": 0.8e-6, "backward": 0.8e-6, "forward_backward": 1.6e-6}
    )
    assert found.launches == {"inference": 0.4, "forward": 0.4, "backward": 0.4, "forward_backward": 0.8}

    silent = launching(())
    assert silent.of(Launching)[0].kernel_s == {}
    assert "saw no kernel" in texts(silent)["no-kernel-times"]


def test_no_host_time_is_taken_after_the_profiler_has_looked_on(device, monkeypatch):
    happened = []

    class Profiler:
        def kernels_s(self, work):
            happened.append("kernels")
            return [1e-6]

    def host(clock, parts):
        happened.append("host")
        return dict.fromkeys(parts, 1e-6)

    monkeypatch.setattr("lnbench.worker.session.TorchProfiler", lambda wait: Profiler())
    monkeypatch.setattr("lnbench.worker.session.measure_memory", lambda cases: None)
    monkeypatch.setattr("lnbench.worker.launching.host_overhead_s", host)

    Session(Channel(), SETUP.model_copy(update={"process": 0}), started=0.0).measure(order("fused", "eager"))

    assert happened == sorted(happened)
    assert set(happened) == {"host", "kernels"}


def test_a_profiler_that_fails_costs_no_case_its_rows(device, monkeypatch):
    class Broken:
        def kernels_s(self, work):
            raise AssertionError("Legacy CUDA profiling requires use_cpu=True")

    monkeypatch.setattr("lnbench.worker.session.TorchProfiler", lambda wait: Broken())
    monkeypatch.setattr("lnbench.worker.session.measure_memory", lambda cases: None)
    heard = Channel()

    Session(heard, SETUP.model_copy(update={"process": 0}), started=0.0).measure(order("fused", "eager"))

    assert heard.of(Ended) == []
    assert len(heard.of(Launching)) == 2
    assert "Legacy CUDA profiling" in texts(heard)["no-kernel-times"]


def test_a_profiler_that_fails_after_the_first_kernels_is_reported_too(device, monkeypatch):
    class Failing:
        looks = 0

        def kernels_s(self, work):
            work()
            self.looks += 1
            if self.looks > 1:
                raise RuntimeError("the buffer is full")
            return [1e-6]

    monkeypatch.setattr("lnbench.worker.session.TorchProfiler", lambda wait: Failing())
    monkeypatch.setattr("lnbench.worker.session.measure_memory", lambda cases: None)
    heard = Channel()

    Session(heard, SETUP.model_copy(update={"process": 0}), started=0.0).measure(order("fused", "eager"))

    assert texts(heard)["no-kernel-times"].startswith("some kernel times were not measured: RuntimeError: the buffer")


def texts(heard):
    return {event.notice.code: event.notice.text for event in heard.of(Noticed)}


class Kernels:
    """A profiler that sees the same kernels in whatever it looks at."""

    seen: tuple[float, ...] = ()

    def kernels_s(self, work):
        work()
        return self.seen


def test_pytorch_warms_up_on_a_side_stream_and_captures_backward_into_the_pool_of_forward(device, monkeypatch):
    pretended = pretend_graphs(monkeypatch)
    capturer, calls = TorchCapturer("cuda"), []

    capturer.warm_up(lambda: calls.append(None))
    forward = capturer.capture(lambda: torch.ones(2) + 1)
    backward = capturer.capture(lambda: torch.ones(2) + 1, beside=forward)

    assert len(calls) == WARM_UPS
    assert pretended.log == ["side waits for main", "on side", "main waits for side", "capture", "capture"]
    assert backward.pool() is forward.pool()
