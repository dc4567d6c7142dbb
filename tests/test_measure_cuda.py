"""Samples behind a stream of a device, with a stream made of plain numbers."""

from collections import deque
from itertools import pairwise

import pytest
from fake_clocks import OneCopy, Stream, StreamWork

from lnbench.amounts import NO_TIME_S
from lnbench.measure.cuda import CudaSampler, device_name, missing_device
from lnbench.measure.event_timer import EVENT_STEP_S, Timed
from lnbench.measure.launch_queue import FIRST_CALLS, FIRST_SPIN_S, LEAST_SPIN_S, LONGEST_SPIN_S, MOST_LAUNCHES
from lnbench.measure.sampler import Missed

# Sums of a few floats lose at most their last digits.
CLOSE = 1e-12


def sampler(stream, *, cold=False):
    return CudaSampler(stream, cold=cold, now=stream.host)


def test_device_times_are_those_of_the_work_alone_however_slow_the_launches_are():
    stream = Stream(launch_s=20e-6)
    work = StreamWork(stream, inference_s=5e-6, forward_s=7e-6, backward_s=11e-6)

    inference = sampler(stream).sample_inference(work, 10).device_s
    step = sampler(stream).sample_step(work, 10).device_s

    assert inference == pytest.approx({"inference": 5e-6}, rel=CLOSE)
    assert step == pytest.approx({"forward": 7e-6, "backward": 11e-6, "forward_backward": 18e-6}, rel=CLOSE)


def test_wall_times_hold_the_launches_that_device_times_leave_out():
    stream = Stream(launch_s=20e-6)
    work = StreamWork(stream, inference_s=5e-6, forward_s=7e-6, backward_s=11e-6)
    measured = sampler(stream)

    inference = measured.sample_inference(work, 10).wall_s
    step = measured.sample_step(work, 10).wall_s

    # The host's launches are slower than the work, whose last call is waited for.
    assert inference == pytest.approx({"inference": 20e-6 + 5e-6 / 10}, rel=CLOSE)
    assert step == pytest.approx({"forward_backward": 40e-6 + 11e-6 / 10}, rel=CLOSE)


def test_wall_times_of_large_work_are_the_device_s_own():
    stream = Stream(launch_s=1e-6)
    work = StreamWork(stream, inference_s=1e-3)

    sample = sampler(stream).sample_inference(work, 20)

    assert sample.wall_s["inference"] == pytest.approx(1e-3 + 1e-6 / 20, rel=CLOSE)
    assert sample.device_s["inference"] == pytest.approx(1e-3, rel=CLOSE)


def test_what_an_empty_pair_of_events_measures_is_subtracted_from_each_part():
    stream = Stream(event_s=2e-6)
    work = StreamWork(stream, inference_s=5e-6, forward_s=7e-6, backward_s=11e-6)
    measured = sampler(stream)

    assert measured.empty_pair_s == pytest.approx(2e-6, rel=CLOSE)
    assert measured.sample_inference(work, 8).device_s["inference"] == pytest.approx(5e-6, rel=CLOSE)
    assert measured.sample_step(work, 8).device_s["forward"] == pytest.approx(7e-6, rel=CLOSE)
    assert measured.sample_step(work, 8).device_s["backward"] == pytest.approx(11e-6, rel=CLOSE)


def test_the_empty_pair_is_measured_while_the_host_is_ahead_also_on_a_slow_one():
    # 21 pairs take this host 4.2 ms: behind the first spin of 2 ms they would measure its launches.
    stream = Stream(launch_s=100e-6, event_s=2e-6)

    assert sampler(stream).empty_pair_s == pytest.approx(2e-6, rel=CLOSE)
    assert stream.spins[0] == FIRST_SPIN_S
    assert len(stream.spins) == 2


def test_a_host_that_is_never_ahead_subtracts_nothing_and_gives_every_sample_that_reason():
    stream = Stream(launch_s=0.3, event_s=2e-6)
    measured = sampler(stream)
    spins = len(stream.spins)

    sample = measured.sample_inference(StreamWork(stream), 4)

    assert measured.empty_pair_s == 0.0
    assert (sample.device_s, sample.missed) == ({}, Missed.LATE)
    assert len(stream.spins) == spins


