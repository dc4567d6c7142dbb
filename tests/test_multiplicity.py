"""Many tests at once: both steps hold their level over 200 cases, and agree with other implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle
from statsmodels.stats.multitest import multipletests

from lnbench.multiplicity import FALSE_DISCOVERIES, FAMILY_ERROR, false_discovery, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=40)
CASES, TRIALS = 200, 1000


@given(p_values)
def test_holm_chooses_what_statsmodels_chooses(found):
    expected = multipletests(found, alpha=FAMILY_ERROR, method="holm")[0].tolist()

    assert holm(found) == expected


@given(p_values)
def test_false_discovery_control_chooses_what_statsmodels_chooses(found):
    expected = multipletests(found, alpha=FALSE_DISCOVERIES, method="fdr_bh")[0].tolist()

    assert false_discovery(found) == expected


@given(p_values, st.randoms(use_true_random=False))
def test_the_order_of_tests_decides_nothing(found, random):
    order = random.sample(range(len(found)), len(found))

    for step in (holm, false_discovery):
        assert step([found[place] for place in order]) == [step(found)[place] for place in order]


@pytest.mark.parametrize("step", [holm, false_discovery])
def test_no_tests_choose_nothing_and_one_test_keeps_its_level(step):
    level = FAMILY_ERROR if step is holm else FALSE_DISCOVERIES

    assert step([]) == []
    assert step([level]) == [True]
    assert step([level * 1.001]) == [False]


@pytest.mark.parametrize("step", [holm, false_discovery])
@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_p_value_is_refused(step, wrong):
    with pytest.raises(ValueError, match=r"p value|not finite"):
        step([0.5, wrong])


def test_holm_among_more_tests_is_stricter():
    found = [0.01, 0.02]

    assert holm(found, level=0.05) == [True, True]
    assert holm(found, level=0.05, among=4) == [True, False]
    assert holm(found, level=0.05, among=6) == [False, False]
    with pytest.raises(ValueError, match="can't be selected"):
        holm(found, among=1)


def most(share):
    """The most events that a true rate of `share` shows in 999 of 1000 repetitions."""
    return oracle.binom.ppf(0.999, TRIALS, share)


def one_sided_p(effects):
    """P values of 200 cases, those with an effect small."""
    random = np.random.default_rng(41)
    for _ in range(TRIALS):
        shifts = np.where(np.arange(CASES) < effects, 4.0, 0.0)
        yield oracle.norm.sf(random.normal(shifts, 1.0)).tolist()


@pytest.mark.parametrize("effects", [0, 10])
def test_holm_holds_its_level_over_200_cases(effects):
    wrong = sum(any(holm(found)[effects:]) for found in one_sided_p(effects))

    assert wrong <= most(FAMILY_ERROR)


@pytest.mark.parametrize("effects", [0, 10, 100])
def test_false_discovery_control_holds_its_rate_over_200_cases(effects):
    shares = []
    for found in one_sided_p(effects):
        chosen = np.array(false_discovery(found))
        shares.append(chosen[effects:].sum() / max(chosen.sum(), 1))

    error = np.std(shares) / np.sqrt(TRIALS)
    assert np.mean(shares) <= FALSE_DISCOVERIES + 3 * error
