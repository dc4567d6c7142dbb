"""What a person sees while a run measures: a bar on a terminal, lines in a log, nothing when asked to be quiet."""

import io

import fabricate
import planning
import pytest
from rich.console import Console

from lnbench.cli import progress
from lnbench.cli.common import settings
from lnbench.cli.progress import Bar, Lines, Pace, Silence, make_observer
from lnbench.planned import Stage, Status

CRASHED = fabricate.ended(1, Status.CRASH, "SIGSEGV at \x1b[31mtiming\x1b[0m")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


@pytest.fixture
def plan():
    """Two workloads with two cases each, in two processes."""
    return planning.plan("shapes: [[8, 64], [4, 32]]", options={"processes": 2, "budget_s": 5.0})


@pytest.mark.parametrize(
    ("is_terminal", "env", "quiet", "kind"),
    [
        (True, {}, False, Bar),
        (True, {"NO_COLOR": "1"}, False, Lines),
        (False, {}, False, Lines),
        (True, {}, True, Silence),
    ],
    ids=["terminal", "NO_COLOR", "piped", "quiet"],
)
def test_the_bar_is_for_terminals_that_may_be_coloured(monkeypatch, plan, is_terminal, env, quiet, kind):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    stderr = io.StringIO()
    stderr.isatty = lambda: is_terminal
    monkeypatch.setattr("sys.stderr", stderr)

    assert type(make_observer(plan, quiet=quiet)) is kind


def test_lines_tell_each_workload_with_the_time_left_and_each_failure(plan, clock, capsys):
    settings.reset(debug=False)
    lines = Lines(plan, Pace(plan))

    lines.workload_began(0, 0)
    lines.happened(CRASHED)
    clock(10.0)
    lines.workload_began(0, 1)

    first, failure, second = capsys.readouterr().err.splitlines()
    assert first.startswith("[1/4] 8x64/float32/cpu, process 1 of 2, about ")
    assert failure == "  crash: fused on 8x64/float32/cpu: SIGSEGV at  [31mtiming [0m"
    # One of four took 10 s.
    assert second == "[2/4] 4x32/float32/cpu, process 1 of 2, about 30 s left"


def test_the_time_left_is_the_plan_s_estimate_until_something_is_done(plan, clock):
    pace = Pace(plan)
    pace.begin()

    assert pace.left_s() == pytest.approx(plan.estimated_s)


def test_the_time_left_shrinks_with_the_share_done_and_is_never_negative(plan, clock):
    pace = Pace(plan)
    pace.begin()
    clock(10.0)
    pace.begin()
    clock(5.0)
    pace.share = 0.5

    halfway = pace.left_s()
    for _ in range(5):
        pace.begin()

    assert halfway == pytest.approx(25.0)
    assert pace.left_s() == 0.0


def test_the_bar_shows_the_case_at_work_how_many_are_done_and_the_time_left(plan, clock):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120, color_system=None)

    with Bar(plan, Pace(plan), console) as bar:
        bar.workload_began(0, 0)
        clock(10.0)
        bar.workload_began(0, 1)
        clock(2.0)
        bar.announced(1, Stage.TIMING)
        bar.happened(CRASHED)

    assert "timing fused 8x64/float32/cpu" in shown.getvalue()
    assert "1/4" in shown.getvalue()
    assert "30 s left" in shown.getvalue()
    assert "crash: fused on 8x64/float32/cpu" in shown.getvalue()
    assert "\x1b[31m" not in shown.getvalue()


BUSY = fabricate.machine_look(others=1.9, load=4.1)


def test_lines_warn_before_a_run_on_a_busy_machine_and_mark_workloads_while_it_lasts(plan, clock, capsys):
    settings.reset(debug=False)
    lines = Lines(plan, Pace(plan))

    lines.looked(BUSY)
    lines.workload_began(0, 0)
    lines.looked(fabricate.machine_look(of=0, others=1.5, load=3.0))
    lines.looked(fabricate.machine_look(of=0, others=0.1, load=2.5))
    lines.workload_began(0, 1)
    lines.looked(fabricate.machine_look(of=1, others=1.5, load=3.3))

    before, first, ended, second, began = capsys.readouterr().err.splitlines()
    assert before.startswith("busy machine: load 4.1 on 2 cores, of which other processes use 1.9; this run needs 2")
    assert first.endswith(" left, machine busy (load 4.1)")
    assert ended == "  machine no longer busy"
    assert second.endswith(" left")
    assert began == "  machine busy (load 3.3)"


def test_lines_say_nothing_of_a_machine_with_room_for_the_work(plan, clock, capsys):
    settings.reset(debug=False)
    lines = Lines(plan, Pace(plan))

    lines.looked(fabricate.machine_look(others=1.0, load=1.0, wanted=1))
    lines.looked(fabricate.machine_look(of=0, others=1.0, load=2.0, wanted=1))

    assert capsys.readouterr().err == ""


def test_the_bar_says_that_the_machine_is_busy_while_it_lasts(plan, clock):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200, color_system=None)

    with Bar(plan, Pace(plan), console) as bar:
        bar.looked(BUSY)
        clock(2.0)
        bar.workload_began(0, 0)
        while_busy = shown.getvalue()
        shown.truncate(0)
        clock(2.0)
        bar.looked(fabricate.machine_look(of=0, others=0.1, load=3.0))
        afterwards = shown.getvalue()

    assert "busy machine: load 4.1 on 2 cores" in while_busy
    assert "left, machine busy (load 4.1)" in while_busy
    assert "machine busy" not in afterwards
    assert " left" in afterwards