class Blocking(Stream):
    """A stream on which every launch waits for its end, as with CUDA_LAUNCH_BLOCKING=1."""

    def enqueue(self, seconds):
        done = super().enqueue(seconds)
        self.wait()
        return done


def test_launches_that_wait_by_themselves_are_found_out_with_nothing_between_the_events():
    stream = Blocking()
    measured = sampler(stream)

    sample = measured.sample_step(StreamWork(stream, forward_s=1e-3), 4)

    assert (sample.device_s, sample.missed) == ({}, Missed.BLOCKED)
    assert sample.wall_s["forward_backward"] > 1e-3


def test_a_copy_has_both_clocks():
    stream = Stream(launch_s=1e-6)

    sample = sampler(stream).sample_copy(OneCopy(lambda: stream.enqueue(40e-6)), "copy", 4)

    assert sample.device_s == pytest.approx({"copy": 40e-6}, rel=CLOSE)
    assert sample.wall_s["copy"] >= 40e-6


def test_a_sample_that_the_device_reached_too_early_is_dropped_and_the_next_spin_is_longer():
    # 10 calls with their events make 30 launches: 3 ms, where the first spin lasts 2 ms.
    stream = Stream(launch_s=100e-6)
    work = StreamWork(stream, inference_s=5e-6)
    measured = sampler(stream)
    stream.spins.clear()

    first, second = (measured.sample_inference(work, 10) for _ in range(2))

    assert (first.device_s, first.missed) == ({}, Missed.LATE)
    assert first.wall_s["inference"] > 0
    assert second.device_s == pytest.approx({"inference": 5e-6}, rel=CLOSE)
    # 33 launches with the spin and the events around it, and half as much again.
    assert stream.spins == pytest.approx([2e-3, 1.5 * 3.3e-3], rel=0.1)


def test_a_spin_that_was_long_becomes_short_again_when_launching_is_fast_again():
    stream = Stream(launch_s=100e-6)
    work = StreamWork(stream, inference_s=5e-6)
    measured = sampler(stream)
    for _ in range(4):
        measured.sample_inference(work, 100)
    slow = stream.spins[-1]
    stream.launch_s = 1e-6

    samples = [measured.sample_inference(work, 100).device_s for _ in range(60)]

    assert slow > 10e-3
    assert all(samples)
    assert stream.spins[-1] == LEAST_SPIN_S
    # Not at once: one fast host does not make the next sample late.
    assert all(later >= 0.89 * earlier for earlier, later in pairwise(stream.spins[-60:]))


class Drowsy(Stream):
    """A card whose spins are shorter than asked for: they count cycles, and its clock has risen since calibration."""

    def spin(self, seconds):
        self.spins.append(seconds)
        self.enqueue(seconds / 5)


def test_a_spin_that_is_shorter_than_it_was_asked_to_be_is_asked_to_be_longer():
    stream = Drowsy(launch_s=20e-6)
    work = StreamWork(stream, inference_s=5e-6)
    measured = sampler(stream)

    samples = [measured.sample_inference(work, 40).device_s for _ in range(4)]

    assert all(samples[1:])


def test_when_the_longest_spin_is_too_short_the_calls_are_cut_until_they_fit():
    # A call and its events take the host 30 ms, the spin and the events around it as much; 0.25 s hold 4 of 16.
    stream = Stream(launch_s=10e-3)
    work = StreamWork(stream, inference_s=1e-3)
    measured = sampler(stream)

    samples = [measured.sample_inference(work, 16).device_s for _ in range(9)]

    found = next(sample for sample in samples if sample)
    assert found == pytest.approx({"inference": 1e-3}, rel=CLOSE)
    assert max(stream.spins) == LONGEST_SPIN_S
    assert samples[-1] == found


def test_calls_per_sample_are_capped_by_the_launch_queue_on_the_device_only_and_counted_apart():
    stream = Stream(launch_s=1e-9)
    work = StreamWork(stream, inference_s=1e-6)

    sample = sampler(stream).sample_inference(work, 1000)

    assert work.calls == FIRST_CALLS + 1000
    assert sample.device_calls == FIRST_CALLS


class Queue(Stream):
    """A stream with a queue that holds so many launches; the host waits for room in it."""

    def __init__(self, room, **kind):
        super().__init__(**kind)
        self._room = room
        self._ends = deque()

    def enqueue(self, seconds):
        while len(self._ends) >= self._room:
            self.host.ns = max(self.host.ns, self._ends.popleft())
        self._ends.append(super().enqueue(seconds))
        return self._ends[-1]


