"""Harmful plug-ins in a real run: each gets its status and a reason, and does no harm to the others of its workload."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from command import journal, results, run_lnbench, write_suite

HARMFUL = Path(__file__).with_name("harmful.py")
HARMLESS = ("fused", "eager", "noisy", "forks", "forks_in_builder", "changes_much", "replaces_layer_norm")
HUNG = "no progress for 4 s"
EXPECTED = {
    "raises": ("error", "ValueError: no norm today"),
    "raises_base": ("error", "BaseException: none at all"),
    "raises_in_builder": ("error", "FileNotFoundError: [Errno 2] No such file or directory: './tuned.bin'"),
    "exits": ("error", "SystemExit: 0"),
    "raises_what_can_not_be_told": ("error", "Untold: its text can't be told"),
    "raises_what_can_not_be_encoded": ("error", "ValueError: caf\\udce9"),
    "lowers_limits": ("error", "it set the resource limits to other ones"),
    "vanishes": ("crash", "the process exited with 0 at warm-up"),
    "vanishes_late": ("crash", "the process exited with 0 at"),
    "vanishes_in_builder": ("crash", "the process exited with 0 at build"),
    "segfaults": ("crash", "SIGSEGV in inference, at warm-up"),
    "segfaults_in_backward": ("crash", "SIGSEGV in backward, at warm-up"),
    "segfaults_in_builder": ("crash", "SIGSEGV at build"),
    "hangs_in_builder": ("timeout", f"{HUNG} at build: threading.py:"),
    "hangs_in_backward": ("timeout", f"{HUNG} in backward, at warm-up"),
    "hangs_at_warm-up": ("timeout", f"{HUNG} in inference, at warm-up"),
    "hangs_at_verify": ("timeout", f"{HUNG} in inference, at verify"),
    "hangs_at_timing": ("timeout", f"{HUNG} in inference, at timing"),
    "hangs_at_memory": ("timeout", f"{HUNG} in inference, at memory"),
    "out_of_memory": ("oom", "can't allocate memory"),
    "prints_forever": ("timeout", f"{HUNG} in inference, at warm-up"),
    "closes_everything": ("crash", "at warm-up"),
    "leaves_a_thread": ("error", "it leaves something running that uses"),
    "leaves_a_process": ("error", "it leaves something running that uses"),
    "sets_threads": ("error", "it set the number of threads to 3, which all cases share"),
    "wrong": ("wrong", "off by 0.01 of its largest value"),
    "wrong_by_mutation": ("wrong", "it writes into x"),
}
IMPORTS = {
    "ctypes.string_at(0)": ("crash", "SIGSEGV at import"),
    "threading.Event().wait()": ("timeout", f"{HUNG} at import: threading.py:"),
    "sys.exit(3)": ("error", "SystemExit: 3"),
    "os.closerange(3, 1000)": ("crash", "at import"),
}
UNLUCKY = """
import ctypes, os, sys, threading
from lnbench import implementation

if "--describe" not in sys.argv:
    {harm}


@implementation("unlucky{number}", function="layer_norm")
def unlucky(workload):
    return None
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """One run with all of them on one workload."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "work"
    folder.mkdir()
    shutil.copy(HARMFUL, folder)
    plugins = ["harmful.py", *(f"unlucky{number}.py" for number in range(len(IMPORTS)))]
    for number, harm in enumerate(IMPORTS):
        (folder / f"unlucky{number}.py").write_text(UNLUCKY.format(harm=harm, number=number))
    write_suite(folder, "zoo", implementations=["eager", "fused"], budget_s=0.5)
    names = [*EXPECTED, *HARMLESS, *(f"unlucky{number}" for number in range(len(IMPORTS)))]
    done = run_lnbench(
        folder,
        *("run", "zoo.yaml", "--implementation", ",".join(names)),
        *(word for plugin in plugins for word in ("--plugin", plugin)),
        # Long enough for an innocent case on a busy machine: there a stage takes up to a few seconds.
        *("--timeout", "4", "--output", "run"),
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


@pytest.mark.parametrize("number", range(len(IMPORTS)))
def test_a_plugin_that_fails_only_in_the_worker_costs_its_own_cases(zoo, number):
    rows = of(zoo, f"unlucky{number}")

    status, reason = list(IMPORTS.values())[number]
    assert rows.status.tolist() == [status] * 4
    assert rows.reason.str.contains(reason, regex=False).all()


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
        assert reason in told[0].replace(str(zoo.run.parent), ".")
    assert "SIGSEGV in backward, at warm-up" in zoo.done.stdout


def test_a_crash_and_a_hang_come_with_the_stacks_of_their_process(zoo):
    ends = [line for line in journal(zoo.run) if line["event"] == "ended"]
    crash, hang = (
        next(line for line in ends if line["reason"].startswith(reason))
        for reason in ("SIGSEGV at build", f"{HUNG} in backward, at warm-up")
    )

    assert "Fatal Python error: Segmentation fault" in crash["detail"]
    assert "harmful.py" in hang["detail"]


def test_a_crash_and_a_hang_are_told_with_the_plug_in_s_file_and_function(zoo):
    for implementation in ("segfaults_in_builder", "hangs_in_builder", "hangs_in_backward", "hangs_at_timing"):
        assert of(zoo, implementation).reason.str.contains(r"harmful\.py:\d+ \(").all()


def test_a_fresh_worker_goes_on_with_the_rounds_where_the_dead_one_stopped(zoo):
    lines = journal(zoo.run)
    turns = [line for line in lines if line["event"] == "turn"]
    rounds = [turn["round"] for turn in turns]

    workers = [line["worker"] for line in lines if line["event"] == "worker_started"]
    assert workers == list(range(len(workers)))
    assert rounds == sorted(rounds)
    assert len({(turn["case"], turn["round"], turn["started_s"]) for turn in turns}) == len(turns)


def test_nothing_that_a_plugin_prints_reaches_the_results(zoo):
    for printed in ("idle", "so many words"):
        assert printed not in zoo.done.stdout
        assert printed not in zoo.done.stderr


def test_no_process_of_the_run_is_left(zoo):
    folders = [process.info["cwd"] for process in psutil.process_iter(["cwd"])]

    assert str(zoo.run.parent) not in folders


def test_settings_that_one_case_changed_are_set_back_for_the_others_and_told(zoo):
    codes = {line["notice"]["code"] for line in journal(zoo.run) if line["event"] == "noticed"}

    assert "changed-settings" in codes
