"""Samples on the host's clock, with a clock that only the work moves: every nanosecond has one place."""

import pytest
from fake_clocks import HostClock, HostWork, OneCopy
from hypothesis import given
from hypothesis import strategies as st

from lnbench.measure.probe import Probe
from lnbench.measure.sampler import HostSampler, Rotation, empty_pair_ns, median, warm

# Sums of a few floats of this size lose at most their last digits.
EXACT = 1e-12
nanoseconds, stamps, few = st.integers(1, 10**9), st.integers(0, 1000), st.integers(1, 9)


@given(
    forward=nanoseconds, backward=nanoseconds, release=nanoseconds, stamp=st.integers(0, 1000), calls=st.integers(1, 9)
)
def test_each_part_of_a_step_gets_its_own_time_and_no_stamp_is_counted(forward, backward, release, stamp, calls):
    clock = HostClock(stamp_ns=stamp)
    work = HostWork(clock, forward_ns=forward, backward_ns=backward, release_ns=release)

    sample = HostSampler(now=clock).sample_step(work, calls)

    # y and the gradients are two results.
    assert sample.wall_s == pytest.approx(
        {
            "forward": forward * 1e-9,
            "backward": backward * 1e-9,
            "forward_backward": (forward + backward) * 1e-9,
            "disposal": 2 * release * 1e-9,
        },
        rel=EXACT,
    )
    assert sample.device_s == {}


def test_forward_and_backward_add_up_to_the_bit_in_every_sample():
    clock = HostClock(stamp_ns=7)
    work = HostWork(clock, forward_ns=333, backward_ns=1001)

    wall = HostSampler(now=clock).sample_step(work, 3).wall_s

    assert wall["forward"] + wall["backward"] == wall["forward_backward"]


def test_each_backward_runs_on_the_forward_right_before_it():
    work = HostWork(HostClock())

    HostSampler(now=work.clock).sample_step(work, 3)

    assert [name for name, _ in work.calls] == ["forward", "backward"] * 3


def test_the_results_before_are_released_outside_forward_and_backward():
    clock = HostClock()
    slow = HostWork(clock, forward_ns=100, backward_ns=200, release_ns=10**6)

    wall = HostSampler(now=clock).sample_step(slow, 5).wall_s

    assert wall["forward_backward"] == pytest.approx(300e-9, rel=EXACT)


@given(inference=nanoseconds, release=nanoseconds, stamp=stamps, calls=few)
def test_an_inference_is_the_mean_of_a_block_with_the_release_of_its_result(inference, release, stamp, calls):
    clock = HostClock(stamp_ns=stamp)
    work = HostWork(clock, inference_ns=inference, release_ns=release)

    sample = HostSampler(now=clock).sample_inference(work, calls)

    assert sample.wall_s == pytest.approx({"inference": (inference + release) * 1e-9}, rel=EXACT)


def test_a_copy_is_the_mean_of_a_block():
    clock = HostClock(stamp_ns=30)

    sample = HostSampler(now=clock).sample_copy(OneCopy(lambda: clock.take(500)), "copy", 4)

    assert sample.wall_s == pytest.approx({"copy": 500e-9}, rel=EXACT)


def test_work_faster_than_the_clock_is_still_a_positive_time():
    clock = HostClock(stamp_ns=40)

    sampler = HostSampler(now=clock)

    assert all(seconds > 0 for seconds in sampler.sample_step(HostWork(clock), 3).wall_s.values())
    assert sampler.sample_inference(HostWork(clock), 3).wall_s["inference"] > 0


def test_in_cold_caches_choosing_the_next_buffers_is_not_counted():
    clock = HostClock(stamp_ns=25)
    work = HostWork(clock, inference_ns=100, forward_ns=200, backward_ns=300, select_ns=9999)

    sampler = HostSampler(rotation=Rotation(4, seed=1), now=clock)

    assert sampler.sample_inference(work, 6).wall_s["inference"] == pytest.approx(100e-9, rel=EXACT)
    assert sampler.sample_step(work, 6).wall_s["forward_backward"] == pytest.approx(500e-9, rel=EXACT)


def test_all_cases_walk_through_the_buffers_together_and_no_call_finds_its_own_again():
    clock = HostClock()
    one, other = HostWork(clock), HostWork(clock)
    sampler = HostSampler(rotation=Rotation(5, seed=3), now=clock)

    sampler.sample_inference(one, 3)
    sampler.sample_inference(other, 4)
    sampler.sample_step(one, 3)

    walked = [pair for work, names in ((one, "inference"), (other, "inference"), (one, "forward"))
              for name, pair in work.calls if name == names]  # fmt: skip
    assert walked == (walked[:5] * 2)[:10]
    assert sorted(walked[:5]) == [0, 1, 2, 3, 4]


