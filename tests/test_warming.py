"""How many calls are left out before counting: the decision on plain numbers, the trial rounds on a scripted clock."""

from itertools import count, repeat

import numpy as np
import pytest
import zoo
from fake_clocks import HostClock
from hypothesis import given
from hypothesis import strategies as st
from stage import QUIET, ScriptedMeter, ScriptedSampler, cases, timed, workload

from lnbench.events import PROBE_CASE
from lnbench.planned import Stage, Status
from lnbench.undisturbed import ThreadUse
from lnbench.worker import contenders
from lnbench.worker.calls import Kind
from lnbench.worker.contenders import choose_warm_calls, warmed_up
from lnbench.worker.warming import MOST_CALLS, Trial, calls_until_hot, even_out, find_warm_calls, trial_calls
from lnbench.workload import Phase

pytestmark = pytest.mark.usefixtures("one_thread")

DECAY = (1.30, 1.17, 1.09, 1.05, 1.02, 1.01, *[1.0] * 10)
"""Of a step after eager ones, about."""

FLAT = (1.2, *[1.0] * 15)


def noisy(series, *, seed):
    """Twelve rounds of a series; calls scatter by 5 %, one in twenty is interrupted, each round has its own speed."""
    draw = np.random.default_rng(seed)
    shape = 12, len(series)
    speeds = np.exp(draw.normal(0, 0.2, size=(12, 1)))
    interrupted = np.where(draw.random(shape) < 0.05, 1.6, 1.0)
    return (speeds * np.asarray(series) * np.exp(draw.normal(0, 0.05, shape)) * interrupted).tolist()


def test_cases_whose_calls_are_about_as_long_leave_out_the_same_number_of_them():
    needed = even_out({0: 3, 1: 5, 2: 9}, {0: 1.0e-3, 1: 1.4e-3, 2: 4.0e-3})

    assert needed == {0: 5, 1: 5, 2: 9}


@pytest.mark.parametrize(
    ("series", "counted", "left_out"),
    [
        (FLAT, 3, 1),
        ([1.0] * 16, 3, 1),
        (DECAY, 1, 5),
        (DECAY, 3, 4),  # the mean of 1.02, 1.01 and 1.00 is as near as wanted
        (DECAY, 50, 3),  # of a sample of many calls the first ones are a small part
        ([2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0], 3, 6),
        ([1.5], 3, 1),
        ([1.5, 1.0], 3, 1),
        ([1.5, 1.3, 1.0], 3, 2),
    ],
)
def test_the_fewest_calls_are_left_out_that_make_the_counted_ones_hot(series, counted, left_out):
    assert calls_until_hot([series] * 5, counted=counted) == left_out


def test_a_machine_that_changes_its_speed_from_round_to_round_changes_nothing():
    rounds = [[speed * seconds for seconds in DECAY] for speed in (1, 3, 1.5, 0.7, 9)]

    assert calls_until_hot(rounds, counted=3) == 4


def test_one_interrupted_round_changes_nothing():
    interrupted = [*DECAY[:9], 40.0, 30.0, *DECAY[11:]]

    assert calls_until_hot([DECAY, DECAY, interrupted, DECAY, DECAY], counted=3) == 4


def test_noise_leaves_few_calls_out_of_a_flat_series_and_those_of_a_decay_are_found_about():
    flat = [calls_until_hot(noisy(FLAT, seed=seed), counted=3) for seed in range(200)]
    decay = [calls_until_hot(noisy(DECAY, seed=seed), counted=3) for seed in range(200)]

    # Simulated: one or two calls more than without noise, since what is not told from noise is left out.
    assert np.median(flat) == 1
    assert np.mean(flat) < 3
    assert 4 <= np.median(decay) <= 6
    assert np.quantile(decay, 0.1) >= 3


def test_a_clock_that_did_not_move_leaves_one_call_out():
    assert calls_until_hot([[0.0] * 8] * 5, counted=3) == 1


