"""When a machine counts as busy, and the sentences that say so."""

import pytest
from fabricate import BUSY_LOOKS, everything, machine_look

from lnbench.busyness import busy_line, free_cores, host_text, is_busy, sentence, short_sentence, worst
from lnbench.condense import condense
from lnbench.consistency import contradiction
from lnbench.evidence import Evidence
from lnbench.observed import MachineLook
from lnbench.record import Run
from lnbench.summaries import summarize
from lnbench.workload import Clock


def with_looks(*looks):
    """A run with cases on CPU and GPU, and these looks at its machine."""
    made = everything()
    return Run(header=made.header, events=(*looks, *made.events))


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        ({"others": 0.1, "load": 0.2}, False),
        ({"others": 1.0, "load": 1.0}, True),
        ({"others": 2.0, "load": 4.0}, True),
        ({"others": 1.0, "load": 1.0, "wanted": 1}, False),
        ({"others": 1.0, "load": 4.0, "waiting": 3.0, "wanted": 1}, False),  # they wait for each other: a core is free
        ({"others": 2.0, "load": 2.0, "wanted": 1}, True),
        ({"others": 7.0, "cores": 16}, False),
        ({"others": 15.0, "cores": 16}, True),
        ({"others": 0.0, "wanted": 8}, False),  # more threads than cores, and nobody else
        ({"others": 0.0, "load": 4.0}, False),  # the load lags behind
    ],
)
@pytest.mark.parametrize("of", [None, 0], ids=["before", "during"])
def test_a_machine_is_busy_where_others_leave_the_work_fewer_cores_than_it_uses(look, expected, of):
    assert is_busy(machine_look(of=of, **look)) is expected


@pytest.mark.parametrize(
    ("look", "expected"),
    [({"waiting": 1.0, "load": 0.0}, True), ({"waiting": 0.02, "load": 4.0}, False), ({"pressure": 0.9}, True)],
)
def test_threads_that_wait_decide_where_use_is_not_known(look, expected):
    assert is_busy(machine_look(**look)) is expected


@pytest.mark.parametrize(
    ("of", "load", "expected"),
    [(None, 0.5, False), (None, 4.0, True), (0, 2.5, False), (0, 4.0, True)],
    ids=["idle", "loaded", "the run's own load", "loaded beside the run"],
)
def test_the_load_decides_where_nothing_else_is_known(of, load, expected):
    assert is_busy(machine_look(of=of, load=load)) is expected


def test_nothing_is_said_of_a_machine_of_which_nothing_is_known():
    assert not is_busy(machine_look())
    assert busy_line([machine_look(), machine_look(of=0)]) == ""


@pytest.mark.parametrize(("others", "free"), [(0.1, 4), (0.9, 3), (2.0, 2), (3.7, 0), (4.0, 0)])
def test_free_cores_are_whole_ones(others, free):
    assert free_cores(machine_look(others=others, cores=4)) == free


def test_the_warning_before_a_run_has_the_figures_and_what_helps():
    look = machine_look(others=1.9, waiting=2.1, load=4.1)

    assert sentence(look) == (
        "busy machine: load 4.1 on 2 cores, of which other processes use 1.9, 2.1 threads wait for a core; this run "
        "needs 2: expect fewer undisturbed samples; stop other work, or use threads: 1"
    )
    assert short_sentence(look) == "machine busy (load 4.1)"


def test_fewer_threads_are_no_advice_for_one_thread():
    assert sentence(machine_look(others=2.0, wanted=1)).endswith("; stop other work")


def test_the_advice_is_the_number_of_threads_for_which_there_is_room():
    assert sentence(machine_look(others=3.0, cores=16, wanted=16)).endswith("or use threads: 13")


def test_a_system_without_a_load_average_has_the_use_by_others():
    look = machine_look(others=1.9)

    assert "busy machine: of 2 cores other processes use 1.9; this run needs 2" in sentence(look)
    assert short_sentence(look) == "machine busy (others use 1.9 of 2 cores)"


def test_the_line_about_a_run_says_when_it_was_busy_and_the_worst_of_it():
    looks = [*BUSY_LOOKS, machine_look(of=1, others=0.1, load=2.0), machine_look(of=0, process=1, others=1.3, load=4.2)]

    assert busy_line(looks) == (
        "busy machine: other processes used up to 1.9 of 2 cores before the run and in 1 of 2 workloads (load up to "
        "4.2); rows with too few undisturbed samples are unstable"
    )


def test_the_line_names_no_time_at_which_the_machine_was_free():
    before, during = machine_look(others=1.9), machine_look(of=0, others=1.2)

    assert "cores before the run; rows" in busy_line([before, machine_look(of=0, others=0.0)])
    assert "cores in 1 of 1 workload; rows" in busy_line([machine_look(others=0.0), during])
    assert busy_line([machine_look(others=0.0), machine_look(of=0, others=0.1)]) == ""


def test_the_worst_look_is_a_busy_one_although_others_used_more_beside_free_cores():
    free = machine_look(others=9.0, cores=16)
    busy = machine_look(others=1.5)

    assert worst([free, busy]) is busy
    assert worst([]) is None


def test_only_the_wall_clock_of_a_gpu_s_work_has_the_notice_of_a_busy_host():
    looks = (machine_look(of=2, others=2.0, load=4.0, wanted=1),)
    rows = summarize(with_looks(*looks))
    noticed = {(row.device, row.clock) for row in rows if any(notice.code == "busy-host" for notice in row.notices)}
    measured = {(row.device, row.clock) for row in rows if row.median_s is not None}

    assert noticed == {("cuda", Clock.WALL)}
    assert {("cuda", Clock.DEVICE), ("cpu", Clock.WALL)} <= measured
    assert "busy host: load 4.0 on 2 cores" in host_text(looks[0])


@pytest.mark.parametrize(
    ("looks", "is_busy_there"),
    [
        ([machine_look(others=2.0)], True),
        ([machine_look(others=2.0), machine_look(of=2, others=0.0)], False),
        ([machine_look(others=0.0), machine_look(of=2, others=2.0)], True),
        ([machine_look(of=0, others=2.0)], False),
    ],
    ids=["before, nothing later", "before only", "during it", "during another"],
)
def test_a_workload_is_judged_by_the_looks_during_it_and_by_the_one_before_the_run_without_any(looks, is_busy_there):
    assert (Evidence(with_looks(*looks)).busy_look(2) is not None) is is_busy_there


def test_a_baseline_keeps_how_busy_its_machine_was():
    run = with_looks(*BUSY_LOOKS)

    assert Evidence(condense(run)).busy_line == Evidence(run).busy_line != ""


def test_looks_before_the_run_stay_where_processes_are_chosen():
    run = with_looks(*BUSY_LOOKS, machine_look(of=0, process=1, others=1.9))

    kept = Evidence(run.among([1])).machine_looks

    assert [(look.process, look.workload) for look in kept] == [(None, None), (1, 0)]


def test_a_look_at_a_workload_that_was_not_planned_contradicts_the_plan():
    header = everything().header

    assert contradiction(header, machine_look(of=0)) == contradiction(header, machine_look()) == ""
    assert contradiction(header, machine_look(of=9)) == "there is no workload 9"


def test_a_look_names_both_process_and_workload_or_neither():
    with pytest.raises(ValueError, match="names both the process and the workload"):
        MachineLook(seconds=1.0, cores=1, wanted=1, process=0)
