"""Whether other processes use the machine, seen by a worker between its turns."""

from dataclasses import dataclass

import pytest

from lnbench.busyness import QUIET_CORES
from lnbench.measure.neighbours import Counters, MachineUse
from lnbench.worker.others import LOOK_EVERY_S, Others


@dataclass
class Meter:
    """Counters of a machine on which others use so many cores."""

    others: float | None
    now_s: float = 0.0
    looks: int = 0

    def counters(self, *, of_all):
        assert not of_all
        self.looks += 1
        return Counters(at_s=self.now_s, busy_s=0.0, own_s=0.0, delays_ns=None, pressure_s=None)

    def usage(self, before, after):
        return MachineUse(seconds=after.at_s - before.at_s, cores=2, others=self.others)


def after(meter, seconds):
    others = Others(meter, now=lambda: meter.now_s)
    others.are_away()
    meter.now_s = seconds
    return others.are_away()


@pytest.mark.parametrize(
    ("used", "away"), [(0.0, True), (0.9 * QUIET_CORES, True), (1.1 * QUIET_CORES, False), (1.0, False), (None, False)]
)
def test_others_are_away_where_they_use_less_than_a_twentieth_of_a_core(used, away):
    assert after(Meter(used), LOOK_EVERY_S) is away


def test_a_window_that_was_begun_forgets_what_was_seen():
    meter = Meter(0.0)
    others = Others(meter, now=lambda: meter.now_s)
    others.begin()
    meter.now_s = LOOK_EVERY_S
    seen = others.are_away()
    others.begin()

    assert (seen, others.are_away()) == (True, False)


def test_before_a_whole_window_nothing_is_known():
    assert after(Meter(0.0), 0.9 * LOOK_EVERY_S) is False


def test_the_counters_are_read_once_a_window():
    meter = Meter(0.0)
    others = Others(meter, now=lambda: meter.now_s)
    for tenth in range(31):
        meter.now_s = tenth / 10
        others.are_away()

    assert meter.looks == 1 + 3.0 / LOOK_EVERY_S