@given(
    st.integers(1, 16).flatmap(
        lambda calls: st.lists(st.lists(st.floats(1e-7, 10.0), min_size=calls, max_size=calls), min_size=3, max_size=5)
    ),
    st.integers(1, 1000),
)
def test_at_least_one_call_is_left_out_and_never_more_than_were_tried(rounds, counted):
    assert 1 <= calls_until_hot(rounds, counted=counted) <= len(rounds[0])


@pytest.mark.parametrize(
    ("call_s", "room_s", "calls"),
    [
        (1e-6, 1.0, MOST_CALLS),
        (0.0, 1.0, MOST_CALLS),
        (1e-3, 4.5e-3, 4),
        (1e-3, 0.9e-3, 1),
        (7.0, 1.0, 1),
    ],
)
def test_a_trial_is_short_and_at_least_one_call(call_s, room_s, calls):
    assert trial_calls(call_s, room_s=room_s) == calls


class Caches:
    """Layer norms that share a clock, and are slow for a few calls after one another's."""

    def __init__(self, *, warm_after):
        self.clock = HostClock()
        self.calls = []
        self._warm_after = warm_after

    def builder(self, name):
        def build(on):
            norm = zoo.honest(on)

            def forward(x, weight, bias):
                after_others = next(
                    (n for n, other in enumerate(reversed(self.calls)) if other != name), len(self.calls)
                )
                self.calls.append(name)
                self.clock.take(150 if after_others < self._warm_after[name] else 100)
                return norm(x, weight, bias)

            return forward

        return build

    def now(self):
        return self.clock.ns * 1e-9


def test_trial_rounds_find_for_each_case_how_many_calls_after_the_others_are_slow():
    caches = Caches(warm_after={"large": 2, "small": 6})
    made, _ = cases({name: caches.builder(name) for name in ("large", "small")}, workload(8, 16))
    made.build_all()
    orders = iter([[0, 1], [1, 0]] * 3)  # counterbalanced, so half of the turns would follow one's own
    trials = {number: {Kind.INFERENCE: Trial(16, counted=3)} for number in (0, 1)}
    caches.calls.clear()

    found = find_warm_calls(made, trials, lambda: next(orders), meter=ScriptedMeter(), rounds=5, now=caches.now)

    assert found == {0: {Kind.INFERENCE: 2}, 1: {Kind.INFERENCE: 6}}
    assert len(caches.calls) == 5 * 2 * 16


def warm_calls_beside(looks, **fields):
    """The calls to leave out of one that is slow for six calls after another, where looks find these usages."""
    caches = Caches(warm_after={"it": 6, "other": 6})
    made, _ = cases({name: caches.builder(name) for name in ("it", "other")}, workload(8, 16))
    made.build_all()
    trials = {number: {Kind.INFERENCE: Trial(16, counted=3)} for number in (0, 1)}
    orders = iter([[0, 1], [1, 0]] * 3)
    found = find_warm_calls(
        made, trials, lambda: next(orders), meter=ScriptedMeter(looks), rounds=5, now=caches.now, **fields
    )
    return found[0][Kind.INFERENCE]


def test_calls_in_which_a_thread_waited_for_a_core_do_not_count():
    draw = np.random.default_rng(1)
    lost = (ThreadUse(delay_s=3e-3, wakeups=1) if draw.random() < 0.3 else QUIET for _ in count())

    assert warm_calls_beside(lost) == 6
    assert warm_calls_beside(repeat(ThreadUse(delay_s=3e-3, wakeups=1))) == 1  # nothing is known


def test_wake_ups_of_a_parked_pool_count_at_what_they_cost_on_this_machine():
    woken = ThreadUse(delay_s=2 * 12e-6, wakeups=2)

    assert warm_calls_beside(repeat(woken), wakeup_s=12e-6) == 6


def test_the_second_kind_of_a_turn_is_hot_where_the_first_has_warmed_it():
    caches = Caches(warm_after={"it": 5, "other": 5})
    made, _ = cases({name: caches.builder(name) for name in ("it", "other")}, workload(8, 16))
    made.build_all()
    orders = iter([[0, 1], [1, 0]] * 3)
    trials = {number: {kind: Trial(16, counted=3) for kind in (Kind.INFERENCE, Kind.STEP)} for number in (0, 1)}

    found = find_warm_calls(made, trials, lambda: next(orders), meter=ScriptedMeter(), rounds=5, now=caches.now)

    assert found[0] == {Kind.INFERENCE: 5, Kind.STEP: 1}