@pytest.mark.parametrize(("kernels", "room"), [(1, 1024), (20, 1024), (60, 1024), (1, 200)])
def test_a_sample_holds_about_as_many_launches_as_the_queue_whatever_a_call_makes_of_them(kernels, room):
    stream = Queue(room, launch_s=2e-6)
    work = StreamWork(stream, inference_s=1e-6, launches=kernels)
    measured = sampler(stream)

    samples = [measured.sample_inference(work, 400) for _ in range(30)]

    calls = samples[-1].device_calls
    assert samples[-1].device_s == pytest.approx({"inference": kernels * 1e-6}, rel=CLOSE)
    assert room / 5 < calls * (kernels + 2) <= min(room, MOST_LAUNCHES)
    # Finding that out costs a few samples, and then none is lost.
    assert sum(not sample.device_s for sample in samples) <= 4
    assert all(sample.device_s for sample in samples[10:])


def test_work_that_waits_inside_has_wall_times_only_and_soon_no_spins():
    stream = Stream()
    work = StreamWork(stream, forward_s=5e-6, backward_s=5e-6, waits=True)
    measured = sampler(stream)

    samples = [measured.sample_step(work, 32) for _ in range(20)]
    spins = len(stream.spins)
    last = measured.sample_step(work, 32)

    assert [(sample.device_s, sample.missed) for sample in samples[1:]] == [({}, Missed.WAITS)] * 19
    assert len(stream.spins) == spins
    # It is given up after 7 samples behind spins of 2 to 3 ms, not after as many of up to 0.25 s.
    assert sum(stream.spins) < 0.05
    # The host waits for each of the two launches and their work.
    assert last.wall_s == pytest.approx({"forward_backward": 12e-6}, rel=CLOSE)


def test_work_that_waits_inside_does_not_lengthen_the_spins_or_cut_the_calls_of_others():
    stream = Stream()
    work, waiting = StreamWork(stream, forward_s=5e-6, backward_s=5e-6), StreamWork(stream, waits=True)
    measured = sampler(stream)
    for _ in range(20):
        measured.sample_step(waiting, 32)
    stream.spins.clear()

    sample = measured.sample_step(work, 32)

    assert sample.device_s["forward_backward"] == pytest.approx(10e-6, rel=CLOSE)
    assert stream.spins == [FIRST_SPIN_S]
    assert work.calls == 2 * 2 * 32


def test_a_step_in_one_piece_has_both_clocks():
    stream = Stream(launch_s=1e-6)
    work = StreamWork(stream, forward_s=7e-6, backward_s=11e-6, one_piece_s=15e-6)

    sample = sampler(stream).sample_one_piece(work, 10)

    assert sample.device_s == pytest.approx({"forward_backward": 15e-6}, rel=CLOSE)
    assert sample.wall_s == pytest.approx({"forward_backward": 15e-6 + 1e-6 / 10}, rel=CLOSE)


def elsewhere(stream, **seconds):
    """Work on a stream of its own, beside the one whose events are seen, on the same host."""
    own = Stream(launch_s=stream.launch_s)
    own.host = stream.host
    return StreamWork(own, on_torch_stream=False, **seconds)


def test_work_on_another_stream_has_wall_times_of_whole_calls_and_no_device_times():
    stream = Stream(launch_s=1e-6)
    work = elsewhere(stream, inference_s=1e-3, forward_s=2e-3, backward_s=3e-3, one_piece_s=4e-3)
    measured = sampler(stream)
    stream.spins.clear()

    samples = [measured.sample_inference(work, 10), measured.sample_step(work, 10), measured.sample_one_piece(work, 10)]

    assert [sample.device_s for sample in samples] == [{}] * 3
    assert stream.spins == []
    # Waiting for PyTorch's stream alone would read the launches, 1 us each.
    assert samples[0].wall_s == pytest.approx({"inference": 1e-3 + 1e-7}, rel=CLOSE)
    assert samples[1].wall_s == pytest.approx({"forward_backward": 5e-3 + 1e-7}, rel=CLOSE)
    assert samples[2].wall_s == pytest.approx({"forward_backward": 4e-3 + 1e-7}, rel=CLOSE)


