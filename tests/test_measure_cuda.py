"""Samples behind a stream of a device, with a stream made of plain numbers."""

import pytest
from fake_clocks import OneCopy, Stream, StreamWork

from lnbench.measure.cuda import MOST_QUEUED_STEPS, CudaSampler, device_name, missing_device

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
    assert stream.spins == [2e-3, 4e-3, 8e-3]


def test_a_host_that_is_never_ahead_subtracts_nothing():
    stream = Stream(launch_s=0.3, event_s=2e-6)

    assert sampler(stream).empty_pair_s == 0.0


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

    assert first.device_s == {}
    assert first.wall_s["inference"] > 0
    assert second.device_s == pytest.approx({"inference": 5e-6}, rel=CLOSE)
    assert stream.spins == [2e-3, 4e-3]


def test_when_the_longest_spin_is_too_short_the_calls_are_cut_until_they_fit():
    # A call and its events take the host 30 ms; 0.25 s hold 8 of them.
    stream = Stream(launch_s=10e-3)
    work = StreamWork(stream, inference_s=1e-3)
    measured = sampler(stream)

    samples = [measured.sample_inference(work, 16).device_s for _ in range(9)]

    found = next(sample for sample in samples if sample)
    assert found == pytest.approx({"inference": 1e-3}, rel=CLOSE)
    assert max(stream.spins) == 0.25
    assert samples[-1] == found


def test_calls_per_sample_are_capped_by_the_launch_queue_on_the_device_only():
    stream = Stream(launch_s=1e-9)
    work = StreamWork(stream, inference_s=1e-6)

    sampler(stream).sample_inference(work, 1000)

    assert work.calls == MOST_QUEUED_STEPS + 1000


def test_work_that_waits_inside_has_wall_times_only_and_soon_no_spins():
    stream = Stream()
    work = StreamWork(stream, forward_s=5e-6, backward_s=5e-6, waits=True)
    measured = sampler(stream)

    samples = [measured.sample_step(work, 32) for _ in range(20)]
    spins = len(stream.spins)
    last = measured.sample_step(work, 32)

    assert [sample.device_s for sample in samples] == [{}] * 20
    assert len(stream.spins) == spins
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
    assert stream.spins == [2e-3]
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


def test_work_below_the_events_resolution_is_still_a_positive_time():
    stream = Stream(event_s=2e-6)

    samples = sampler(stream).sample_step(StreamWork(stream), 5).device_s

    assert all(seconds > 0 for seconds in samples.values())


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
