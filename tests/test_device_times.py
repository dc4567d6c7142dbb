"""Times on a device's clock that are not there, and why: what the worker says, and what the rows say then."""

import pytest
import zoo
from fabricate import BOTH_CLOCKS, case, run, turn
from fabricate import workload as planned_workload
from stage import ScriptedSampler, cases, timed, workload

from lnbench.events import BLOCKED, LATE, WAITS, Noticed, Turn
from lnbench.measure.sampler import Missed, Sample, step_phases
from lnbench.planned import Notice, Status
from lnbench.summaries import summarize
from lnbench.tables import samples_table
from lnbench.worker.calls import Kind, kinds_for
from lnbench.worker.device_times import HOPELESS, DeviceTimes
from lnbench.workload import Clock, Phase

pytestmark = pytest.mark.usefixtures("one_thread")

STEP_S = step_phases(1e-4, 2e-4)
INFERENCE_S = {"inference": 1e-4}


class DeviceSampler(ScriptedSampler):
    """Samples on both clocks; `missed` says which kinds of call have none on the device's, and why."""

    def __init__(self, **missed):
        super().__init__()
        self._missed = missed

    def sample_inference(self, work, calls):
        return self._sample("inference", super().sample_inference(work, calls).wall_s, INFERENCE_S)

    def sample_step(self, work, calls):
        super().sample_step(work, calls)
        return self._sample("step", {"forward_backward": 4e-4}, STEP_S)

    def _sample(self, kind, wall_s, device_s):
        if kind in self._missed:
            return Sample(wall_s, missed=self._missed[kind])
        return Sample(wall_s, device_s, device_calls=7)


def timed_on_device(sampler, *, rounds=4):
    made, heard = cases({"fused": "fused", "plain": zoo.honest}, workload(8, 16))
    made.build_all()
    turns = timed(made, heard, sampler, rounds=rounds, reference=0, clock=Clock.DEVICE)
    return turns, heard


@pytest.mark.parametrize(
    ("missed", "code", "words"),
    [
        (Missed.WAITS, WAITS, "step: a call waits for the device"),
        (Missed.LATE, LATE, "step: the device was faster than the host"),
        (Missed.BLOCKED, BLOCKED, "every launch waits for the device, as under a debugger"),
    ],
)
def test_a_kind_of_call_that_never_had_a_time_is_noticed_with_the_reason(monkeypatch, missed, code, words):
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING", raising=False)

    # The probe's last turn ends what `timed` runs, so that these rounds end by themselves.
    _, heard = timed_on_device(DeviceSampler(step=missed), rounds=400)

    assert heard.notices(1)[code].startswith(words)
    assert not {WAITS, LATE, BLOCKED} - {code} & heard.notices(1).keys()


def test_the_variable_that_makes_launches_wait_is_named_where_it_is_set(monkeypatch):
    found = DeviceTimes()
    found.note(Kind.INFERENCE, [Sample(missed=Missed.BLOCKED)])

    for value, words in (("1", "CUDA_LAUNCH_BLOCKING is set"), ("0", "as under a debugger")):
        monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", value)
        (notice,) = found.notices()
        assert words in notice.text


def test_kinds_that_were_missed_for_one_reason_are_told_together_and_one_sample_in_time_is_enough():
    found = DeviceTimes()
    for kind in (Kind.INFERENCE, Kind.STEP, Kind.ONE_PIECE):
        found.note(kind, [Sample(missed=Missed.LATE)] * HOPELESS)

    assert found.hopeless == (Kind.INFERENCE, Kind.STEP, Kind.ONE_PIECE)
    assert [notice.text.partition(":")[0] for notice in found.notices()] == [
        "inference and step and forward + backward"
    ]

    for kind in (Kind.INFERENCE, Kind.STEP, Kind.ONE_PIECE):
        found.note(kind, [Sample(missed=Missed.LATE), Sample(device_s=INFERENCE_S)])
        found.note(kind, [Sample(missed=Missed.LATE)])

    assert (found.hopeless, list(found.notices())) == ((), [])


def test_rows_that_no_clock_can_time_are_not_waited_for():
    rounds = {
        name: 1 + max(turn.round for turn in timed_on_device(sampler, rounds=400)[0])
        for name, sampler in {
            "all": DeviceSampler(),
            "some missed": DeviceSampler(inference=Missed.WAITS),
        }.items()
    }

    # Every sample takes the same time, so that two looks at it are enough.
    assert rounds["some missed"] == rounds["all"] < 100


