"""When the rounds may stop, on plain numbers."""

import numpy as np

from lnbench.worker.stopping import StoppingRule
from lnbench.workload import Phase

ONE_PHASE = (Phase.INFERENCE,)
FUSED, EAGER = 0, 1


def known(*, precision=0.01, cases=(FUSED, EAGER), phases=ONE_PHASE):
    return StoppingRule(dict.fromkeys(cases, phases), references={EAGER: FUSED}, precision=precision)


def keep_rounds(it, *, noise, rounds=40, cases=(FUSED, EAGER), drift=0.0):
    """Turns of fused at 1 ms and of eager at 3, each with noise of its own on a machine that slows down."""
    draw = np.random.default_rng(3)
    for number in range(rounds):
        for case in cases:
            seconds = 1e-3 * (1 + 2 * case) * np.exp(drift * number + draw.normal(0, noise))
            it.keep(case, number, started_s=number + case / 10, seconds={"inference": seconds})


def test_quiet_rounds_are_known_and_noisy_ones_are_not():
    quiet, noisy = known(), known()
    keep_rounds(quiet, noise=0.001)
    keep_rounds(noisy, noise=0.2)

    assert quiet.is_precise()
    assert not noisy.is_precise()


def test_what_all_cases_share_does_not_count():
    drifting = known()
    keep_rounds(drifting, noise=0.001, drift=0.05)

    assert drifting.is_precise()


def test_without_cases_nothing_is_known():
    assert not known(cases=()).is_precise()


def test_a_case_without_a_turn_is_waited_for():
    it = known()
    keep_rounds(it, noise=0.001, cases=(FUSED,))

    assert not it.is_precise()


def test_a_case_that_does_not_decide_is_not_waited_for():
    it = known(cases=(FUSED,))
    keep_rounds(it, noise=0.001)

    assert it.is_precise()


def test_a_case_that_has_an_inference_alone_decides_with_that_alone():
    both = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)
    it = StoppingRule({FUSED: both, EAGER: ONE_PHASE}, references={EAGER: FUSED}, precision=0.01)
    draw = np.random.default_rng(3)
    for number in range(40):
        seconds = {phase: float(np.exp(draw.normal(0, 0.001))) for phase in both}
        it.keep(FUSED, number, started_s=number, seconds=seconds)
        it.keep(EAGER, number, started_s=number + 0.1, seconds={"inference": seconds["inference"] * 3})

    assert it.is_precise()


def test_a_turn_that_lacks_a_phase_says_nothing():
    it = known(phases=(Phase.INFERENCE, Phase.FORWARD_BACKWARD))
    keep_rounds(it, noise=0.001)

    assert not it.is_precise()


def test_spoiled_rounds_are_forgotten():
    it = known()
    keep_rounds(it, noise=0.001)
    for number in (40, 41, 42):
        it.keep(FUSED, number, started_s=number, seconds={"inference": 1e-3})
        it.keep(EAGER, number, started_s=number + 0.1, seconds={"inference": 1.0 + number})
    it.forget_rounds(range(40))

    assert not it.is_precise()  # of three rounds nothing is known

    keep_rounds(it, noise=0.001)
    it.forget_rounds(range(40, 43))

    assert it.is_precise()


def test_a_case_whose_reference_was_dropped_has_to_be_known_by_itself():
    drifting = known()
    keep_rounds(drifting, noise=0.001, drift=0.05)

    drifting.drop(FUSED)

    assert not drifting.is_precise()


def keep_pairs(it, *, numbers, phases, noise=0.001):
    """Turns of both cases in these rounds, in these phases alone."""
    draw = np.random.default_rng(3)
    for number in numbers:
        for case in (FUSED, EAGER):
            seconds = {phase: 1e-3 * float(np.exp(draw.normal(0, noise))) for phase in phases}
            it.keep(case, number, started_s=number + case / 10, seconds=seconds)


def test_each_phase_is_waited_for_by_its_own_pairs():
    both = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)
    it = known(phases=both)
    keep_pairs(it, numbers=range(40), phases=ONE_PHASE)
    keep_pairs(it, numbers=range(40, 44), phases=both)  # the steps of the others were disturbed

    assert not it.is_precise()
    assert not it.is_settled()


def test_a_pair_counts_when_both_members_are_undisturbed():
    it = known()
    for number in range(60):
        if number % 2:
            it.keep(FUSED, number, started_s=number, seconds={"inference": 1e-3})
        if number % 3:
            it.keep(EAGER, number, started_s=number + 0.1, seconds={"inference": 2e-3})
    precise_at_20 = it.is_precise()  # rounds that neither 2 nor 3 divides
    it.forget_rounds(range(59, 60))

    assert precise_at_20
    assert not it.is_precise()


def test_extra_time_is_wanted_while_no_row_has_a_pair():
    it = known()
    keep_rounds(it, noise=0.001, cases=(FUSED,))

    assert not it.is_settled()
    assert not it.is_precise()


def test_extra_time_is_wanted_while_a_row_with_pairs_is_not_known():
    it = known()
    keep_rounds(it, noise=0.2)

    assert not it.is_settled()


def test_no_extra_time_is_wanted_when_every_row_is_known():
    it = known()
    keep_rounds(it, noise=0.001)

    assert it.is_settled()
