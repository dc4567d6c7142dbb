"""`lnbench check`, really run: every exit code, what the folder holds, and what each format says.

Margins are huge where identical work must pass and the planted slowdown is many times larger, so that no verdict here
depends on how busy the machine is.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest
from command import journal, run_lnbench

NORM = """
import torch
from lnbench import implementation


def repeated(workload, times, *, shift=0.0):
    def forward(x, weight, bias):
        for _ in range(times):
            y = torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)
        return y + shift if shift else y
    return forward
"""
ONE = """
@implementation("{name}", function="layer_norm")
def {name}(workload):
    return repeated(workload, {times}, shift={shift})
"""
SUITE = """
name: gate
reference: fused
implementations: [fused]
workloads: [{shapes: [[64, 256]], phases: [inference], threads: 1}]
sampling: {processes: 3, precision: 1.0e-6, budget_s: 0.2}
"""
WIDE = ["--margin", "1.0"]
"""Work that takes up to twice as long is the same."""


def norms(folder: Path, file: str, **times: int | float) -> str:
    """A plug-in file: each name with how often it runs the kernel; 0 makes a wrong one."""
    ones = (ONE.format(name=name, times=int(it) or 1, shift=0.0 if it else 0.5) for name, it in times.items())
    (folder / file).write_text(NORM + "".join(ones))
    return file


@pytest.fixture
def here(tmp_path):
    (tmp_path / "gate.yaml").write_text(SUITE)
    return tmp_path


def check(folder: Path, *arguments: str, output="out"):
    return run_lnbench(folder, "check", "gate.yaml", "--output", output, *arguments)


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    """A check of two versions of which the new one takes ten times as long, with every format."""
    folder = tmp_path_factory.mktemp("red")
    (folder / "gate.yaml").write_text(SUITE)
    norms(folder, "old.py", norm=3, other=3)
    norms(folder, "new.py", norm=30, other=3)
    names = {
        "json": "check.json",
        "markdown": "check.md",
        "junit": "check.xml",
        "gitlab": "metrics.txt",
        "csv": "rows.csv",
    }
    formats = [it for name, file in names.items() for it in ("--format", f"{name}={file}")]
    done = check(folder, "--plugin", "new.py", "--against", "old.py", *WIDE, *formats)
    return SimpleNamespace(folder=folder, done=done, run=folder / "out")


def test_a_confirmed_regression_exits_1_and_says_what_and_how_much(red):
    assert red.done.code == 1, red.done.stderr
    assert "regression: norm is slower in 1 of 2 rows, confirmed" in red.done.stdout
    assert "measuring what looks slower again, in fresh processes" in red.done.stderr


def test_only_the_flagged_cases_are_measured_again_in_fresh_processes(red):
    lines = journal(red.run)
    names = [case["implementation"] for case in lines[0]["cases"]]
    measured = {
        (line["process"], names[line["case"]]) for line in lines if line["event"] == "turn" and line["case"] >= 0
    }

    assert {name for process, name in measured if process < 3} == {"norm", "norm@base", "other", "other@base"}
    assert {name for process, name in measured if process >= 3} == {"norm", "norm@base"}
    assert {process for process, _ in measured} == set(range(6))


def test_the_check_s_files_tell_the_same_in_every_format(red):
    told = json.loads((red.folder / "check.json").read_text())
    markdown = (red.folder / "check.md").read_text()
    root = ElementTree.fromstring((red.folder / "check.xml").read_text())
    metrics = (red.folder / "metrics.txt").read_text()

    assert told["exit_code"] == 1
    assert {row["implementation"]: row["verdict"] for row in told["rows"]} == {"norm": "slower", "other": "same"}
    assert 5 < told["rows"][0]["slowdown"] < 20
    assert markdown.startswith("## ❌ regression: norm is slower")
    assert [case.find("failure") is not None for case in root.iter("testcase")] == [True, False]
    assert 'lnbench_rows{verdict="slower"} 1\n' in metrics
    assert metrics.endswith("# EOF\n")
    assert "norm@base" in set(pd.read_csv(red.folder / "rows.csv", dtype=str).implementation)


def test_the_report_of_a_check_begins_with_its_verdict_and_can_be_shown_again(red):
    again = run_lnbench(red.folder, "report", "out", "--format", "json")
    text = run_lnbench(red.folder, "report", "out")

    assert (red.run / "report.md").read_text().startswith("## ❌ regression: norm")
    assert json.loads(again.stdout) == json.loads((red.folder / "check.json").read_text())
    assert again.code == text.code == 0
    assert "regression: norm is slower in 1 of 2 rows, confirmed" in text.stdout


def test_annotations_go_to_stdout_and_the_summary_where_github_says(red, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("what was there\n")

    done = run_lnbench(red.folder, "report", "out", "--format", "github", env={"GITHUB_STEP_SUMMARY": str(summary)})

    lines = done.stdout.splitlines()
    assert any(line.startswith("::error title=lnbench::regression: norm is slower") for line in lines)
    assert "::error title=slower%3A norm inference on 64x256/float32/cpu" in done.stdout
    assert summary.read_text().startswith("what was there\n## ❌ regression")


def test_identical_versions_exit_0(here):
    norms(here, "old.py", norm=3)
    norms(here, "new.py", norm=3)

    done = check(here, "--plugin", "new.py", "--against", "old.py:norm", *WIDE)

    assert done.code == 0, done.stderr + done.stdout
    assert "no regression in 1 row: 1 same" in done.stdout


LATE_OPERATOR = """
import torch
from lnbench import implementation


