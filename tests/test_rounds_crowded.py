"""Rounds on a machine that a script makes busy: on a clock that only samples move, and a meter that a test writes."""

from dataclasses import dataclass
from itertools import chain, count, cycle, repeat
from random import Random

import pytest
from fake_clocks import OneCopy
from stage import QUIET, ScriptedMeter, ScriptedOthers, ScriptedSampler, Unwatched, cases, workload

from lnbench.events import PROBE_CASE, Turn
from lnbench.measure.sampler import Sample
from lnbench.stats import LEAST_ROUNDS
from lnbench.undisturbed import ThreadUse
from lnbench.worker import rounds as rounds_module
from lnbench.worker.probing import ProbeTurns
from lnbench.worker.rounds import Rounds
from lnbench.worker.watching import Watch
from lnbench.workload import Clock, Phase

pytestmark = pytest.mark.usefixtures("one_thread")

LOST = ThreadUse(delay_s=3e-3, wakeups=1)
"""A thread waited for another process's time slice."""

SAMPLE_S = 0.01
BUDGET_S = 1.0


class SlowSampler(ScriptedSampler):
    """Each sample of a case moves the clock by so much, however many calls it has; those calls are kept.

    The times that it says scatter, so that no interval is ever narrow enough.
    """

    def __init__(self, *, seconds=SAMPLE_S):
        super().__init__()
        self.now_s = 0.0
        self.calls = []
        self._seconds = seconds
        self._draw = Random(1)

    def sample_inference(self, work, calls):
        self.now_s += self._seconds
        self.calls.append(calls)
        return Sample(wall_s={"inference": self._draw.uniform(0.9e-4, 1.1e-4)})

    def sample_copy(self, copies, name, calls):
        return Sample(wall_s={name: 5e-5})


@dataclass
class Measured:
    """The turns of the cases, what the rounds said at their end, and how long they took."""

    turns: list[Turn]
    finished: object
    took_s: float
    calls: list[int]

    def samples_by_round(self):
        return [
            sum(turn.round == number and turn.case == 0 for turn in self.turns)
            for number in range(self.finished.rounds)
        ]


def busy(share, *, looks=None):
    """Looks of which this share found no thread waiting."""
    draw = Random(2)
    return (QUIET if draw.random() < share else LOST for _ in (count() if looks is None else range(looks)))


def measure(monkeypatch, looks, *, extra_s=0.0, budget_s=BUDGET_S, seconds=SAMPLE_S, precision=1e-12, away=False):
    """Run rounds over built cases whose looks a script writes."""
    made, heard = cases({"eager": "eager", "fused": "fused"}, workload(8, 16))
    made.build_all()
    sampler, meter = SlowSampler(seconds=seconds), ScriptedMeter(looks)
    monkeypatch.setattr(rounds_module, "perf_counter", lambda: sampler.now_s)
    finished = Rounds(
        heard,
        made,
        sampler,
        process=0,
        workload_number=0,
        references={0: 1},
        phases=(Phase.INFERENCE,),
        precision=precision,
        budget_s=budget_s,
        extra_s=extra_s,
        first_round=0,
        seed=5,
        probe=ProbeTurns(OneCopy(lambda: None), sampler, ScriptedMeter()),
        watch=Watch(made, Unwatched(), workload_number=0, now=lambda: sampler.now_s),
        meter=meter,
        others=ScriptedOthers(away),
        clock=Clock.WALL,
        until_hot=False,
    ).run(setup_s=0.0, compiling_s=0.0)
    turns = [turn for turn in heard.of(Turn) if turn.case != PROBE_CASE]
    return Measured(turns, finished, sampler.now_s, sampler.calls)


def test_on_a_quiet_machine_a_turn_takes_one_sample_and_the_budget_is_kept(monkeypatch):
    found = measure(monkeypatch, repeat(QUIET), extra_s=9.0)

    assert set(found.samples_by_round()) == {1}
    assert found.finished.stopped_by == "budget"
    assert found.took_s == pytest.approx(BUDGET_S, abs=2 * SAMPLE_S)
    assert all(turn.delay_s == {"inference": 0.0} for turn in found.turns)


def test_threads_that_wait_where_no_other_process_runs_neither_shorten_samples_nor_take_extra_time(monkeypatch):
    found = measure(monkeypatch, repeat(LOST), extra_s=9.0, away=True)

    assert set(found.samples_by_round()) == {1}
    assert found.took_s == pytest.approx(BUDGET_S, abs=2 * SAMPLE_S)


