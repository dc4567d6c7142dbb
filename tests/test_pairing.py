"""Turns paired with the reference's nearest ones, held against a plain search."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.pairing import Turns, pair_nearest


def test_each_turn_is_paired_with_the_nearest_reference_turn_of_its_round():
    implementation = Turns([1, 0, 0, 2], [12.0, 4.0, 1.0, 20.0], [8.0, 4.0, 2.0, 1.0])
    reference = Turns([0, 0, 1, 3], [0.0, 5.0, 19.9, 20.1], [2.0, 16.0, 8.0, 1.0])

    paired = pair_nearest(implementation, reference)

    assert paired == pytest.approx([math.log(2 / 2), math.log(16 / 4), math.log(8 / 8)], rel=1e-12)


def test_a_turn_midway_between_two_reference_turns_takes_their_mean_in_log():
    paired = pair_nearest(Turns([0], [1.0], [1.0]), Turns([0, 0, 0], [2.0, 0.0, 9.0], [8.0, 2.0, 5.0]))

    assert paired == pytest.approx([math.log(4)], rel=1e-12)


def test_without_a_common_round_there_are_no_pairs():
    turns = Turns([0, 1], [0.0, 1.0], [1.0, 1.0])

    for other in (Turns([], [], []), Turns([5], [0.0], [1.0])):
        assert len(pair_nearest(turns, other)) == len(pair_nearest(other, turns)) == 0


def test_the_reference_paired_with_itself_reads_one():
    turns = Turns([0, 0, 1], [0.0, 3.0, 5.0], [1.0, 2.0, 3.0])

    assert pair_nearest(turns, turns).tolist() == [0.0, 0.0, 0.0]


TURN = st.tuples(st.integers(0, 4), st.integers(0, 20), st.integers(1, 9))


@given(st.lists(TURN, max_size=12), st.lists(TURN, max_size=12))
def test_pairs_are_those_of_a_plain_search(turns, ref_turns):
    expected = []
    for number, started, seconds in sorted(turns, key=lambda turn: turn[:2]):
        partners = [(abs(ref[1] - started), math.log(ref[2])) for ref in ref_turns if ref[0] == number]
        nearest = [log_time for gap, log_time in partners if gap == min(partners)[0]]
        expected += [sum(nearest) / len(nearest) - math.log(seconds)] if nearest else []

    paired = pair_nearest(*(Turns(*np.array(side, dtype=float).reshape(-1, 3).T) for side in (turns, ref_turns)))

    assert paired.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_times_that_are_not_positive_and_finite_are_refused(bad):
    good = Turns([0], [0.0], [1.0])

    for sides in ((Turns([0], [0.0], [bad]), good), (good, Turns([0], [0.0], [bad]))):
        with pytest.raises(ValueError, match=r"times are positive|not finite"):
            pair_nearest(*sides)
