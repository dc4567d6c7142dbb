"""Harmful plug-ins in a real run: each gets its status and a reason, and does no harm to the others of its workload."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import journal, results, run_lnbench, write_suite

HARMFUL = Path(__file__).with_name("harmful.py")
HARMLESS = ("fused", "eager", "noisy")
EXPECTED = {
    "raises": ("error", "ValueError: no norm today"),
    "raises_in_builder": ("error", "FileNotFoundError: [Errno 2] No such file or directory: '~/work/tuned.bin'"),
    "exits": ("error", "SystemExit: 0"),
    "vanishes_late": ("crash", "the process exited with 0 at timing"),
    "segfaults": ("crash", "SIGSEGV at warm-up"),
    "hangs": ("timeout", "no sign of life for 6 s at warm-up"),
    "hangs_in_builder": ("timeout", "no sign of life for 6 s at build"),
    "wrong": ("wrong", "off by 0.01 of its largest value"),
    "mutates": ("wrong", "it writes into x"),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """One run with all of them on one workload."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "work"
    folder.mkdir()
    shutil.copy(HARMFUL, folder)
    write_suite(folder, "zoo", implementations=["eager", "fused"], budget_s=0.5)
    done = run_lnbench(
        folder,
        *("run", "zoo.yaml", "--plugin", "harmful.py", "--implementation", ",".join([*EXPECTED, *HARMLESS])),
        # Long enough for an innocent case on a busy machine: there a stage takes up to a few seconds.
        *("--timeout", "6", "--output", "run"),
        env={"HOME": str(home)},
    )
    return SimpleNamespace(done=done, run=folder / "run", rows=results(folder / "run"))


def of(zoo, implementation):
    """The rows of one implementation."""
    return zoo.rows[zoo.rows.implementation == implementation]


@pytest.mark.parametrize("implementation", EXPECTED)
def test_a_harmful_case_has_its_status_and_the_reason_in_every_row_and_no_times(zoo, implementation):
    rows = of(zoo, implementation)

    status, reason = EXPECTED[implementation]
    assert rows.phase.tolist() == ["inference", "forward", "backward", "forward_backward"]
    assert rows.status.tolist() == [status] * 4
    assert rows.reason.str.contains(reason, regex=False).all()
    assert rows[["median_s", "low_s", "high_s", "min_s", "speedup"]].isna().all(axis=None)


@pytest.mark.parametrize("implementation", HARMLESS)
def test_the_others_of_its_workload_are_measured(zoo, implementation):
    rows = of(zoo, implementation)

    assert rows.status.tolist() == ["ok"] * 4
    assert rows.median_s.notna().all()
    assert rows.speedup.notna().all()


def test_failed_cases_make_exit_code_4_and_the_run_ends_in_order(zoo):
    assert zoo.done.code == 4
    assert journal(zoo.run)[-1]["event"] == "run_finished"


def test_each_failure_is_told_when_it_happens_and_footnoted_in_the_table(zoo):
    for implementation, (status, reason) in EXPECTED.items():
        told = [line for line in zoo.done.stderr.splitlines() if f"{status}: {implementation} on 8x16" in line]
        assert len(told) == 1
        assert reason in told[0].replace(str(zoo.run.parent), "~/work")
    assert "SIGSEGV at warm-up" in zoo.done.stdout


def test_a_crash_comes_with_the_last_words_of_its_process(zoo):
    (ended,) = [line for line in journal(zoo.run) if line["event"] == "ended" and "SIGSEGV" in line["reason"]]

    assert "Fatal Python error: Segmentation fault" in ended["detail"]


def test_a_fresh_worker_goes_on_with_the_rounds_where_the_dead_one_stopped(zoo):
    lines = journal(zoo.run)
    turns = [line for line in lines if line["event"] == "turn"]
    rounds = [turn["round"] for turn in turns]

    workers = [line["worker"] for line in lines if line["event"] == "worker_started"]
    deaths = [line for line in lines if line["event"] == "ended" and line["status"] in ("crash", "timeout")]
    assert workers == list(range(1 + len(deaths)))
    assert rounds == sorted(rounds)
    assert len({(turn["case"], turn["started_s"]) for turn in turns}) == len(turns)


def test_nothing_that_a_plugin_prints_reaches_the_results(zoo):
    assert "idle" not in zoo.done.stdout
    assert "idle" not in zoo.done.stderr
