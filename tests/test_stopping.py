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


def test_the_row_with_the_fewest_pairs_is_the_one_that_counts():
    both = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)
    it = known(phases=both)
    for number in range(12):
        it.keep(FUSED, number, started_s=number, seconds=dict.fromkeys(both, 1e-3))
        seen = both if number < 7 else ONE_PHASE  # of the others, its step was disturbed
        it.keep(EAGER, number, started_s=number + 0.1, seconds=dict.fromkeys(seen, 2e-3))

    assert it.fewest() == 7


def test_a_pair_counts_when_both_members_are_undisturbed():
    it = known()
    for number in range(30):
        if number % 2:
            it.keep(FUSED, number, started_s=number, seconds={"inference": 1e-3})
        if number % 3:
            it.keep(EAGER, number, started_s=number + 0.1, seconds={"inference": 2e-3})

    assert it.fewest() == 10  # rounds that neither 2 nor 3 divides


def test_each_phase_is_waited_for_by_its_own_pairs():
    both = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)
    it = known(phases=both)
    draw = np.random.default_rng(3)
    for number in range(40):
        for case in (FUSED, EAGER):
            seconds = {phase: 1e-3 * float(np.exp(draw.normal(0, 0.001))) for phase in both}
            if case == EAGER and number > 3:
                del seconds[Phase.FORWARD_BACKWARD]
            it.keep(case, number, started_s=number + case / 10, seconds=seconds)

    assert not it.is_precise()


def test_without_a_turn_of_some_case_there_are_no_pairs():
    it = known()
    keep_rounds(it, noise=0.001, cases=(FUSED,))

    assert it.fewest() == 0


def test_of_a_case_that_is_compared_with_nothing_its_own_turns_count():
    it = known(cases=(FUSED,))
    keep_rounds(it, noise=0.001, rounds=9, cases=(FUSED,))

    assert it.fewest() == 9
