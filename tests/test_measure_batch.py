"""The batch clock: calls in a row between two events, on a stream made of plain numbers."""

import pytest
from fake_clocks import OneCopy, Stream, StreamWork

from lnbench.amounts import NO_TIME_S
from lnbench.measure.batch import BatchSampler, BatchTimer
from lnbench.measure.cuda import CudaSampler

# Sums of a few floats lose at most their last digits, and the stream rounds to nanoseconds.
CLOSE = 1e-9


class OverlappingStream(Stream):
    """A stream on which work that follows work begins before that has drained; an event waits for the drain."""

    def __init__(self, *, overlap_s, **timing):
        super().__init__(**timing)
        self.overlap_s = overlap_s
        self._follows = False

    def enqueue(self, seconds):
        overlapped, self._follows = self._follows and seconds > 0, seconds > 0
        return super().enqueue(seconds - self.overlap_s if overlapped else seconds)


def sampler(stream, *, inner=None):
    inner = inner or CudaSampler(stream, now=stream.host)
    return BatchSampler(inner, BatchTimer(stream, empty_pair_s=inner.empty_pair_s, now=stream.host))


def test_calls_in_a_row_overlap_where_calls_between_events_of_their_own_do_not():
    stream = OverlappingStream(overlap_s=2e-6, launch_s=1e-9)
    work = StreamWork(stream, inference_s=5e-6)

    sample = sampler(stream).sample_inference(work, 40)

    assert sample.device_s["inference"] == pytest.approx(5e-6, rel=CLOSE)
    assert sample.batch_s["inference"] == pytest.approx((5e-6 + 39 * 3e-6) / 40, rel=CLOSE)
    assert sample.batch_calls == 40


def test_launches_slower_than_the_work_stay_out_of_the_batch():
    stream = Stream(launch_s=20e-6)
    work = StreamWork(stream, inference_s=5e-6, forward_s=7e-6, backward_s=11e-6)
    measured = sampler(stream)

    inference, step = measured.sample_inference(work, 10), measured.sample_step(work, 10)

    assert inference.batch_s == pytest.approx({"inference": 5e-6}, rel=CLOSE)
    assert step.batch_s == pytest.approx({"forward_backward": 18e-6}, rel=CLOSE)


def test_what_an_empty_pair_of_events_measures_is_subtracted_once_from_the_whole_batch():
    stream = Stream(event_s=2e-6, launch_s=1e-9)
    work = StreamWork(stream, inference_s=5e-6)

    assert sampler(stream).sample_inference(work, 8).batch_s["inference"] == pytest.approx(5e-6, rel=CLOSE)


def test_the_other_clocks_keep_what_they_have_beside_it():
    stream = Stream()
    work = StreamWork(stream, inference_s=5e-6)

    sample = sampler(stream).sample_inference(work, 10)

    assert sample.device_s == pytest.approx({"inference": 5e-6}, rel=CLOSE)
    assert sample.wall_s["inference"] > 5e-6


def test_steps_in_one_piece_and_copies_have_batches_too():
    stream = Stream(launch_s=1e-7)
    work = StreamWork(stream, one_piece_s=15e-6)
    measured = sampler(stream)

    assert measured.sample_one_piece(work, 10).batch_s == pytest.approx({"forward_backward": 15e-6}, rel=CLOSE)
    copies = OneCopy(lambda: stream.enqueue(40e-6))
    assert measured.sample_copy(copies, "copy", 4).batch_s == pytest.approx({"copy": 40e-6}, rel=CLOSE)


def test_work_on_another_stream_and_work_that_waits_have_no_batch():
    stream = Stream()
    elsewhere = StreamWork(stream, inference_s=5e-6, on_torch_stream=False)
    waiting = StreamWork(stream, inference_s=5e-6, waits=True)
    measured = sampler(stream)

    assert measured.sample_inference(elsewhere, 10).batch_s == {}
    assert [measured.sample_inference(waiting, 10).batch_s for _ in range(8)] == [{}] * 8


def test_steps_that_need_a_fresh_dy_each_have_no_batch():
    stream = Stream()
    work = StreamWork(stream, forward_s=5e-6, backward_s=5e-6, renew_s=1e-6)

    assert sampler(stream).sample_step(work, 10).batch_s == {}


def test_a_batch_that_the_device_reached_too_early_is_dropped_and_the_next_one_is_not():
    # Ten calls take the host 5 ms to enqueue, where the first spin lasts 2 ms.
    stream = Stream(launch_s=500e-6)
    work = StreamWork(stream, inference_s=5e-6)
    measured = sampler(stream)

    found = [measured.sample_inference(work, 10).batch_s for _ in range(3)]

    assert found[0] == {}
    assert found[-1] == pytest.approx({"inference": 5e-6}, rel=CLOSE)


def test_a_batch_below_the_events_resolution_is_no_time():
    stream = Stream(event_s=1e-6)

    assert sampler(stream).sample_inference(StreamWork(stream), 5).batch_s == {"inference": NO_TIME_S}
