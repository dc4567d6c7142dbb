"""What is asked for wrongly gets one message that says where, what and what instead, and the right exit code."""

import os
import signal
import subprocess
import sys

import pytest
from command import MEASURED, journal, results, run_lnbench, write_suite
from hypothesis import given
from hypothesis import strategies as st

from lnbench.cli.door import run_command_line
from lnbench.errors import ExitCode, StoppedAtOnce, most_telling

SUITE = """name: mine
reference: fused
implementations: [eager, fused]
workloads:
  - shapes: [[8, 16]]
    dtypes: [float32, bfloat16]
"""
PLUGIN = """from lnbench import implementation


@implementation("mine", function="layer_norm")
def mine(workload):
    return None
"""
INTERRUPTING = """
import os
import signal
from pathlib import Path

import torch
from lnbench import implementation

JOURNAL = Path(__file__).with_name("run") / "run.jsonl"
sent = []


@implementation("interrupting", function="layer_norm")
def interrupting(workload):
    def forward(x, weight, bias):
        if not sent and '"round":1,' in JOURNAL.read_text():
            sent.append(Path(__file__).with_name("worker").write_text(str(os.getpid())))
            os.kill(os.getppid(), signal.NAME)
        return torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)

    return forward
"""


@pytest.fixture
def lnbench(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder inside this process; gives its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments):
        code = run_command_line([*arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def refusal(outcome):
    """The message and the hint of a command that was refused as wrongly used, and printed nothing else."""
    code, out, err = outcome
    assert code == ExitCode.USAGE
    assert out == ""
    message, hint = [*err.splitlines(), ""][:2]
    assert len(err.splitlines()) <= 2
    assert message.startswith("error: ")
    assert hint.startswith("hint: ") or not hint
    return message.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize(
    ("typo", "place", "found", "nearest"),
    [
        (("shapes:", "shpes:"), "mine.yaml:5: workloads[0]", 'unknown key "shpes"', "shapes"),
        (("reference:", "refrence:"), "mine.yaml:2:", 'unknown key "refrence"', "reference"),
        (("eager", "eagr"), "mine.yaml:3: implementations[0]", 'unknown implementation "eagr"', "eager"),
        (("bfloat16", "bf16"), "mine.yaml:6: workloads[0].dtypes[1]", 'unknown dtype "bf16"', "bfloat16"),
    ],
)
def test_a_typo_in_a_suite_is_told_with_file_line_and_nearest_name(lnbench, tmp_path, typo, place, found, nearest):
    (tmp_path / "mine.yaml").write_text(SUITE.replace(*typo))

    message, hint = refusal(lnbench("run", "mine.yaml"))

    assert message.startswith(place)
    assert message.endswith(found)
    assert hint.startswith(f'did you mean "{nearest}"?')


@pytest.mark.parametrize(
    ("arguments", "found", "instead"),
    [
        ("run qick", 'there is no shipped suite "qick"', 'did you mean "quick"?'),
        ("run mime.yaml", "mime.yaml: there is no such file", 'did you mean "mine.yaml"?'),
        ("run mine", 'there is no shipped suite "mine"', "to run the file write mine.yaml"),
        ("run quick --bugdet 3", "no such option: --bugdet (Possible options: --budget", "run --help`"),
        ("run quick --budget soon", "invalid value for '--budget'", "run --help`"),
        ("run quick --processes 0", "invalid value for '--processes'", "run --help`"),
        ("run quick --precision 7", "--precision: must be less than 1, found 7.0", ""),
        ("run quick --budget -1", "--budget: must be greater than 0, found -1.0", ""),
        ("run quick --only dtyp=float32", '--only: unknown column "dtyp"', 'did you mean "dtype"?'),
        ("run quick --only float32", '--only: "float32" is not column=value', "--only dtype=bfloat16"),
        ("run quick --implementation fusd", '--implementation: unknown implementation "fusd"', 'did you mean "fused"?'),
        ("run quick --device gpu", '--device: unknown device "gpu"', 'did you mean "cuda"?'),
        ("run quick --plugin none.py", "none.py: there is no such file", ""),
        ("run quick --plugin mine.yaml", "mine.yaml: a plug-in is a Python file (.py)", ""),
        ("rnu quick", "no such command 'rnu'", 'did you mean "run"?'),
        ("list suits", "no such command 'suits'", 'did you mean "suites"?'),
        ("list cases qick", 'there is no shipped suite "qick"', 'did you mean "quick"?'),
        ("report latest", 'there is no run "latest": reports holds no runs', "`lnbench run quick` makes the first one"),
        ("report mine.yaml", "mine.yaml:1: not a journal of lnbench", "the run's header"),
        ("report latest --format htm", '--format: unknown format "htm"', 'did you mean "html"?'),
        ("report latest --samples", "--samples goes with --format csv", ""),
    ],
)
def test_a_wrong_command_line_is_told_in_one_message_with_what_to_write(lnbench, tmp_path, arguments, found, instead):
    (tmp_path / "mine.yaml").write_text(SUITE)

    message, hint = refusal(lnbench(*arguments.split()))

    assert message.startswith(found)
    assert instead in hint


def test_an_unknown_run_is_told_with_the_nearest_one(lnbench, tmp_path):
    for name in ("20261122-154500-quick", "20261123-101500-vision"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / "run.jsonl").write_text("{}\n")

    message, hint = refusal(lnbench("report", "20261122-154501-quick"))

    assert message == 'there is no run "20261122-154501-quick" in reports'
    assert hint.startswith('did you mean "20261122-154500-quick"?')


@pytest.mark.parametrize(
    ("text", "message", "instead"),
    [
        (PLUGIN.replace("mine(workload):", "mine(workload:"), ":5: SyntaxError:", ""),
        (PLUGIN.replace("layer_norm", "layernorm"), ':4: implementation "mine": unknown function "layernorm"', "mean"),
        (PLUGIN.replace("function=", "funtion="), ":4: TypeError: implementation() got an unexpected keyword", ""),
        (PLUGIN.replace('("mine"', '("my norm!"'), ":4: implementation name 'my norm!' is not usable", "write a name"),
        (PLUGIN + '\nraise OSError("no weights")\n', ":8: OSError: no weights", ""),
        (PLUGIN + "\nimport sys\nsys.exit(3)\n", ": SystemExit: 3", ""),
        (PLUGIN + "\nimport os\nos._exit(0)\n", ": loading it failed: it exited with 0", ""),
        (PLUGIN.replace("@", "# @"), ": registers no implementation", "put @lnbench.implementation(...)"),
        (PLUGIN.replace('"mine"', '"fused"'), ': the name "fused" is taken by lnbench itself', "another name"),
        (PLUGIN + PLUGIN, ': the name "mine" is taken by the same file', "another name"),
    ],
    ids=["syntax", "function", "keyword", "name", "raises", "exits", "vanishes", "nothing", "taken", "twice"],
)
def test_a_plugin_that_cannot_be_loaded_is_told_with_its_file_and_line(lnbench, tmp_path, text, message, instead):
    (tmp_path / "plug.py").write_text(text)

    found, hint = refusal(lnbench("run", "quick", "--dry-run", "--plugin", "plug.py"))

    assert found.startswith(f"plug.py{message}")
    assert instead in hint


def test_a_name_that_two_plugins_take_is_refused(lnbench, tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(PLUGIN)

    message, _ = refusal(lnbench("run", "quick", "--dry-run", "--plugin", "one.py", "--plugin", "two.py"))

    assert message == 'two.py: the name "mine" is taken by one.py'


def test_debug_shows_the_traceback_before_the_message(lnbench, tmp_path):
    (tmp_path / "mine.yaml").write_text(SUITE.replace("eager", "eagr"))

    code, _, err = lnbench("run", "mine.yaml", "--debug")

    assert code == ExitCode.USAGE
    assert err.startswith("Traceback (most recent call last)")
    assert 'error: mine.yaml:3: implementations[0]: unknown implementation "eagr"' in err


def test_the_real_command_gives_message_and_code_to_the_shell(tmp_path):
    done = run_lnbench(tmp_path, "run", "qick")

    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith('error: there is no shipped suite "qick"\nhint: did you mean "quick"?')


def test_a_filter_that_no_case_matches_measures_nothing_and_shows_the_nearest_value(lnbench):
    code, out, err = lnbench("run", "quick", "--only", "dtype=float64")

    assert (code, out) == (ExitCode.NOTHING_MEASURED, "")
    assert "error: nothing to measure: --only: no case has dtype=float64" in err
    assert 'hint: did you mean "bfloat16"? known: bfloat16, float32' in err


def test_filters_that_leave_no_case_together_measure_nothing(lnbench, tmp_path):
    (tmp_path / "mine.yaml").write_text(SUITE + "  - shapes: [[8, 32]]\n    phases: [inference]\n")

    code, out, err = lnbench("run", "mine.yaml", "--only", "input_shape=8x32,phase=backward")

    assert (code, out) == (ExitCode.NOTHING_MEASURED, "")
    assert "error: nothing to measure: the filters leave no case" in err


def test_a_suite_whose_devices_are_all_absent_measures_nothing_and_says_why(lnbench, tmp_path, monkeypatch):
    reason = "no NVIDIA GPU was found"
    monkeypatch.setattr(
        "lnbench.conductor.preparation.absent_devices", lambda *_: {"cpu": "", "cuda": reason, "cuda:0": reason}
    )
    (tmp_path / "mine.yaml").write_text(SUITE + "    devices: [cuda, 'cuda:0']\n")

    code, out, err = lnbench("run", "mine.yaml")

    assert (code, out) == (ExitCode.NOTHING_MEASURED, "")
    assert f"error: nothing to measure: {reason}" in err
    assert not (tmp_path / "reports").exists()


def test_a_bug_is_one_message_with_how_to_report_it(lnbench, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("lnbench.store.folder.find_run", fail)

    code, out, err = lnbench("report", "latest")

    assert (code, out) == (ExitCode.BUG, "")
    assert err.splitlines()[0] == "error: a bug in lnbench: ZeroDivisionError: of all things"
    assert "--debug and report" in err.splitlines()[1]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("interrupt", "said"),
    [
        (KeyboardInterrupt(), "error: interrupted\n"),
        (StoppedAtOnce("stopped at once", hint="to go on: do"), "error: stopped at once\nhint: to go on: do\n"),
    ],
)
def test_an_interrupted_command_says_so(lnbench, monkeypatch, interrupt, said):
    def stop(*_):
        raise interrupt

    monkeypatch.setattr("lnbench.store.folder.find_run", stop)

    assert lnbench("report", "latest") == (ExitCode.INTERRUPTED, "", said)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_keeps_what_was_measured_and_leaves_no_worker_behind(tmp_path, name):
    write_suite(tmp_path, "long", implementations=["eager", "fused", "interrupting"], budget_s=600)
    (tmp_path / "plug.py").write_text(INTERRUPTING.replace("NAME", name))

    done = run_lnbench(tmp_path, "run", "long.yaml", "--plugin", "plug.py", "--output", "run")

    rows = results(tmp_path / "run")
    assert done.code == 130
    assert "Traceback" not in done.stderr
    assert journal(tmp_path / "run")[-1]["interrupted"]
    # It was sent once every case had taken its turn of the first round.
    assert set(rows.status) <= MEASURED
    assert rows[rows.status == "ok"].median_s.notna().all()
    assert "8x16/float32/cpu" in done.stdout
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "worker").read_text()), signal.SIG_DFL)


@pytest.mark.parametrize("command", ["schema", "list suites"])
def test_a_command_whose_reader_has_gone_ends_well_and_without_a_word(tmp_path, command):
    shell = f"{sys.executable} -m lnbench {command} | true; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("0\n", "")


def test_the_exit_code_that_wins_follows_the_documented_order():
    order = [ExitCode(code) for code in (130, 2, 70, 5, 1, 4, 3, 0)]

    assert [most_telling(order[place:]) for place in range(len(order))] == order


@given(st.lists(st.sampled_from(ExitCode)))
def test_of_several_exit_codes_the_order_does_not_matter(codes):
    assert most_telling(codes) == most_telling(reversed(codes))
    assert most_telling([]) is ExitCode.FINE
