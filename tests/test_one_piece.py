"""A step that is one function beside its parts: timed for itself, in a block of its own, in the same turn."""

import pytest
import zoo
from fabricate import case, run, turn
from fabricate import workload as planned_workload
from stage import ScriptedSampler, cases, timed, workload

from lnbench.events import PROBE_CASE
from lnbench.measure.sampler import HostSampler
from lnbench.summaries import summarize
from lnbench.tables import samples_table
from lnbench.worker.calls import Kind, kinds_for
from lnbench.worker.contenders import warmed_up
from lnbench.workload import Phase

pytestmark = pytest.mark.usefixtures("one_thread")

INFERENCE, FORWARD, BACKWARD, WHOLE = Phase


@pytest.mark.parametrize(
    ("phases", "of_parts", "in_one_piece"),
    [
        (tuple(Phase), ["inference", "step"], ["inference", "step", "forward_backward"]),
        ((INFERENCE,), ["inference"], ["inference"]),
        ((FORWARD,), ["step"], ["step"]),
        ((BACKWARD, WHOLE), ["step"], ["step", "forward_backward"]),
        ((INFERENCE, WHOLE), ["inference", "step"], ["inference", "forward_backward"]),
    ],
)
def test_the_parts_are_called_only_where_a_phase_needs_them(phases, of_parts, in_one_piece):
    made, _ = cases({"it": zoo.honest}, workload(8, 16))
    made.build_all()
    case = made.live[0].prepared

    plain = list(kinds_for(phases, case, on_cuda=False))
    case.forward_backward = lambda: None
    assert (plain, list(kinds_for(phases, case, on_cuda=False))) == (of_parts, in_one_piece)


def test_a_case_without_gradients_has_inferences_alone():
    made, _ = cases({"it": "numpy"}, workload(8, 16))
    made.build_all()

    assert kinds_for(tuple(Phase), made.live[0].prepared, on_cuda=False) == (Kind.INFERENCE,)
    assert kinds_for((FORWARD, WHOLE), made.live[0].prepared, on_cuda=False) == ()


def with_one_piece():
    """A case beside which a whole step is a function, built, with a list of what was called."""
    made, heard = cases({"it": zoo.honest}, workload(8, 16))
    made.build_all()
    prepared, log = made.live[0].prepared, []

    def logged(name, call):
        def noted(*arguments):
            log.append(name)
            return call(*arguments)

        return noted

    forward, backward = prepared.forward, prepared.backward
    prepared.forward = logged("forward", forward)
    prepared.backward = logged("backward", backward)
    prepared.forward_backward = logged("forward_backward", lambda: backward(forward()))
    return made, heard, log


def test_forward_backward_is_the_time_of_the_piece_and_not_the_sum_of_the_parts():
    made, heard, _ = with_one_piece()

    turns = [turn for turn in timed(made, heard, ScriptedSampler()) if turn.case != PROBE_CASE]

    for found in turns:
        # As the sampler was told: forward 100 us and backward 200; in one piece 250.
        assert found.wall_s == pytest.approx(
            {"inference": 1e-4, "forward": 1e-4, "backward": 2e-4, "forward_backward": 2.5e-4, "disposal": 1e-6}
        )


def test_a_turn_tells_the_calls_and_the_faults_of_each_block():
    made, heard, log = with_one_piece()

    turns = [turn for turn in timed(made, heard, HostSampler(), rounds=1) if turn.case != PROBE_CASE]

    assert all(set(found.calls) == set(found.faults) == {"inference", "step", "forward_backward"} for found in turns)
    assert log.count("forward_backward") > sum(found.calls["forward_backward"] for found in turns)
    assert log.count("forward") == log.count("backward") > sum(found.calls["step"] for found in turns)


def test_where_only_the_whole_step_is_asked_for_the_parts_are_not_called():
    made, heard, log = with_one_piece()

    turns = timed(made, heard, HostSampler(), rounds=2, phases=(WHOLE,))

    assert set(log) == {"forward_backward"}
    assert all(set(found.wall_s) == {"forward_backward", "disposal"} for found in turns if found.case != PROBE_CASE)


def test_a_piece_that_can_not_be_called_again_ends_its_case_before_it_is_timed():
    made, heard, _ = with_one_piece()

    def broken():
        raise RuntimeError("no second time")

    made.live[0].prepared.forward_backward = broken
    warmed_up(made, tuple(Phase))

    assert "no second time" in heard.ends()[0].reason


def test_building_a_case_calls_its_piece_once(monkeypatch):
    from lnbench.implementations.torch_adapter import TorchPrepared

    called = []
    monkeypatch.setattr(TorchPrepared, "forward_backward", staticmethod(lambda: called.append(1)))
    made, _ = cases({"it": zoo.honest}, workload(8, 16))

    made.build_all()

    assert called == [1]


def test_rows_and_samples_of_a_piece_have_its_own_faults_and_calls():
    found = turn(0, 1e-3, faults={"inference": 1.0, "step": 2.0, "forward_backward": 3.0})
    found = found.model_copy(update={"calls": {"inference": 9, "step": 8, "forward_backward": 7}})
    made = run([planned_workload()], [case("fused")], [found])

    faults = {row.phase: row.faults_per_call for row in summarize(made)}
    table = samples_table(made)
    names = [column.name for column in table.columns]
    calls = {row[names.index("phase")]: row[names.index("calls")] for row in table.rows}

    assert faults == {INFERENCE: 1.0, FORWARD: 2.0, BACKWARD: 2.0, WHOLE: 3.0}
    assert calls == {"inference": 9, "forward": 8, "backward": 8, "forward_backward": 7}


def test_what_is_called_in_one_piece_is_a_kind_with_the_phase_s_name():
    assert Kind.ONE_PIECE.whole == Kind.ONE_PIECE == WHOLE
