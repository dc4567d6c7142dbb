"""The graph clock: events around replays, on a stream made of plain numbers."""

from dataclasses import dataclass, field

import pytest
from fake_clocks import Stream, StreamWork

from lnbench.amounts import NO_TIME_S
from lnbench.measure.graph_sampler import GraphSampler
from lnbench.measure.sampler import Missed

CLOSE = 1e-9


@dataclass
class Replays(StreamWork):
    """Each call is one launch, which holds the kernels of so many calls."""

    calls_per_replay: int = 10

    __hash__ = object.__hash__


@dataclass
class ReplayedCopies:
    """A probe whose copy was captured."""

    stream: Stream
    calls_per_replay: int = 4
    pieces: dict = field(default_factory=dict)

    __hash__ = object.__hash__

    def select(self, index):
        pass


def sampler(stream, *, renewed=None, empty_pair_s=0.0):
    def renew():
        if renewed is not None:
            renewed.append(stream.host.ns)
        stream.enqueue(30e-6)

    return GraphSampler(stream, renew=renew, empty_pair_s=empty_pair_s, now=stream.host)


def test_a_call_takes_its_share_of_a_replay_however_slow_launches_are():
    stream = Stream(launch_s=50e-6)
    work = Replays(stream, inference_s=20e-6)

    sample = sampler(stream).sample_inference(work, 6)

    assert sample.graph_s == pytest.approx({"inference": 2e-6}, rel=CLOSE)
    assert sample.graph_calls == 6 * 10
    assert (sample.wall_s, sample.device_s, sample.batch_s) == ({}, {}, {})


def test_forward_and_backward_are_replayed_in_turn_with_a_fresh_gradient_between_them_that_is_not_timed():
    stream = Stream(launch_s=20e-6)
    work, renewed = Replays(stream, forward_s=70e-6, backward_s=110e-6), []

    sample = sampler(stream, renewed=renewed).sample_step(work, 6)

    assert sample.graph_s == pytest.approx({"forward": 7e-6, "backward": 11e-6, "forward_backward": 18e-6}, rel=CLOSE)
    assert len(renewed) == 6
    assert work.calls == 12


def test_an_inference_needs_no_gradient():
    stream, renewed = Stream(), []

    sampler(stream, renewed=renewed).sample_inference(Replays(stream, inference_s=20e-6), 6)

    assert renewed == []


def test_what_an_empty_pair_of_events_measures_is_subtracted_from_each_replay():
    stream = Stream(event_s=2e-6, launch_s=1e-9)
    work = Replays(stream, inference_s=20e-6, forward_s=70e-6, backward_s=110e-6)
    measured = sampler(stream, empty_pair_s=2e-6)

    assert measured.sample_inference(work, 5).graph_s["inference"] == pytest.approx(2e-6, rel=CLOSE)
    assert measured.sample_step(work, 5).graph_s["backward"] == pytest.approx(11e-6, rel=CLOSE)


def test_the_probe_s_copies_are_replays_too():
    stream = Stream()
    copies = ReplayedCopies(stream)
    copies.pieces["copy"] = lambda: stream.enqueue(160e-6)

    assert sampler(stream).sample_copy(copies, "copy", 5).graph_s == pytest.approx({"copy": 40e-6}, rel=CLOSE)


def test_replays_that_the_device_reached_too_early_are_dropped():
    stream = Stream(launch_s=1e-3)  # six replays with their events take the host 18 ms; the first spin lasts 2 ms
    measured = sampler(stream)
    work = Replays(stream, inference_s=20e-6)

    found = [measured.sample_inference(work, 6).graph_s for _ in range(3)]

    assert found[0] == {}
    assert found[-1] == pytest.approx({"inference": 2e-6}, rel=CLOSE)


def test_a_sample_of_replays_that_came_too_late_carries_the_reason():
    stream = Stream(launch_s=1e-3)
    measured = sampler(stream)
    work = Replays(stream, inference_s=20e-6)

    assert isinstance(measured.sample_inference(work, 6).missed, Missed)


def test_what_was_not_captured_is_no_work_of_this_clock():
    stream = Stream()

    with pytest.raises(AssertionError, match="what was captured"):
        sampler(stream).sample_inference(StreamWork(stream, inference_s=1e-6), 5)


def test_a_replay_below_the_events_resolution_is_no_time():
    stream = Stream()

    assert sampler(stream).sample_inference(Replays(stream), 5).graph_s == {"inference": NO_TIME_S}