@implementation("norm", function="layer_norm")
def norm(workload):
    @torch.library.custom_op("lnbench_tests::late_norm", mutates_args=())
    def late(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        for _ in range({times}):
            y = torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)
        return y

    late.register_autograd(lambda ctx, dy: (dy, dy[0], dy[0]))
    return late
"""


def test_an_operator_that_both_versions_register_while_they_are_built_is_an_error(here):
    for name, times in ("old", 1), ("new", 30):
        (here / f"{name}.py").write_text(LATE_OPERATOR.format(times=times))

    done = check(here, "--plugin", "new.py", "--against", "old.py", *WIDE)

    ends = {line["case"]: line["reason"] for line in journal(here / "out") if line["event"] == "ended"}
    assert done.code == 5, done.stdout
    assert "registers the operator lnbench_tests::late_norm, which another plug-in has registered" in done.stderr
    assert len(ends) == 2
    assert len(set(ends.values())) == 1


def test_a_lost_implementation_exits_3_unless_it_is_allowed(here):
    norms(here, "old.py", norm=3, lost=3)
    norms(here, "new.py", norm=3)

    done = check(here, "--plugin", "new.py", "--against", "old.py", *WIDE)
    allowed = check(here, "--plugin", "new.py", "--against", "old.py", *WIDE, "--allow", "missing", output="allowed")

    assert done.code == 3
    assert "the new side has no lost" in done.stdout
    assert allowed.code == 0, allowed.stdout


def test_a_failed_case_exits_4_and_counts_before_what_is_missing(here):
    norms(here, "old.py", norm=3, broken=3, lost=3)
    norms(here, "new.py", norm=3, broken=0)

    done = check(here, "--plugin", "new.py", "--against", "old.py", *WIDE)

    assert done.code == 4
    assert "1 case failed: broken" in done.stdout
    assert "the new side has no lost" in done.stdout


def test_a_regression_counts_before_a_failed_case_and_what_is_missing(here):
    norms(here, "old.py", norm=3, broken=3, lost=3)
    norms(here, "new.py", norm=30, broken=0)

    done = check(here, "--plugin", "new.py", "--against", "old.py", *WIDE)

    assert done.code == 1
    assert "1 case failed: broken" in done.stdout


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A baseline of a plug-in's norm beside fused, from three processes."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "gate.yaml").write_text(SUITE.replace("[fused]", "[fused, norm]"))
    norms(folder, "norms.py", norm=3)
    run = run_lnbench(folder, "run", "gate.yaml", "--plugin", "norms.py", "--output", "base")
    done = run_lnbench(folder, "baseline", "base", "--output", "baseline.jsonl")
    return SimpleNamespace(folder=folder, run=run, done=done)


def test_a_compact_baseline_is_small_and_a_run_that_can_be_shown(kept):
    shown = run_lnbench(kept.folder, "report", "baseline.jsonl")

    assert (kept.run.code, kept.done.code, shown.code) == (0, 0, 0)
    assert (kept.folder / "baseline.jsonl").stat().st_size < 12_000
    assert "norm" in shown.stdout


def test_identical_work_against_a_baseline_exits_0_and_the_folder_holds_all_of_it(kept):
    done = check(kept.folder, "--plugin", "norms.py", "--baseline", "baseline.jsonl", *WIDE)
    header = journal(kept.folder / "out")[0]
    (kept.folder / "baseline.jsonl").rename(kept.folder / "moved.jsonl")
    again = run_lnbench(kept.folder, "report", "out")
    (kept.folder / "moved.jsonl").rename(kept.folder / "baseline.jsonl")

    assert done.code == 0, done.stdout
    assert len(header["check"]["baseline"]["digest"]) == 64
    assert "no regression in 1 row: 1 same" in again.stdout


def test_a_slower_version_than_the_baseline_s_exits_1(kept):
    norms(kept.folder, "slow.py", norm=40)

    done = check(kept.folder, "--plugin", "slow.py", "--baseline", "base", *WIDE, output="slow")

    assert done.code == 1, done.stdout + done.stderr


def test_a_new_baseline_is_written_only_when_asked(kept):
    before = (kept.folder / "baseline.jsonl").read_bytes()
    arguments = ["--plugin", "norms.py", "--baseline", "baseline.jsonl", *WIDE]

    done = check(kept.folder, *arguments, "--update-baseline", "next.jsonl", output="second")
    shown = run_lnbench(kept.folder, "compare", "next.jsonl", "second", "--format", "csv")

    assert (kept.folder / "baseline.jsonl").read_bytes() == before
    assert "written: next.jsonl, the new baseline" in done.stderr
    assert ",same,the same run," in shown.stdout


def test_a_baseline_of_another_torch_compares_nothing_and_exits_5(kept):
    text = (kept.folder / "baseline.jsonl").read_text()
    header = json.loads(text.partition("\n")[0])
    version = header["environment"]["versions"]["torch"]
    (kept.folder / "older.jsonl").write_text(text.replace(f'"torch":"{version}"', '"torch":"1.0.0"'))
    arguments = ["--plugin", "norms.py", "--baseline", "older.jsonl", *WIDE]

    done = check(kept.folder, *arguments, "--allow", "not-comparable", output="older")
    allowed = check(kept.folder, *arguments, "--allow-different", "torch", output="older-allowed")

    assert done.code == 5
    assert "torch: 1.0.0 there" in done.stdout
    assert allowed.code == 0, allowed.stdout


def test_a_baseline_that_has_more_than_the_suite_exits_3(kept):
    (kept.folder / "less.yaml").write_text(SUITE.replace("[fused]", "[fused, eager]"))

    done = run_lnbench(kept.folder, "check", "less.yaml", "--baseline", "base", *WIDE, "--output", "less")

    assert done.code in {3, 5}
    assert "missing" in done.stdout


def test_a_dry_run_says_what_resolves_and_leaves_nothing(kept):
    before = sorted(kept.folder.iterdir())

    done = run_lnbench(
        kept.folder, "check", "gate.yaml", "--plugin", "norms.py", "--baseline", "base", "--dry-run", *WIDE
    )

    assert done.code == 0
    assert "1 of 1 rows resolve at their margin with 3 processes (spread of the baseline)" in " ".join(
        done.stdout.split()
    )
    assert sorted(kept.folder.iterdir()) == before


def test_a_dry_run_of_two_versions_measures_a_pilot_and_leaves_nothing(here):
    norms(here, "old.py", norm=3)
    norms(here, "new.py", norm=3)
    before = sorted(here.iterdir())

    done = run_lnbench(here, "check", "gate.yaml", "--plugin", "new.py", "--against", "old.py", "--dry-run", *WIDE)

    assert done.code == 0
    assert "spread of a short pilot" in done.stdout
    assert sorted(here.iterdir()) == before


def test_compare_never_exits_1(kept):
    norms(kept.folder, "slower.py", norm=40)
    run_lnbench(kept.folder, "run", "gate.yaml", "--plugin", "slower.py", "--output", "slower-run")

    done = run_lnbench(kept.folder, "compare", "base", "slower-run", *WIDE)
    mirrored = run_lnbench(kept.folder, "compare", "slower-run", "base", *WIDE, "--format", "json")
    itself = run_lnbench(kept.folder, "compare", "base", "baseline.jsonl", "--format", "csv")

    assert done.code == 0
    assert "1 row: 1 slower" in done.stdout
    assert [row["verdict"] for row in json.loads(mirrored.stdout)["rows"]] == ["faster"]
    assert "same" in itself.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "takes one of --against and --baseline"),
        (["--against", "old.py", "--baseline", "x"], "takes one of --against and --baseline"),
        (["--against", "old.py"], "the new version is not named"),
        (["--against", "old.py", "--plugin", "gone.py"], "gone.py: there is no such file"),
        (["--against", "old.py:nothing", "--plugin", "old.py"], 'the old version registers no "nothing"'),
        (["--against", "other.py", "--plugin", "old.py"], "no implementation in common"),
        (["--against", "git:main:old.py"], "not a git repository"),
        (["--baseline", "nowhere"], 'there is no run "nowhere"'),
        (["--baseline", "gate.yaml"], "not a journal of lnbench"),
        (["--baseline", "x", "--processes", "2"], "a verdict takes at least 3"),
        (["--baseline", "x", "--margin", "0"], "must be above 0"),
        (["--baseline", "x", "--allow", "anything"], 'unknown verdict "anything"'),
        (["--baseline", "x", "--allow", "inconclusive", "--strict"], "contradict each other"),
        (["--baseline", "x", "--allow-different", "torhc"], 'unknown condition "torhc"'),
        (["--baseline", "x", "--format", "jsn"], 'unknown format "jsn"'),
        (["--baseline", "x", "--format", "json", "--format", "csv"], "can't both go to stdout"),
        (["--baseline", "x", "--format", "json=no/such/folder.json"], "there is no folder"),
        (["--baseline", "x", "--update-baseline", "gate.yaml"], "is no journal, so it is not replaced"),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is_measured(here, arguments, message):
    norms(here, "old.py", norm=3)
    norms(here, "other.py", another=3)

    done = check(here, *arguments)

    assert done.code == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "out").exists()


def test_a_baseline_of_fewer_than_three_processes_is_refused(here):
    run_lnbench(here, "run", "gate.yaml", "--processes", "2", "--output", "two")

    kept = run_lnbench(here, "baseline", "two")
    done = check(here, "--baseline", "two")

    assert (kept.code, done.code) == (2, 2)
    assert "2 processes measured it, and a baseline takes at least 3" in kept.stderr
    assert not (here / "baseline.jsonl").exists()


def test_an_interrupted_check_exits_130_and_keeps_what_was_measured(here):
    norms(here, "old.py", norm=3)
    (here / "gate.yaml").write_text(SUITE.replace("budget_s: 0.2", "budget_s: 60"))
    command = [sys.executable, "-m", "lnbench", "check", "gate.yaml", "--plugin", "old.py", "--against", "old.py"]
    process = subprocess.Popen([*command, "--output", "out"], cwd=here, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and '"turn"' not in _written(here / "out" / "run.jsonl"):
        time.sleep(0.2)

    process.terminate()
    process.communicate(timeout=120)

    assert process.returncode == 130
    assert (here / "out" / "report.md").exists()


def _written(file: Path) -> str:
    return file.read_text() if file.exists() else ""