def test_forward_and_backward_of_a_cold_step_read_the_same_pair():
    work = HostWork(HostClock())

    HostSampler(rotation=Rotation(3, seed=2), now=work.clock).sample_step(work, 5)

    pairs = [pair for _, pair in work.calls]
    assert pairs[::2] == pairs[1::2]


def test_a_walk_is_shuffled_by_its_seed():
    walks = {seed: [rotation.next() for _ in range(8)] for seed in range(20) for rotation in [Rotation(8, seed=seed)]}

    assert walks[3] == [rotation.next() for rotation in [Rotation(8, seed=3)] for _ in range(8)]
    assert len({tuple(walk) for walk in walks.values()}) > 15


def test_an_empty_pair_is_the_median_so_that_one_interruption_does_not_matter():
    ticks = iter(range(0, 10**9, 20))
    jumps = iter([10**6] + [0] * 10**4)
    clock = HostClock()

    def now():
        clock.take(next(jumps))
        return clock.ns + next(ticks)

    assert empty_pair_ns(now) == 20


@pytest.mark.parametrize(("call_ns", "calls"), [(10, 20), (199, 2), (200, 1), (5000, 1)])
def test_warming_takes_the_first_call_or_the_least_time_whichever_is_longer(call_ns, calls):
    clock = HostClock()

    assert warm(lambda: clock.take(call_ns), least_s=200e-9, now=clock) == calls


def test_the_median_of_a_calibration_is_its_middle_value():
    assert median([3.0]) == 3.0
    assert median([9.0, 1.0, 2.0]) == 2.0


def test_the_probe_copies_the_same_bytes_each_time_without_touching_the_input():
    import torch

    x, dy = torch.randn(8, 16), torch.randn(8, 16)
    before = x.clone(), dy.clone()
    probe = Probe([x], [dy])

    copied, other = probe.pieces["copy"](), probe.pieces["step_copy"]()

    assert torch.equal(copied, before[0])
    assert torch.equal(other, before[1])
    assert torch.equal(x, before[0])
    assert torch.equal(dy, before[1])
    assert len({tensor.data_ptr() for tensor in (x, dy, copied, other)}) == 4


def test_the_probe_reads_the_pair_that_is_selected():
    import torch

    pairs = [torch.full((2, 3), value) for value in (1.0, 2.0)]
    probe = Probe(pairs, pairs)

    probe.select(1)

    assert torch.equal(probe.pieces["copy"](), pairs[1])


def test_a_cold_copy_walks_through_the_buffers_and_times_only_the_copies():
    clock = HostClock(stamp_ns=30)
    copies = OneCopy(lambda: clock.take(500))
    sampler = HostSampler(now=clock, rotation=Rotation(3, seed=1))

    sample = sampler.sample_copy(copies, "copy", 6)

    assert sample.wall_s == pytest.approx({"copy": 500e-9}, rel=EXACT)
    assert sorted(copies.selected) == [0, 0, 1, 1, 2, 2]


@given(step=nanoseconds, release=nanoseconds, stamp=stamps, calls=few)
def test_a_step_in_one_piece_is_its_own_time_without_the_release_of_its_result(step, release, stamp, calls):
    clock = HostClock(stamp_ns=stamp)
    work = HostWork(clock, one_piece_ns=step, release_ns=release)

    sample = HostSampler(now=clock).sample_one_piece(work, calls)

    assert sample.wall_s == pytest.approx({"forward_backward": step * 1e-9, "disposal": release * 1e-9}, rel=EXACT)
    assert [name for name, _ in work.calls] == ["forward_backward"] * calls


def test_in_cold_caches_a_step_in_one_piece_walks_through_the_buffers_too():
    clock = HostClock(stamp_ns=25)
    work = HostWork(clock, one_piece_ns=500, select_ns=9999)

    sample = HostSampler(rotation=Rotation(3, seed=1), now=clock).sample_one_piece(work, 6)

    assert sample.wall_s["forward_backward"] == pytest.approx(500e-9, rel=EXACT)
    assert sorted(pair for _, pair in work.calls) == [0, 0, 1, 1, 2, 2]


def test_warming_takes_at_least_the_calls_that_it_is_told():
    clock = HostClock()

    assert warm(lambda: clock.take(100), least_s=200e-9, least_calls=7, now=clock) == 7
    assert warm(lambda: clock.take(10), least_s=200e-9, least_calls=7, now=clock) == 20