def test_a_case_that_fails_in_a_trial_ends_and_the_others_have_theirs():
    calls = []

    def failing(on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            calls.append(1)
            if len(calls) > 20:
                raise RuntimeError("had enough")
            return norm(x, weight, bias)

        return forward

    made, heard = cases({"failing": failing, "fused": "fused"}, workload(8, 16))
    made.build_all()
    trials = {number: {Kind.INFERENCE: Trial(16, counted=3)} for number in (0, 1)}

    found = find_warm_calls(made, trials, lambda: [0, 1], meter=ScriptedMeter(), rounds=5)

    assert list(found) == [1]
    assert heard.ends()[0].status is Status.ERROR
    assert "had enough" in heard.ends()[0].reason


def test_without_room_in_the_budget_nothing_is_tried_and_one_call_is_left_out():
    caches = Caches(warm_after={"it": 5})
    made, _ = cases({"it": caches.builder("it")}, workload(8, 16))
    made.build_all()
    found = warmed_up(made, (Phase.INFERENCE,))
    found[0].call_s[Kind.INFERENCE] = 0.1
    caches.calls.clear()

    choose_warm_calls(made, found, lambda: [0], meter=ScriptedMeter(), sample_s=2e-3, budget_s=2.9)

    assert caches.calls == []
    assert found[0].warm_calls == {Kind.INFERENCE: 1}


def test_with_room_for_three_rounds_three_are_tried():
    caches = Caches(warm_after={"it": 5})
    made, _ = cases({"it": caches.builder("it")}, workload(8, 16))
    made.build_all()
    found = warmed_up(made, (Phase.INFERENCE,))
    found[0].call_s[Kind.INFERENCE] = 0.1
    caches.calls.clear()

    choose_warm_calls(made, found, lambda: [0], meter=ScriptedMeter(), sample_s=2e-3, budget_s=3.1)

    assert len(caches.calls) == 3


@pytest.mark.parametrize("until_hot", [True, False])
def test_a_turn_leaves_out_and_tells_as_many_calls_as_the_trials_found(monkeypatch, until_hot):
    many = {Kind.INFERENCE: 300, Kind.STEP: 400}  # far more than the 200 us that are left out in any case
    monkeypatch.setattr(contenders, "find_warm_calls", lambda *args, **kwargs: {0: many})
    made, heard = cases({"fused": "fused"}, workload(32, 768))
    made.build_all()

    turns = timed(made, heard, ScriptedSampler(), rounds=4, until_hot=until_hot)

    uncounted = {turn.uncounted for turn in turns if turn.case != PROBE_CASE}
    assert (uncounted == {700}) is until_hot


def test_a_case_that_failed_in_the_trials_takes_no_turn(monkeypatch):
    def failing_in_trials(made, *args, **kwargs):
        made.end(0, Status.ERROR, Stage.WARM_UP, "had enough")
        return {1: {Kind.INFERENCE: 1, Kind.STEP: 1}}

    monkeypatch.setattr(contenders, "find_warm_calls", failing_in_trials)
    made, heard = cases({"failing": zoo.honest, "fused": "fused"}, workload(8, 16))
    made.build_all()

    turns = timed(made, heard, ScriptedSampler(), rounds=4, reference=0, until_hot=True)

    assert {turn.case for turn in turns} == {1, PROBE_CASE}


def test_where_every_case_fails_before_the_trials_there_is_nothing_to_try():
    made, heard = cases({"failing": zoo.honest}, workload(8, 16))
    made.build_all()

    def failing():
        raise RuntimeError("had enough")

    made.live[0].prepared.inference = failing

    assert timed(made, heard, ScriptedSampler(), until_hot=True) == []
    assert "had enough" in heard.ends()[0].reason
