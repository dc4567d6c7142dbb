"""The timing mistakes of other benchmarks, 1 to 9: what happens between two stamps, on the host and on a device."""

import pytest
import torch
import zoo
from fabricate import case, run, turn
from fabricate import workload as planned_workload
from fake_clocks import HostClock, HostWork, Stream, StreamWork
from stage import OperationLog, cases, prepared, timed, workload

from lnbench.measure.cuda import CudaSampler
from lnbench.measure.sampler import HostSampler, Rotation
from lnbench.summaries import summarize
from lnbench.workload import Clock, Phase

pytestmark = pytest.mark.usefixtures("one_thread")


class Spy:
    """Layer norm that notes what its steps are asked for."""

    def __init__(self):
        self.upstream: list[torch.Tensor] = []
        self.grad_modes: list[bool] = []
        self.log: list[str] = []

    def __call__(self, on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            self.grad_modes.append(torch.is_grad_enabled())
            self.log.append("forward")
            y = norm(x, weight, bias)
            if y.requires_grad:
                y.register_hook(self._seen)
            return y

        return forward

    def _seen(self, dy):
        self.log.append("backward")
        self.upstream.append(dy)


@pytest.mark.parametrize("entry", ["fused", "module", "eager"])
def test_mistake_01_gradients_do_not_accumulate_in_the_timed_loop(entry):
    work, _ = prepared(entry, workload(8, 16))
    first = [gradient.clone() for gradient in work.backward(work.forward())]

    HostSampler().sample_step(work, 5)

    leaves = [*work._wanted(work._leaves[0])]
    assert [leaf.grad for leaf in leaves] == [None] * len(leaves)
    assert all(map(torch.equal, work.backward(work.forward()), first))


def test_mistake_02_backward_is_stamped_itself_and_never_a_difference_of_two_measurements():
    clock = HostClock()
    work = HostWork(clock, inference_ns=100, forward_ns=300, backward_ns=500)
    sampler = HostSampler(now=clock)

    inference, step = sampler.sample_inference(work, 4).wall_s, sampler.sample_step(work, 4).wall_s

    # forward_backward less the forward of another gradient mode would read 700 ns.
    assert step["backward"] == pytest.approx(500e-9)
    assert step["forward"] == pytest.approx(300e-9)
    assert inference["inference"] == pytest.approx(100e-9)


def test_mistake_02_forward_is_measured_in_the_gradient_mode_of_the_step():
    spy = Spy()
    made, heard = cases({"spy": spy}, workload(8, 16))
    made.build_all()
    spy.grad_modes.clear()

    timed(made, heard, HostSampler(), phases=(Phase.FORWARD, Phase.BACKWARD))

    assert set(spy.grad_modes) == {True}


class OwnWork(HostWork):
    """Host work whose parts a test writes itself."""

    forward = backward = None

    def __init__(self, **parts):
        super().__init__(HostClock())
        self.__dict__ |= parts


def test_mistake_03_every_backward_runs_on_the_graph_of_the_forward_just_before():
    seen = []

    def forward():
        graph = object()
        seen.append(("forward", graph))
        return graph

    HostSampler().sample_step(OwnWork(forward=forward, backward=lambda graph: seen.append(("backward", graph))), 3)

    graphs = [graph for part, graph in seen if part == "forward"]
    assert seen == [(part, graph) for graph in graphs for part in ("forward", "backward")]


def test_mistake_03_no_second_graph_is_alive_while_a_step_runs():
    alive, most = set(), []

    class Graph:
        def __init__(self):
            alive.add(id(self))
            most.append(len(alive))

        def __del__(self):
            alive.discard(id(self))

    work = OwnWork(forward=Graph, backward=lambda saved: (Graph(),))

    HostSampler().sample_step(work, 4)

    assert most == [1, 2] * 4  # y alone, then y and the gradients; nothing of the step before


@pytest.mark.parametrize("entry", ["fused", "eager"])
def test_mistake_04_the_graph_is_not_retained(entry):
    work, _ = prepared(entry, workload(8, 16))
    y = work.forward()
    work.backward(y)

    with pytest.raises(RuntimeError, match="second time"):
        work.backward(y)


def stamping_sampler(log):
    """A sampler that writes every stamp of a sample into a log."""
    sampler = HostSampler(now=lambda: log.append("stamp") or 0)
    log.clear()
    return sampler


def test_mistake_05_nothing_but_forward_and_backward_happens_between_the_stamps():
    log = []
    work, _ = prepared("fused", workload(8, 16))
    sampler = stamping_sampler(log)

    with OperationLog(log):
        sampler.sample_step(work, 2)

    assert log == ["stamp", "native_layer_norm", "stamp", "native_layer_norm_backward", "stamp", "stamp"] * 2


def test_mistake_05_nothing_but_the_forward_happens_in_an_inference_sample():
    log = []
    work, _ = prepared("fused", workload(8, 16))
    sampler = stamping_sampler(log)

    with OperationLog(log), work.without_gradients():
        sampler.sample_inference(work, 2)

    assert log == ["stamp", "native_layer_norm", "native_layer_norm", "stamp"]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_mistake_06_the_upstream_gradient_is_dense_and_random(layout):
    spy = Spy()
    work, arrays = prepared(spy, workload(8, 16, 4, 4, norm_dims=3, layout=layout))

    HostSampler().sample_step(work, 3)

    assert len(spy.upstream) == 3
    for dy in spy.upstream:
        assert dy.data_ptr() == arrays.dy[0].data_ptr()
        assert dy.stride() == arrays.x[0].stride()
        assert dy.unique().numel() > dy.numel() / 2


class CountingStream(Stream):
    """A stream that counts how often the host waits for it."""

    waits = 0

    def wait(self):
        self.waits += 1
        super().wait()


@pytest.mark.parametrize("calls", [1, 40])
def test_mistake_07_the_wall_clock_waits_for_the_device_once_per_sample_and_not_per_call(calls):
    stream = CountingStream(launch_s=5e-6)
    sampler = CudaSampler(stream, now=stream.host)
    stream.waits = 0

    sample = sampler.sample_inference(StreamWork(stream, inference_s=100e-6), calls)

    # Without waiting it would read the 5 us of a launch; waiting at each call, 105 us for every count of calls.
    assert sample.wall_s["inference"] == pytest.approx((5e-6 + calls * 100e-6) / calls)
    assert stream.waits == 4  # before and after, for each of the two clocks


def test_mistake_08_launch_time_stays_out_of_the_device_clock():
    stream = Stream(launch_s=20e-6)
    work = StreamWork(stream, inference_s=1e-6)
    naive_start = stream.record()
    work.inference()
    naive_end = stream.record()
    stream.wait()

    sample = CudaSampler(stream, now=stream.host).sample_inference(work, 20)

    assert stream.elapsed_s(naive_start, naive_end) == pytest.approx(40e-6)
    assert sample.device_s["inference"] == pytest.approx(1e-6)
    assert sample.wall_s["inference"] > 20e-6


@pytest.mark.parametrize(
    ("phase", "take"),
    [
        ("inference", lambda sampler, work: sampler.sample_inference(work, 40)),
        ("forward_backward", lambda sampler, work: sampler.sample_step(work, 24)),
    ],
)
def test_mistake_08_a_sample_that_the_host_did_not_stay_ahead_of_is_dropped_and_the_next_waits_longer(phase, take):
    stream = Stream(launch_s=50e-6)
    sampler = CudaSampler(stream, now=stream.host)
    work = StreamWork(stream, inference_s=2e-6, forward_s=1e-6, backward_s=1e-6)
    stream.spins.clear()

    # 24 steps of two launches and three events, and 40 inferences of one and two, take the host 6 ms.
    samples = [take(sampler, work).device_s for _ in range(4)]

    assert stream.spins[0] == 2e-3
    assert min(stream.spins[1:]) > 6e-3
    assert [bool(sample) for sample in samples] == [False, True, True, True]
    assert samples[-1][phase] == pytest.approx(2e-6)


def test_mistake_08_a_row_that_is_all_launches_says_so():
    fused = planned_workload(device="cuda", clocks=(Clock.WALL, Clock.DEVICE))
    turns = [
        turn(0, 20e-6, round=n, started_s=n, device_s={"inference": 1e-6, "forward_backward": 2e-6}) for n in range(8)
    ]

    rows = summarize(run([fused], [case("fused")], turns))

    noticed = {(row.phase, row.clock) for row in rows if "launch-bound" in {notice.code for notice in row.notices}}
    assert (Phase.INFERENCE, Clock.DEVICE) in noticed


class CachedStream(Stream):
    """A stream whose kernels are slower after a displacement."""

    l2 = False

    def displace(self):
        super().displace()
        self.l2 = False

    def read(self):
        self.enqueue(10e-6 if self.l2 else 50e-6)
        self.l2 = True


class CachedWork(StreamWork):
    """Inference on such a stream."""

    @property
    def inference(self):
        return self.stream.read


def test_mistake_09_cold_calls_find_nothing_in_l2_and_the_displacement_is_not_timed():
    stream = CachedStream(displace_s=500e-6)
    work = CachedWork(stream)
    work.inference()

    hot = CudaSampler(stream, now=stream.host).sample_inference(work, 20)
    cold = CudaSampler(stream, cold=True, now=stream.host).sample_inference(work, 20)

    assert hot.device_s["inference"] == pytest.approx(10e-6)
    assert cold.device_s["inference"] == pytest.approx(50e-6)
    assert cold.wall_s == {}


def test_mistake_09_cold_calls_on_the_host_walk_through_all_buffers_and_selecting_is_not_timed():
    clock = HostClock()
    work = HostWork(clock, inference_ns=100, forward_ns=300, backward_ns=500, select_ns=10_000)
    sampler = HostSampler(rotation=Rotation(7, seed=3), now=clock)

    inference = sampler.sample_inference(work, 7)
    step = sampler.sample_step(work, 7)

    for part in ("inference", "forward", "backward"):
        assert sorted(pair for name, pair in work.calls if name == part) == list(range(7))
    assert inference.wall_s["inference"] == pytest.approx(100e-9)
    assert step.wall_s["forward_backward"] == pytest.approx(800e-9)
