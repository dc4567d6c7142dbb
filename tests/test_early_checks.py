"""What is wrong with a command line is said before a command waits for the machine, and before a plug-in is loaded."""

import subprocess

import pytest
from command import write_suite
from planning import plan

from lnbench import __version__
from lnbench.cli.door import run_command_line
from lnbench.conductor.preparation import Request, prepare
from lnbench.errors import NothingMeasuredError
from lnbench.events import RunFinished, WorkloadFinished
from lnbench.planned import InstalledSource
from lnbench.record import Baseline, Header
from lnbench.store.journal import Journal

PLUGIN = """
import os
os._exit(7)  # whoever loads it fails
"""
AGAINST = ("check", "mine.yaml", "--against")


class Reached(BaseException):
    """A command has come to where it waits."""


@pytest.fixture
def lnbench(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder with a suite, plug-ins and a repository; it may come to the wait, and no further."""

    def reach(*_, **__):
        raise Reached

    monkeypatch.setattr("lnbench.conductor.alone.alone_on_machine", reach)
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, "mine", implementations=["fused", "eager"])
    write_suite(tmp_path, "theirs", implementations=["fused", "my_norm"], more=", exclude: [{implementation: other}]")
    (tmp_path / "other").mkdir()
    for file in ("norms.py", "old.py", "other/norms.py", "notes.txt"):
        (tmp_path / file).write_text(PLUGIN)
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@nowhere"]
    for command in (["init", "-q", "-b", "main"], ["add", "norms.py", "notes.txt"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *identity, *command], check=True, cwd=tmp_path)

    def run(*arguments):
        code = run_command_line([*arguments])
        return code, capsys.readouterr().err

    return run


WITH_PLUGIN = ("run", "mine.yaml", "--plugin", "norms.py")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "mien.yaml"), 2, 'did you mean "mine.yaml"?'),
        (("run", "mine.yaml", "--plugin", "gone.py"), 2, "gone.py: there is no such file"),
        (("run", "mine.yaml", "--implementation", "eagr"), 2, 'did you mean "eager"?'),
        (("run", "mine.yaml", "--only", "dtype=flaot32"), 5, 'did you mean "float32"?'),
        ((*WITH_PLUGIN, "--only", "dtype=flaot32"), 5, 'did you mean "float32"?'),
        ((*WITH_PLUGIN, "--only", "implementation=eagr"), 5, 'did you mean "eager"?'),
        ((*WITH_PLUGIN, "--only", "dtpe=float32"), 2, 'did you mean "dtype"?'),
        ((*WITH_PLUGIN, "--precision", "7"), 2, "precision: "),
        ((*WITH_PLUGIN, "--device", "cudda"), 2, "cudda"),
        ((*WITH_PLUGIN, "--device", "cuda:77"), 5, "nothing to measure: this machine has no cuda:77"),
        ((*WITH_PLUGIN, "--plugin", "other/norms.py"), 2, "there is another plug-in called norms.py"),
        ((*WITH_PLUGIN, "--plugin", "notes.txt"), 2, "notes.txt: a plug-in is a Python file"),
        ((*WITH_PLUGIN, "--output", "notes.txt"), 2, "notes.txt: a file stands where a folder should be"),
        ((*AGAINST, "old.py"), 2, "the new version is not named"),
        ((*AGAINST, "gone.py", "--plugin", "norms.py"), 2, "gone.py: there is no such file"),
        ((*AGAINST, "old.py", "--plugin", "gone.py"), 2, "gone.py: there is no such file"),
        ((*AGAINST, "old.py", "--plugin", "norms.py", "--only", "threads=99"), 5, "no case has threads=99"),
        ((*AGAINST, "git:gone:norms.py"), 2, 'git knows no revision "gone" here'),
        ((*AGAINST, "git:main:nroms.py"), 2, 'did you mean "norms.py"?'),
        ((*AGAINST, "git:main:notes.txt", "--plugin", "norms.py"), 2, "notes.txt: a plug-in is a Python file"),
        (("check", "mine.yaml", "--baseline", "gone"), 2, 'there is no run "gone"'),
        (("run", "--resume", "gone"), 2, 'there is no run "gone"'),
    ],
    ids=lambda it: " ".join(it[1:]) if isinstance(it, tuple) else "",
)
def test_a_mistake_is_reported_without_waiting_and_without_loading_a_plugin(lnbench, arguments, code, said):
    found, err = lnbench(*arguments)

    assert found == code
    assert said in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "mine.yaml"),
        WITH_PLUGIN,
        (*WITH_PLUGIN, "--implementation", "my_norm", "--only", "implementation=my_norm,function=rms_norm"),
        ("run", "theirs.yaml", "--plugin", "norms.py", "--only", "norm_mode=batch"),
        (*AGAINST, "old.py", "--plugin", "norms.py", "--only", "implementation=my_norm"),
        (*AGAINST, "old.py:my_norm", "--plugin", "norms.py"),
        (*AGAINST, "git:main:norms.py", "--implementation", "my_norm"),
        ("check", "mine.yaml", "--baseline", "baseline.jsonl"),
    ],
    ids=lambda it: " ".join(it),
)
def test_what_only_a_loaded_plugin_can_settle_is_left_until_nobody_measures(lnbench, monkeypatch, arguments):
    base = Baseline(digest="0" * 64, header=header(), events=())
    monkeypatch.setattr("lnbench.gate.baseline.held_against", lambda *_: base)

    with pytest.raises(Reached):
        lnbench(*arguments)


def test_a_name_that_no_installed_package_has_is_reported_although_a_package_will_be_loaded(lnbench, monkeypatch):
    found = {"their_norm": (InstalledSource(name="their_norm", value="it:it", distribution="theirs", version="1"),)}
    for place in ("lnbench.implementations.packages", "lnbench.conductor.known"):
        monkeypatch.setattr(f"{place}.installed_sources", lambda: found)

    code, err = lnbench("run", "mine.yaml", "--implementation", "their_norm,thier_norm")

    assert code == 2
    assert 'did you mean "their_norm"?' in err
    with pytest.raises(Reached):
        lnbench("run", "mine.yaml", "--implementation", "their_norm")


def test_a_reports_folder_that_can_not_be_is_reported_without_waiting_and_a_dry_run_needs_none(lnbench, tmp_path):
    (tmp_path / "reports").write_text("")

    code, err = lnbench("run", "mine.yaml")

    assert code == 2
    assert "error: reports: a file stands where a folder should be" in err
    assert lnbench("run", "mine.yaml", "--dry-run")[0] == 0


def header():
    """The header of a run of the suite."""
    made = prepare(Request(suite="mine.yaml"))
    return Header(
        run_id="done",
        created="2026-11-22T12:00:00+00:00",
        lnbench_version=__version__,
        suite=made.suite.name,
        suite_text=made.suite_text,
        seed=1,
        sampling=made.plan.sampling,
        environment=made.environment,
        workloads=made.plan.workloads,
        cases=made.plan.cases,
    )


def write_run(folder, *events):
    """A run of the suite without any turns, in which these events happened."""
    with Journal.create(folder / "done", header()) as journal:
        for event in events:
            journal.append(event)


FINISHED = (
    WorkloadFinished(process=0, workload=0, rounds=20, rounds_s=0.2, stopped_by="budget"),
    RunFinished(wall_s=1.0),
)


def test_a_complete_run_is_not_waited_for_to_be_resumed(lnbench, tmp_path):
    write_run(tmp_path, *FINISHED)

    _, err = lnbench("run", "--resume", "done")

    assert err == "run done is complete: nothing to resume\n"


@pytest.mark.parametrize("arguments", [["theirs.yaml"], ["--plugin", "norms.py"]])
def test_a_run_that_can_not_be_resumed_here_is_refused_without_waiting(lnbench, tmp_path, arguments):
    write_run(tmp_path)

    code, err = lnbench("run", "--resume", "done", *arguments)

    assert code == 2
    assert "is not the text" in err or "the run used no plug-in norms.py" in err


@pytest.mark.parametrize("events", [(), FINISHED[:1], FINISHED[1:]], ids=["begun", "killed at its end", "cut short"])
def test_a_run_with_something_left_to_measure_or_to_write_waits_to_be_resumed(lnbench, tmp_path, events):
    write_run(tmp_path, *events)

    with pytest.raises(Reached):
        lnbench("run", "--resume", "done")


@pytest.mark.parametrize(
    ("column", "value", "guess"),
    [
        ("dtype", "flaot32", "float32"),
        ("implementation", "eagr", "eager"),
        ("function", "layernorm", "layer_norm"),
        ("phase", "forwards", "forward"),
        ("input_shape", "8x46", "8x64"),
        ("workload", "8x64/float23/cpu", "8x64/float32/cpu"),
    ],
)
def test_a_value_that_no_case_has_is_named_with_the_nearest_one_that_a_case_has(column, value, guess):
    with pytest.raises(NothingMeasuredError) as caught:
        plan(options={"only": {column: (value,)}})

    assert caught.value.message == f"nothing to measure: --only: no case has {column}={value}"
    assert caught.value.hint.startswith(f'did you mean "{guess}"?')


def test_the_first_column_without_a_match_is_named_and_all_its_patterns():
    with pytest.raises(NothingMeasuredError) as caught:
        plan(options={"only": {"dtype": ("float32",), "phase": ("up", "down")}})

    assert caught.value.message == "nothing to measure: --only: no case has phase=up or phase=down"
    assert caught.value.hint == "known: backward, forward, forward_backward, inference"


def test_columns_that_match_apart_and_not_together_leave_an_empty_plan():
    made = plan(
        ["shapes: [[8, 64]]", "shapes: [[8, 128]], dtypes: [float64]"],
        options={"only": {"dtype": ("float32",), "input_shape": ("8x128",)}},
    )

    assert made.cases == ()
