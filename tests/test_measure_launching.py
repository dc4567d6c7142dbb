"""What launching takes: the host's time to enqueue, and the kernels that a profiler sees."""

from types import SimpleNamespace

import pytest
from fake_clocks import Stream
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from lnbench.measure.host_overhead import BLOCKS, CALLS, host_overhead_s
from lnbench.measure.kernels import CALLS as PROFILED
from lnbench.measure.kernels import KernelUse, TorchProfiler, kernel_use


def parts_of(stream, *, waits=False, forward=1, backward=2):
    """A step of so many launches each; with `waits` its backward waits for the device."""

    def run(launches):
        for _ in range(launches):
            stream.enqueue(5e-6)
        if waits:
            stream.wait()

    return {"forward": lambda _: run(forward), "backward": lambda _: run(backward)}


def test_the_host_s_time_is_that_of_its_launches_part_by_part_whatever_the_device_takes():
    stream = Stream(launch_s=20e-6)

    found = host_overhead_s(stream, parts_of(stream), now=stream.host)

    assert found == pytest.approx({"forward": 20e-6, "backward": 40e-6})


def test_each_part_takes_what_the_one_before_gave():
    stream, given = Stream(), []
    parts = {"forward": lambda _: "y", "backward": given.append}

    host_overhead_s(stream, parts, now=stream.host)

    assert given == ["y"] * BLOCKS * (CALLS + 1)


def test_work_that_waits_for_the_device_has_no_time_of_the_host_alone():
    stream = Stream(launch_s=1e-6)

    assert host_overhead_s(stream, parts_of(stream, waits=True), now=stream.host) == {}


def test_one_slow_block_does_not_move_the_figure():
    stream, calls = Stream(launch_s=20e-6), []

    def inference(_):
        calls.append(None)
        stream.host.take(50e6 if len(calls) == 70 else 0)  # as long as a time slice of a neighbour

        return stream.enqueue(1e-6)

    found = host_overhead_s(stream, {"inference": inference}, now=stream.host)

    assert found == pytest.approx({"inference": 20e-6})


class Kernels:
    """A profiler that sees what is launched while it looks."""

    def __init__(self):
        self.seen = None

    def launch(self, seconds):
        if self.seen is not None:
            self.seen.append(seconds)

    def kernels_s(self, work):
        self.seen, found = [], []
        work()
        found, self.seen = self.seen, None
        return found


def test_kernels_are_counted_and_summed_for_a_call_of_each_part():
    profiler, handed = Kernels(), []

    def forward(_):
        profiler.launch(3e-6)
        profiler.launch(1e-6)
        return "y"

    def backward(y):
        handed.append(y)
        profiler.launch(7e-6)

    found = kernel_use(profiler, {"forward": forward, "backward": backward})

    assert found["forward"] == KernelUse(pytest.approx(4e-6), 2)
    assert found["backward"] == KernelUse(pytest.approx(7e-6), 1)
    assert handed == ["y"] * (PROFILED + 1)


def test_what_a_first_call_launches_beside_its_work_is_not_counted():
    profiler, calls = Kernels(), []

    def inference(_):
        calls.append(None)
        for _ in range(9 if len(calls) == 1 else 1):
            profiler.launch(2e-6)

    assert kernel_use(profiler, {"inference": inference}) == {"inference": KernelUse(pytest.approx(2e-6), 1)}


def test_a_profiler_that_sees_nothing_gives_no_figures():
    assert kernel_use(Kernels(), {"inference": lambda _: None}) == {}


def test_of_what_pytorch_s_profiler_saw_kernels_copies_and_fills_count_and_nothing_of_the_host(monkeypatch):
    waits = []

    class Profile:
        def __init__(self, *, activities):
            assert activities == [ProfilerActivity.CUDA]

        def __enter__(self):
            waits.append("begins")
            return self

        def __exit__(self, *error):
            waits.append("ends")

        def events(self):
            return [
                event(DeviceType.CPU, 900.0),
                event(DeviceType.CUDA, 3.0),
                event(DeviceType.CUDA, 1.5),
                event(DeviceType.CUDA, 500.0, is_user_annotation=True),
            ]

    def event(device_type, microseconds, *, is_user_annotation=False):
        return SimpleNamespace(
            device_type=device_type,
            is_user_annotation=is_user_annotation,
            time_range=SimpleNamespace(elapsed_us=lambda: microseconds),
        )

    monkeypatch.setattr("torch.profiler.profile", Profile)

    found = TorchProfiler(lambda: waits.append("waits")).kernels_s(lambda: waits.append("works"))

    assert found == pytest.approx([3e-6, 1.5e-6])
    assert waits == ["waits", "begins", "works", "waits", "ends"]
