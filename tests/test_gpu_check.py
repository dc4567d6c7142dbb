"""The check of a new GPU: its steps, its summary, and what it reads of runs."""

import json
import re
from pathlib import Path

import pytest
import yaml

from lnbench.suite import read_suite
from tools.gpu_check.__main__ import main
from tools.gpu_check.bench import Bench, Step
from tools.gpu_check.commands import Commands, Deadline
from tools.gpu_check.fetch_wheels import needed
from tools.gpu_check.pretended.importing import REPOSITORY, SITE, pretended_environment
from tools.gpu_check.result_rows import counts, lines, number, reasons, rows
from tools.gpu_check.small_suites import small, suites_on
from tools.gpu_check.steps import STEPS
from tools.gpu_check.steps.traps import EXPECTED, INNOCENT, wrong_ends
from tools.gpu_check.summary import Outcome, Result, Summary, passed_if

GUIDE = (Path(__file__).parents[1] / "docs" / "first-hour-on-a-gpu.md").read_text(encoding="utf-8")


@pytest.fixture
def commands(tmp_path):
    with (tmp_path / "log.txt").open("w") as log:
        yield Commands(tmp_path, log, Deadline(60.0))


def checked(monkeypatch, tmp_path, *steps, arguments=()):
    """What summary.json says after these steps, and the exit code."""
    monkeypatch.setattr("tools.gpu_check.__main__.STEPS", steps)
    code = main(["--out", str(tmp_path / "out"), *arguments])
    return code, json.loads((tmp_path / "out" / "summary.json").read_text())


def step(name, run, **more):
    return Step(name, run, limit_s=10.0, least_s=1.0, **more)


def passing(bench, limit_s):
    return Outcome(Result.PASS, {"seen": bench.rehearsal})


def failing(bench, limit_s):
    raise ValueError("this step is wrong")


def test_each_step_s_result_stands_in_the_summary_and_a_failure_in_the_exit_code(monkeypatch, tmp_path, capsys):
    code, summary = checked(monkeypatch, tmp_path, step("one", passing), step("two", failing), step("three", passing))

    assert code == 1
    assert [(it["name"], it["result"]) for it in summary["steps"]] == [
        ("one", "pass"),
        ("two", "fail"),
        ("three", "pass"),
    ]
    assert summary["steps"][1]["error"] == "ValueError: this step is wrong"
    assert "1 failed" in capsys.readouterr().out


def test_nothing_runs_after_a_required_step_that_fails(monkeypatch, tmp_path):
    code, summary = checked(monkeypatch, tmp_path, step("one", failing, is_required=True), step("two", passing))

    assert code == 1
    assert [it["name"] for it in summary["steps"]] == ["one"]


def test_chosen_steps_run_with_those_that_are_required(monkeypatch, tmp_path):
    steps = [step("first", passing, is_required=True), step("one", passing), step("two", passing)]

    code, summary = checked(monkeypatch, tmp_path, *steps, arguments=("--steps", "two", "--cpu-rehearsal"))

    assert code == 0
    assert summary["rehearsal"]
    assert [(it["name"], it["seen"]) for it in summary["steps"]] == [("first", True), ("two", True)]


def test_a_step_for_which_no_time_is_left_is_skipped_with_the_reason(monkeypatch, tmp_path):
    code, summary = checked(monkeypatch, tmp_path, step("one", passing), arguments=("--limit", "0.5"))

    assert code == 0
    assert summary["steps"][0]["result"] == "skipped"
    assert summary["steps"][0]["why"].endswith("s are left, and it needs 1")


def test_an_unknown_step_is_refused_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["--steps", "trap"])

    assert "no such step: trap; known: install, look" in capsys.readouterr().err


def test_a_command_that_passes_its_limit_is_interrupted(commands):
    code = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('wrote what there is')"

    ran = commands.python("-c", code, limit_s=4.0)

    assert (ran.code, ran.last_line) == (None, "wrote what there is")


def test_a_command_s_output_and_exit_code_are_kept_and_logged(commands, tmp_path):
    ran = commands.python("-c", "print('seen'); raise SystemExit(3)", limit_s=30.0)

    assert (ran.code, ran.text) == (3, "seen\n")
    assert "seen\n[exit 3," in (tmp_path / "log.txt").read_text()


def test_the_table_shows_what_matters_below_each_step(tmp_path):
    summary = Summary(tmp_path / "summary.json", rehearsal=False, limit_s=60.0)
    summary.add("traps", passed_if(False, {"wrong": ["trap_oom ended as ok: "], "ends": {"many": 1}}), seconds=1.25)
    summary.add("energy", Outcome(Result.NOTE), seconds=0.0)

    assert summary.table().splitlines() == [
        "step         result   seconds",
        "traps        fail         1.2",
        '    wrong: ["trap_oom ended as ok: "]',
        "energy       note         0.0",
    ]
    assert summary.failed == ["traps"]


