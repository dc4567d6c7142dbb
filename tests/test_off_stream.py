"""Work that a GPU's events do not see: another framework's, on a stream of its own."""

import pytest
import zoo
from fabricate import case, run, turn
from fabricate import workload as planned_workload
from stage import ScriptedSampler, cases, timed, workload

from lnbench.events import OFF_STREAM, Noticed
from lnbench.planned import Notice, Status
from lnbench.summaries import summarize
from lnbench.workload import Clock, Phase

pytestmark = pytest.mark.usefixtures("one_thread")


def test_on_a_device_a_case_on_another_stream_is_noticed_and_the_others_are_not():
    made, heard = cases({"fused": "fused", "elsewhere": zoo.honest}, workload(8, 16))
    made.build_all()
    made.live[1].prepared.on_torch_stream = False

    timed(made, heard, ScriptedSampler(), clock=Clock.DEVICE)

    assert OFF_STREAM not in heard.notices(0)
    assert "which PyTorch's events do not see" in heard.notices(1)[OFF_STREAM]


def test_on_the_cpu_every_case_has_the_same_clock_and_nothing_is_noticed():
    made, heard = cases({"elsewhere": zoo.honest}, workload(8, 16))
    made.build_all()
    made.live[0].prepared.on_torch_stream = False

    timed(made, heard, ScriptedSampler())

    assert OFF_STREAM not in heard.notices(0)


def test_rows_without_times_on_a_clock_are_skipped_with_the_reason():
    planned = planned_workload(device="cuda", clocks=(Clock.WALL, Clock.DEVICE))
    whole = {"inference": 1e-4, "forward_backward": 3e-4}
    turns = [turn(0, 1e-4, round=n, started_s=n).model_copy(update={"wall_s": whole}) for n in range(8)]
    noticed = Noticed(notice=Notice(code=OFF_STREAM, text="its work is elsewhere"), workload=0, case=0)

    rows = {(row.phase, row.clock): row for row in summarize(run([planned], [case("jax")], [*turns, noticed]))}

    for phase in Phase:
        row = rows[phase, Clock.DEVICE]
        assert (row.status, row.reason, row.median_s) == (Status.SKIPPED, "its work is elsewhere", None)
    assert rows[Phase.INFERENCE, Clock.WALL].median_s == pytest.approx(1e-4)
    assert rows[Phase.FORWARD_BACKWARD, Clock.WALL].median_s == pytest.approx(3e-4)
    assert "can't part forward from backward" in rows[Phase.FORWARD, Clock.WALL].reason