def test_on_a_busy_machine_samples_get_shorter_and_a_turn_takes_more_of_them(monkeypatch):
    found = measure(monkeypatch, repeat(LOST), budget_s=9.0)

    by_round = found.samples_by_round()
    assert by_round[0] == 1
    assert by_round[-1] == 8
    assert by_round == sorted(by_round)
    assert min(found.calls[-20:]) < max(found.calls[:4]) / 4
    assert min(found.calls) >= 1
    for number in range(found.finished.rounds):  # within a round the samples of all cases are alike in number
        both = [sum(turn.round == number and turn.case == case for turn in found.turns) for case in (0, 1)]
        assert both[0] == both[1]


def test_a_machine_that_becomes_quiet_gets_its_long_samples_back(monkeypatch):
    found = measure(monkeypatch, chain(repeat(LOST, 300), repeat(QUIET)), budget_s=9.0)

    by_round = found.samples_by_round()
    assert max(by_round) == 8
    assert by_round[-1] == 1


def test_every_sample_is_kept_in_the_journal_also_a_disturbed_one(monkeypatch):
    found = measure(monkeypatch, cycle([QUIET, LOST, LOST]))

    assert {turn.delay_s["inference"] for turn in found.turns} == {0.0, LOST.delay_s}
    assert len(found.turns) == len(found.calls)


def test_where_a_busy_machine_leaves_rows_unknown_the_rounds_go_on_up_to_the_extra_time(monkeypatch):
    found = measure(monkeypatch, busy(0.4), extra_s=2.0)

    a_round_s = 2 * 8 * SAMPLE_S
    assert found.finished.stopped_by == "budget"
    assert BUDGET_S + 2.0 <= found.took_s <= BUDGET_S + 2.0 + a_round_s


def test_the_rounds_go_on_no_longer_than_until_every_row_is_known(monkeypatch):
    found = measure(monkeypatch, chain(busy(0.15, looks=300), repeat(QUIET)), extra_s=50.0, precision=0.2)

    kept = [
        {turn.round for turn in found.turns if turn.case == case and turn.delay_s["inference"] == 0} for case in (0, 1)
    ]
    assert BUDGET_S < found.took_s < BUDGET_S + 25.0
    assert len(kept[0] & kept[1]) >= LEAST_ROUNDS


def test_on_a_quiet_machine_the_rounds_do_not_go_on_though_rows_are_unknown(monkeypatch):
    found = measure(monkeypatch, repeat(QUIET), extra_s=50.0, seconds=0.1)

    assert found.finished.rounds < LEAST_ROUNDS
    assert found.took_s == pytest.approx(BUDGET_S, abs=0.2)


def test_one_lost_sample_on_a_quiet_machine_takes_no_extra_time(monkeypatch):
    found = measure(monkeypatch, chain([QUIET, LOST], repeat(QUIET)), extra_s=50.0, seconds=0.05)

    assert found.took_s <= BUDGET_S + 0.1


def test_without_extra_time_the_budget_holds_whatever_was_lost(monkeypatch):
    found = measure(monkeypatch, busy(0.4))

    assert found.took_s <= BUDGET_S + 2 * 8 * SAMPLE_S


@pytest.mark.parametrize(("stolen_s", "stopped_by"), [(0.0, "precision"), (0.01, "budget")])
def test_a_turn_during_which_a_hypervisor_took_cores_away_gives_no_pair(monkeypatch, stolen_s, stopped_by):
    total_s = count(0.0, stolen_s)
    monkeypatch.setattr(ScriptedMeter, "steal_s", lambda _: next(total_s))

    found = measure(monkeypatch, repeat(QUIET), precision=0.5)

    assert found.finished.stopped_by == stopped_by
    assert all(turn.steal_s == pytest.approx(stolen_s) for turn in found.turns)


@pytest.mark.parametrize(("looks", "is_placed"), [(QUIET, False), (LOST, True)])
def test_threads_are_placed_on_cores_of_their_own_on_a_busy_machine_only(monkeypatch, looks, is_placed):
    done = []
    monkeypatch.setattr(rounds_module.Placement, "spread", lambda _, threads: done.append("spread"))
    monkeypatch.setattr(rounds_module.Placement, "set_back", lambda _: done.append("set back"))

    measure(monkeypatch, repeat(looks))

    assert bool(done) is is_placed
    assert done[::2] == ["spread"] * (len(done) // 2)
    assert done[1::2] == ["set back"] * (len(done) // 2)