def row(implementation, status="ok", *, clock="device", reason="", rounds="20"):
    return {"implementation": implementation, "status": status, "clock": clock, "reason": reason, "rounds": rounds}


def test_traps_that_end_as_they_should_are_not_wrong():
    traps = [row(name, sorted(ends)[0]) for name, ends in EXPECTED.items()]
    innocent = [row(name, clock="wall" if name == "innocent_array" else "device") for name in INNOCENT]

    assert wrong_ends([*traps, *innocent]) == []


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (row("trap_oom", "error", reason="no memory"), "trap_oom ended as error: no memory"),
        (row("fused", "error", reason="lost"), "fused is innocent, and ended as error: lost"),
        (row("innocent_a", rounds="3"), "innocent_a had only 3 rounds: "),
        (row("innocent_array", "error", clock="wall"), "innocent_array is innocent, and ended as error: "),
    ],
)
def test_what_ends_otherwise_is_named(ended, said):
    assert wrong_ends([ended]) == [said]


def test_rows_of_a_run_are_counted_and_their_reasons_kept_once(tmp_path):
    header = (
        "workload,implementation,norm_mode,phase,clock,status,reason,median_s,speedup,speedup_low,speedup_high,notices"
    )
    text = (
        f"{header}\n"
        "8x64 float32,fused,,inference,device,ok,,2.5e-6,1.25,1.2,1.3,launch-bound\n"
        "8x64 float32,quack,,inference,device,skipped,needs quack,,,,,\n"
        "8x64 float32,quack,,backward,device,skipped,needs quack,,,,,\n"
    )
    (tmp_path / "results.csv").write_text(text)
    table = rows(tmp_path)

    assert counts(table) == {"ok": 1, "skipped": 2}
    assert reasons(table) == {"quack": {"skipped": "needs quack"}}
    assert lines(table)[0] == "8x64 float32 fused inference device ok 2.50us x1.250 [1.2,1.3] copy% launch-bound"
    assert rows(tmp_path / "nowhere") == []
    assert number("") is None


@pytest.mark.parametrize("name", suites_on("cuda"))
def test_a_small_suite_is_a_suite_with_every_block_and_no_shape_twice(name):
    text = suites_on("cuda")[name]
    whole, made = yaml.safe_load(text), yaml.safe_load(small(text))

    read_suite(small(text), source=name)
    assert len(made["workloads"]) == len(whole["workloads"])
    assert [set(block) for block in made["workloads"]] == [set(block) for block in whole["workloads"]]
    shapes = [tuple(shape) for block in made["workloads"] for shape in block["shapes"]]
    assert len(set(shapes)) == len(shapes)
    assert max(size for shape in shapes for size in shape) <= 64


def test_the_pretended_gpu_comes_before_all_other_packages():
    folders = pretended_environment({"PYTHONPATH": "mine"}, first=[Path("broken")])["PYTHONPATH"].split(":")

    assert folders == [str(SITE), "broken", str(REPOSITORY), "mine"]


def test_what_a_machine_has_already_is_not_fetched_nor_what_only_that_requires():
    names = set(needed(["lnbench[liger]"], have={"torch", "triton", "pandas"}, python="3.12"))

    assert {"pydantic", "pydantic-core", "typer", "liger-kernel", "numpy"} <= names
    assert not names & {"torch", "triton", "pandas", "sympy", "python-dateutil", "jax", "pytest"}


def test_the_guide_names_every_step_and_no_other():
    table = GUIDE.partition("## What each step shows")[2].partition("## ")[0]
    named = [name for cell in re.findall(r"^\| ([a-z, ]+) \|", table, re.MULTILINE) for name in cell.split(", ")]

    assert named[1:] == [it.name for it in STEPS]
    assert {word for _, words in re.findall(r"gpu_check (--steps) ([\w,]+)", GUIDE) for word in words.split(",")} <= {
        it.name for it in STEPS
    }


def test_the_guide_s_options_exist(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))

    written = {it for line in re.findall(r"tools\.gpu_check (.*)", GUIDE) for it in re.findall(r"--[a-z-]+", line)}
    assert written <= known
    assert {"--limit", "--steps"} <= known


def test_bench_writes_suites_into_the_work_folder(tmp_path, commands):
    bench = Bench(commands, tmp_path, tmp_path, rehearsal=True)

    assert bench.suite("traps", "name: traps").read_text() == "name: traps"
