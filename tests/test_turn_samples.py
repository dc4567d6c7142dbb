"""What one turn gave: waits that reach back over looks, and the events that report the samples."""

import pytest

from lnbench.measure.sampler import Sample
from lnbench.undisturbed import ThreadUse
from lnbench.worker.calls import Block, Taken
from lnbench.worker.turn_samples import TurnSamples
from lnbench.worker.wakeups import LEAST_SAMPLES, WakeupCosts

CALLS = 10
MS = 1e-3


def taken(begins_ms, ends_ms, *, kind="inference", seconds=1e-4, reach_ms=0.0, usage=None, **fields):
    """A sample between looks at these times; with `reach_ms`, its last look found a wait from before its first."""
    found = ThreadUse(delay_s=0.0, reach_s=reach_ms * MS) if usage is None else usage
    sample = Sample(wall_s={kind: seconds}, **fields)
    return Taken(sample, 20, seconds, found, (begins_ms * MS, ends_ms * MS), 2e-4)


def turn_of(*blocks, samples=3):
    """A turn from 0 on, of blocks of (kind, samples, how long before the last look before it a thread had waited)."""
    turn, last_s = TurnSamples.empty(samples, now=lambda: 0.0), 0.0
    for kind, found, reach_ms in blocks:
        turn.add(kind, Block(tuple(found), 5, last_s - reach_ms * MS if reach_ms else None), calls=CALLS)
        last_s = found[-1].looked_s[1]
    return turn


def delays_ms(turn, kind="inference"):
    return [sample.delay_s[kind] / MS for sample in turn.samples if kind in sample.delay_s]


def events_of(turn, **fields):
    said = {"process": 1, "workload": 2, "number": 3, "case": 4, "started_s": 0.5, "with_faults": True}
    return list(turn.events(**(said | fields)))


def test_a_wait_that_began_during_the_samples_before_disturbs_them():
    samples = [taken(0, 2), taken(2, 4), taken(4, 6, reach_ms=3)]

    turn = turn_of(("inference", samples, 0))

    assert delays_ms(turn) == pytest.approx([1, 2, 0])  # from 1 ms on
    assert turn.reach_s == 0


def test_a_wait_that_began_in_the_samples_of_another_kind_disturbs_those():
    inference = [taken(0, 2), taken(2, 4)]
    step = [taken(5, 7, kind="step", reach_ms=2)]

    turn = turn_of(("inference", inference, 0), ("step", step, 0))

    assert delays_ms(turn) == pytest.approx([0, 1])  # from 3 ms to the look at 4; 4 to 5 are calls that do not count
    assert delays_ms(turn, "step") == [0]


def test_a_wait_that_the_first_look_of_a_kind_found_reaches_back_from_the_last_look_of_the_kind_before():
    turn = turn_of(("inference", [taken(0, 2), taken(2, 4)], 0), ("step", [taken(5, 7, kind="step")], 3))

    assert delays_ms(turn) == pytest.approx([1, 2])


def test_a_wait_that_began_before_the_turn_is_told_of_the_turn():
    by_the_first_look = turn_of(("inference", [taken(0, 2)], 4))
    by_a_later_one = turn_of(("inference", [taken(1, 2), taken(2, 4, reach_ms=5)], 0))

    assert by_the_first_look.reach_s == pytest.approx(4 * MS)
    assert by_a_later_one.reach_s == pytest.approx(3 * MS)  # 5 ms before the look at 2 ms; the turn began at 0
    assert delays_ms(by_a_later_one) == pytest.approx([1, 0])


def test_a_look_that_found_no_wait_from_before_changes_nothing():
    turn = turn_of(("inference", [taken(0, 2), taken(2, 4)], 0), ("step", [taken(5, 7, kind="step")], 0))

    assert (delays_ms(turn), turn.reach_s) == ([0, 0], 0.0)


def test_a_sample_in_which_a_thread_waited_is_disturbed_and_by_kind():
    lost = ThreadUse(delay_s=3e-3, wakeups=1)
    woken = ThreadUse(delay_s=9 * 7e-6, wakeups=9)
    turn = turn_of(
        ("inference", [taken(0, 2), taken(2, 4, usage=lost), taken(4, 6, usage=woken)], 0),
        ("step", [taken(7, 9, kind="step", usage=lost)], 0),
    )

    assert [sample.disturbed(WakeupCosts(), wakeup_s=7e-6) for sample in turn.samples] == [
        {"step"},
        {"inference"},
        set(),
    ]


def test_many_wakeups_are_paid_at_what_they_cost_the_row_once_that_is_known():
    lost = ThreadUse(delay_s=4e-3, wakeups=1300)  # 5 us each would be 6.5 ms
    turn, costs = turn_of(("inference", [taken(0, 2, usage=lost)], 0)), WakeupCosts()

    before = turn.samples[0].disturbed(costs, wakeup_s=5e-6)
    for _ in range(LEAST_SAMPLES):
        costs.note("inference", delay_s=1300 * 0.7e-6, wakeups=1300)

    assert before == set()
    assert turn.samples[0].disturbed(costs, wakeup_s=5e-6) == {"inference"}
    assert costs.least_s("inference") == pytest.approx(0.7e-6)
    assert costs.least_s("step") is None


def test_the_events_of_a_turn_share_its_start_and_are_numbered():
    turn = turn_of(("inference", [taken(0, 2), taken(2, 4)], 0), ("step", [taken(5, 7, kind="step")], 0))
    turn.steal_s = 0.02

    events = events_of(turn)

    assert [(event.sample, event.started_s, event.round, event.case) for event in events] == [
        (0, 0.5, 3, 4),
        (1, 0.5, 3, 4),
    ]
    assert [sorted(event.calls) for event in events] == [["inference", "step"], ["inference"]]
    assert [event.uncounted for event in events] == [10, 0]
    assert [event.steal_s for event in events] == [0.02, 0.02]


def test_what_reaches_back_before_the_turn_stands_in_its_first_event():
    turn = turn_of(("inference", [taken(0, 2), taken(2, 4)], 3))

    assert [event.reach_s for event in events_of(turn)] == [pytest.approx(3 * MS), 0.0]


def test_an_event_has_what_the_scheduler_did_and_faults_per_call():
    usage = ThreadUse(delay_s=1e-5, wakeups=2, involuntary=3, voluntary=4)
    (event,) = events_of(turn_of(("inference", [taken(0, 2, usage=usage)], 0)))

    assert event.delay_s == {"inference": 1e-5}
    assert (event.wakeups, event.involuntary, event.voluntary) == ({"inference": 2}, {"inference": 3}, {"inference": 4})
    assert event.cpu_s == {"inference": 2e-4}
    assert event.faults == {"inference": 2.0}


def test_without_schedstat_an_event_has_switches_and_no_delay():
    (event,) = events_of(turn_of(("inference", [taken(0, 2, usage=ThreadUse(involuntary=1))], 0)))

    assert (event.delay_s, event.wakeups, event.involuntary) == ({}, {}, {"inference": 1})


def test_where_nothing_was_looked_at_an_event_says_nothing_of_it():
    unseen = Taken(Sample(device_s={"inference": 1e-4}), 0, None, None, (0.0, 2 * MS), 0.0)
    turn = turn_of(("inference", [unseen], 0))

    (event,) = events_of(turn, with_faults=False)

    assert (event.delay_s, event.involuntary, event.cpu_s, event.faults) == ({}, {}, {}, {})
    assert event.device_s == {"inference": 1e-4}
    assert turn.samples[0].disturbed(WakeupCosts(), wakeup_s=7e-6) == set()