def test_what_is_still_at_work_on_another_stream_is_not_counted():
    stream = Stream(launch_s=1e-6)
    work = elsewhere(stream, inference_s=1e-3)
    measured = sampler(stream)
    for _ in range(100):
        work.inference()

    sample = measured.sample_inference(work, 10)

    assert sample.wall_s == pytest.approx({"inference": 1e-3 + 1e-7}, rel=CLOSE)


def test_work_on_another_stream_has_no_times_in_cold_caches():
    stream = Stream()

    sample = sampler(stream, cold=True).sample_inference(elsewhere(stream, inference_s=1e-3), 4)

    assert (sample.wall_s, sample.device_s) == ({}, {})


def test_cold_displaces_the_cache_before_every_timed_call_outside_the_window_and_has_no_wall():
    stream = Stream(displace_s=80e-6)
    work = StreamWork(stream, inference_s=5e-6, forward_s=7e-6, backward_s=11e-6)
    measured = sampler(stream, cold=True)

    inference, step = measured.sample_inference(work, 6), measured.sample_step(work, 4)

    assert inference.device_s == pytest.approx({"inference": 5e-6}, rel=CLOSE)
    assert step.device_s == pytest.approx({"forward": 7e-6, "backward": 11e-6, "forward_backward": 18e-6}, rel=CLOSE)
    assert (inference.wall_s, step.wall_s) == ({}, {})
    assert stream.displaced == 6 + 4


def test_hot_displaces_nothing():
    stream = Stream()

    sampler(stream).sample_step(StreamWork(stream, forward_s=1e-6), 5)

    assert stream.displaced == 0


@pytest.mark.parametrize("seconds", [0.0, 0.3e-6])
def test_below_the_events_resolution_there_is_no_time(seconds):
    stream = Stream(event_s=2e-6)
    work = StreamWork(stream, inference_s=seconds, backward_s=9e-6)

    inference = sampler(stream).sample_inference(work, 5).device_s
    step = sampler(stream).sample_step(work, 5).device_s

    assert seconds < EVENT_STEP_S
    assert inference == {"inference": NO_TIME_S}
    assert step == pytest.approx({"forward": NO_TIME_S, "backward": 9e-6, "forward_backward": 9e-6}, rel=CLOSE)


class Replays:
    """Another clock of a device: one that says what it was asked."""

    step_s = 1e-9
    empty_pair_s = 0.0

    def __init__(self):
        self.asked = []

    def time(self, work, parts, calls):
        self.asked.append((work, len(parts), calls))
        return Timed(seconds=(3e-6,) * len(parts), calls=10)


def test_another_clock_of_the_device_can_stand_in_the_place_of_events():
    stream, timer = Stream(), Replays()
    work = StreamWork(stream, inference_s=5e-6, forward_s=7e-6, backward_s=11e-6)
    measured = CudaSampler(stream, timer=timer, now=stream.host)

    inference, step = measured.sample_inference(work, 4), measured.sample_step(work, 4)

    assert (inference.device_s, inference.device_calls) == ({"inference": 3e-6}, 10)
    assert step.device_s == {"forward": 3e-6, "backward": 3e-6, "forward_backward": 6e-6}
    assert timer.asked == [((work, "inference"), 1, 4), ((work, "step"), 2, 4)]
    assert stream.spins == []


@pytest.mark.parametrize(
    ("device", "available", "count", "missing"),
    [
        ("cpu", False, 0, ""),
        ("cuda", False, 0, "sees no CUDA device"),
        ("cuda", True, 1, ""),
        ("cuda:1", True, 2, ""),
        ("cuda:1", True, 1, "cuda:1 is absent: torch sees 1 CUDA device"),
        ("cuda:7", True, 2, "cuda:7 is absent: torch sees 2 CUDA devices"),
    ],
)
def test_a_device_that_torch_can_not_use_is_missing_with_the_reason(monkeypatch, device, available, count, missing):
    monkeypatch.setattr("torch.cuda.is_available", lambda: available)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)

    assert missing_device(device).endswith(missing)
    assert bool(missing_device(device)) == bool(missing)


def test_only_a_cuda_device_that_is_there_has_a_name(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"name of {device}")

    assert [device_name(device) for device in ("cpu", "cuda:0", "cuda:3")] == ["", "name of cuda:0", ""]
