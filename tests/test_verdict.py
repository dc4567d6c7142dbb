"""Verdicts: evidence and size together, at their bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.across import Mean, mean_of
from lnbench.multiplicity import false_discovery, holm
from lnbench.verdict import Verdict, judge

MIRROR = {Verdict.SLOWER: Verdict.FASTER, Verdict.FASTER: Verdict.SLOWER}


def slowdowns(percent: float, *, deviation=0.002, count=3) -> Mean:
    """So many processes around a slowdown, evenly."""
    places = [deviation * (place - (count - 1) / 2) for place in range(count)]
    return mean_of([math.log1p(percent / 100) + place for place in places])


def verdict(difference: Mean, *, margin=0.03, correction=false_discovery) -> Verdict:
    ((found, _),) = judge([difference], [margin], correction=correction)
    return found


@pytest.mark.parametrize(
    ("percent", "deviation", "expected"),
    [
        (5.0, 0.002, Verdict.SLOWER),
        (-5.0, 0.002, Verdict.FASTER),
        (0.5, 0.002, Verdict.SAME),
        (5.0, 0.05, Verdict.INCONCLUSIVE),  # size without evidence
        (2.0, 0.001, Verdict.SAME),  # evidence without size
        (2.9, 0.002, Verdict.INCONCLUSIVE),  # evidence, and the interval crosses the margin
        (0.0, 0.05, Verdict.INCONCLUSIVE),  # too wide
    ],
)
def test_a_verdict_takes_evidence_and_size(percent, deviation, expected):
    assert verdict(slowdowns(percent, deviation=deviation)) is expected


def test_five_percent_slower_within_noise_is_inconclusive():
    assert verdict(slowdowns(5, deviation=0.2, count=12)) is Verdict.INCONCLUSIVE


def test_exactly_the_margin_is_not_slower():
    assert verdict(mean_of([math.log1p(0.03)] * 4)) is Verdict.SAME
    assert verdict(mean_of([math.nextafter(math.log1p(0.03), 1)] * 4)) is Verdict.SLOWER


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_processes_judge_nothing(count):
    assert verdict(slowdowns(50, deviation=1e-6, count=count)) is Verdict.INCONCLUSIVE


def test_what_is_convincing_alone_may_not_be_among_many():
    borderline = slowdowns(5, deviation=0.015)
    others = [slowdowns(0, deviation=0.015) for _ in range(60)]

    alone = judge([borderline], [0.03], correction=false_discovery)[0]
    among = judge([borderline, *others], [0.03] * 61, correction=false_discovery)[0]

    assert alone.verdict is Verdict.SLOWER
    assert among.verdict is Verdict.INCONCLUSIVE
    assert "among 61 comparisons" in among.reason


def test_no_rows_have_no_findings():
    assert judge([], [], correction=holm) == []


rows = st.lists(
    st.tuples(st.floats(-30, 30), st.floats(1e-6, 0.2), st.integers(1, 6), st.sampled_from([0.01, 0.03, 0.2])),
    min_size=1,
    max_size=12,
)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_verdict(found, random):
    differences = [slowdowns(percent, deviation=spread, count=count) for percent, spread, count, _ in found]
    margins = [margin for *_, margin in found]
    order = random.sample(range(len(found)), len(found))

    straight = judge(differences, margins, correction=false_discovery)
    shuffled = judge([differences[it] for it in order], [margins[it] for it in order], correction=false_discovery)

    assert shuffled == [straight[place] for place in order]


@given(rows)
def test_swapping_base_and_head_swaps_slower_and_faster(found):
    differences = [slowdowns(percent, deviation=spread, count=count) for percent, spread, count, _ in found]
    margins = [margin for *_, margin in found]

    there = [verdict for verdict, _ in judge(differences, margins, correction=false_discovery)]
    back = [verdict for verdict, _ in judge([-it for it in differences], margins, correction=false_discovery)]

    assert back == [MIRROR.get(verdict, verdict) for verdict in there]