def test_the_journal_counts_the_calls_of_each_clock():
    turns, _ = timed_on_device(DeviceSampler(step=Missed.LATE))
    mine = [found for found in turns if found.case == 0]

    assert mine
    assert all(found.calls["inference"] > 7 for found in mine)
    assert {tuple(found.device_calls.items()) for found in mine} == {(("inference", 7),)}


def test_raw_samples_show_the_calls_of_their_own_clock():
    both = turn(0, 1e-4).model_copy(
        update={"device_s": INFERENCE_S | STEP_S, "device_calls": {"inference": 48, "step": 24}}
    )
    older = both.model_copy(update={"round": 1, "device_calls": {}})
    table = samples_table(run([planned_workload(device="cuda", clocks=BOTH_CLOCKS)], [case("fused")], [both, older]))
    at = {column.name: place for place, column in enumerate(table.columns)}

    calls = {(row[at["round"]], row[at["phase"]], row[at["clock"]]): row[at["calls"]] for row in table.rows}

    assert calls[0, "inference", "wall"] == 100
    assert calls[0, "inference", "device"] == 48
    assert calls[0, "backward", "device"] == 24
    assert calls[1, "inference", "device"] == 100


def rows_of(events, **axes):
    planned = planned_workload(device="cuda", clocks=BOTH_CLOCKS, **axes)
    found = summarize(run([planned], [case("fused")], events))
    return {(row.phase, row.clock): row for row in found}


def wall_turns(**fields):
    whole = {"inference": 1e-4, "forward_backward": 3e-4}
    return [turn(0, 1e-4, round=n, started_s=n).model_copy(update={"wall_s": whole, **fields}) for n in range(12)]


@pytest.mark.parametrize("code", [WAITS, LATE, BLOCKED])
def test_rows_without_times_on_the_device_s_clock_are_skipped_with_what_the_worker_found(code):
    noticed = Noticed(notice=Notice(code=code, text="step: because of that"), workload=0, case=0)
    timed_turns = wall_turns(device_s=INFERENCE_S)

    rows = rows_of([*timed_turns, noticed])

    row = rows[Phase.BACKWARD, Clock.DEVICE]
    assert (row.status, row.reason, row.median_s) == (Status.SKIPPED, "step: because of that", None)
    assert rows[Phase.INFERENCE, Clock.DEVICE].status is Status.OK


def test_on_a_stream_that_is_not_seen_the_parts_of_a_step_are_not_called_beside_it_in_one_piece():
    made, _ = cases({"it": zoo.honest}, workload(8, 16))
    made.build_all()
    prepared = made.live[0].prepared
    prepared.forward_backward = lambda: None

    def kinds(phases=tuple(Phase), *, on_cuda, seen):
        prepared.on_torch_stream = seen
        return kinds_for(phases, prepared, on_cuda=on_cuda)

    assert kinds(on_cuda=True, seen=False) == (Kind.INFERENCE, Kind.ONE_PIECE)
    assert kinds(on_cuda=True, seen=True) == (Kind.INFERENCE, Kind.STEP, Kind.ONE_PIECE)
    assert kinds(on_cuda=False, seen=False) == (Kind.INFERENCE, Kind.STEP, Kind.ONE_PIECE)
    # Something is called, so that the row can say why it has no time.
    assert kinds((Phase.BACKWARD,), on_cuda=True, seen=False) == (Kind.STEP,)
    prepared.forward_backward = None
    assert kinds(on_cuda=True, seen=False) == (Kind.INFERENCE, Kind.STEP)


def test_turns_of_a_step_in_one_piece_keep_the_calls_of_the_device():
    made, heard = cases({"it": zoo.honest}, workload(8, 16))
    made.build_all()
    prepared = made.live[0].prepared
    prepared.forward_backward = lambda: prepared.backward(prepared.forward())
    turns = timed(made, heard, DeviceSampler(), clock=Clock.DEVICE)

    assert {found.device_calls["step"] for found in turns if found.case == 0} == {7}
    assert all("forward_backward" not in found.device_s for found in turns if found.case == 0)
    assert heard.of(Turn)
