"""What a check can tell apart before it runs, held against simulated checks."""

import math

import numpy as np
import pytest
from scipy import stats as oracle

from lnbench.across import Spread, mean_of
from lnbench.analysis.power import Power, power_of
from lnbench.contrasts import Contrast
from lnbench.multiplicity import FALSE_DISCOVERIES, FAMILY_ERROR
from lnbench.sides import RowKey
from lnbench.verdict import Finding, Verdict

ROWS = 12


def contrasts(deviation, *, rows=ROWS, count=3, is_paired=True, margin=0.03, seed=61):
    """Rows of one kind whose known processes have exactly this deviation."""
    places = np.linspace(-1, 1, count)
    places *= deviation / places.std(ddof=1)
    known = dict(enumerate(places.tolist()))
    return [
        Contrast(
            key=RowKey(f"{number}", "mine", "", "inference", "wall"),
            margin=margin,
            base_row=None,
            head_row=None,
            base={} if is_paired else known,
            head=known if is_paired else {},
            is_paired=is_paired,
        )
        for number in range(rows)
    ]


def power(deviation, *, processes=3, **options) -> Power:
    return power_of(contrasts(deviation, **options), processes=processes)[0]


def test_quiet_rows_resolve_and_noisy_ones_do_not():
    quiet, noisy = power(0.003), power(0.08)

    assert quiet.resolves
    assert not noisy.resolves
    assert quiet.processes == 3
    assert noisy.processes is None or noisy.processes > 20
    assert quiet.smallest < noisy.smallest


def test_more_processes_resolve_more():
    found = [power(0.02, processes=count) for count in (3, 6, 12, 24)]

    assert [it.half_width for it in found] == sorted((it.half_width for it in found), reverse=True)
    assert [it.chance_5 for it in found] == sorted(it.chance_5 for it in found)
    assert not found[0].resolves
    assert found[-1].resolves


def test_the_processes_it_takes_are_the_fewest_that_resolve():
    needed = power(0.02).processes

    assert needed is not None
    assert power(0.02, processes=needed, count=needed).resolves
    assert not power(0.02, processes=needed - 1, count=needed - 1).resolves


def test_a_baseline_s_own_luck_costs_power():
    assert power(0.01, is_paired=False).half_width > power(0.01).half_width
    assert power(0.01, is_paired=False).chance_5 < power(0.01).chance_5


def test_a_wider_margin_resolves_what_a_narrow_one_does_not():
    assert not power(0.02).resolves
    assert power(0.02, margin=0.2).resolves


def test_rows_without_doubt_resolve_everything_above_the_margin():
    found = power(0.0)

    assert (found.half_width, found.chance_5) == (0.0, 1.0)
    assert found.smallest == pytest.approx(0.03, abs=1e-3)


def test_what_can_not_be_judged_or_is_known_from_one_process_has_no_power():
    settled = [Contrast(**{**_fields(it), "finding": Finding(Verdict.MISSING, "gone")}) for it in contrasts(0.01)]

    assert power_of(settled, processes=3) == []
    assert power_of(contrasts(0.0, count=2)[:0], processes=3) == []


def _fields(contrast):
    return {name: getattr(contrast, name) for name in Contrast.__dataclass_fields__}


@pytest.mark.parametrize("deviation", [0.005, 0.01, 0.02])
@pytest.mark.parametrize("slowdown", [0.05, 0.10])
def test_the_chance_of_a_confirmed_slowdown_is_what_simulated_checks_show(deviation, slowdown):
    random, trials = np.random.default_rng(62), 400
    found = power(deviation)
    expected = found.chance_5 if slowdown == 0.05 else found.chance_10
    caught = 0
    for _ in range(trials):
        stages = []
        for level in (FALSE_DISCOVERIES / ROWS, FAMILY_ERROR):
            spread, truth = Spread(), math.log1p(slowdown)
            for number in range(ROWS - 1):
                spread.add("kind", number, random.normal(0, deviation, 3))
            mean = mean_of(random.normal(truth, deviation, 3), pooled=spread.without("kind", "slow"))
            is_clear = mean.value > math.log1p(0.03) and mean.interval().low > 0
            stages.append(is_clear and mean.p_above_zero() <= level)
        caught += all(stages)

    # The bounds are taken as known, so the figure is a little too confident in the middle: within 0.15.
    error = 3 * math.sqrt(0.25 / trials)
    assert caught / trials == pytest.approx(expected, abs=0.15 + error)


def test_the_expected_interval_is_as_wide_as_simulated_ones():
    random, widths = np.random.default_rng(63), []
    for _ in range(300):
        spread = Spread()
        for number in range(ROWS - 1):
            spread.add("kind", number, random.normal(0, 0.01, 3))
        interval = mean_of(random.normal(0, 0.01, 3), pooled=spread.without("kind", "it")).interval()
        widths.append((interval.high - interval.low) / 2)

    t = oracle.t.ppf(0.975, 4)
    assert np.median(widths) == pytest.approx(t * 0.01 / math.sqrt(3), rel=0.15)
