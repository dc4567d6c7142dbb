"""Where results go when that place is odd: devices, pipes, links, closed streams, a terminal that is gone."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import journal, run_lnbench, write_suite

SAMPLE = Path(__file__).parent / "samples" / "schema-3.jsonl"
LNBENCH = [sys.executable, "-m", "lnbench"]


def shell(folder, command, **environment):
    """A line of shell with lnbench in it; gives the exit code and what went to stderr."""
    line = command.replace("lnbench", f"'{sys.executable}' -m lnbench", 1)
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.returncode, done.stderr


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("target.csv")

    done = run_lnbench(tmp_path, "report", SAMPLE, "--format", "csv=link.csv")

    assert done.code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("run_id,")


def test_a_pipe_is_written_into(tmp_path):
    code, said = shell(tmp_path, f"lnbench report {SAMPLE} --format csv=>(wc -l > lines; :) && sleep 0.2")

    assert code == 0
    assert "can't write" not in said
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as reader:
        done = run_lnbench(tmp_path, "report", SAMPLE, "--format", "csv=pipe")
        assert reader.communicate(timeout=30)[0].startswith("run_id,")
    assert done.code == 0


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "command", ["report SAMPLE", "list suites", "schema", "--version", "--help", "run quick --dry-run"]
)
def test_an_output_that_takes_nothing_is_one_message_and_no_bug(tmp_path, command):
    code, said = shell(tmp_path, f"lnbench {command.replace('SAMPLE', str(SAMPLE))} > /dev/full")

    assert code == 2
    assert said == "error: the output can't be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
@pytest.mark.parametrize("stderr", ["2> /dev/full", "2>&-"])
def test_messages_that_nobody_can_be_told_do_not_look_like_a_regression(tmp_path, stderr):
    assert shell(tmp_path, f"lnbench check nope --against x.py {stderr}")[0] == 2


def test_closed_streams_and_poor_encodings_are_no_bug(tmp_path):
    assert shell(tmp_path, f"lnbench report {SAMPLE} >&-")[0] == 0
    assert shell(tmp_path, f"lnbench report {SAMPLE} > out", PYTHONIOENCODING="ascii")[0] == 0
    assert "?" in (tmp_path / "out").read_text()


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("", "a run takes a folder of its own"),
        ("reports", "a run takes a folder of its own"),
        ("file", "a file stands where a folder should be"),
        ("file/run", "a file stands where a folder should be"),
        ("held", "already holds results.csv"),
    ],
)
def test_a_folder_that_can_not_be_used_is_told_before_anybody_waits(tmp_path, output, told):
    write_suite(tmp_path, "mine")
    (tmp_path / "file").write_text("")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "results.csv").write_text("")

    done = run_lnbench(tmp_path, "run", "mine.yaml", "--dry-run", "--output", output)

    assert done.code == 2
    assert told in done.stderr


def test_a_run_whose_terminal_is_closed_ends_in_order(tmp_path):
    write_suite(tmp_path, "mine", budget_s=600)
    ours, theirs = pty.openpty()
    command = [*LNBENCH, "run", "mine.yaml", "--output", "run"]

    def own_terminal():
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored, and a run goes by that

    run = subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=own_terminal, close_fds=True
    )
    os.close(theirs)
    file = tmp_path / "run" / "run.jsonl"
    while not (file.exists() and b'"event":"turn"' in file.read_bytes()):
        assert run.poll() is None
        os.read(ours, 4096)
    os.close(ours)
    for _ in range(3):
        run.send_signal(signal.SIGHUP)

    assert run.wait(timeout=60) == 130
    assert journal(tmp_path / "run")[-1]["interrupted"]
    assert {entry.name for entry in (tmp_path / "run").iterdir()} == {"run.jsonl", "results.csv", "report.md"}


def test_a_folder_that_is_removed_meanwhile_is_told(tmp_path):
    write_suite(tmp_path, "mine", implementations=["fused", "removing"], budget_s=0.2)
    (tmp_path / "plug.py").write_text(
        "import shutil\nimport torch\nfrom lnbench import implementation\n\n\n"
        '@implementation("removing", function="layer_norm")\ndef removing(workload):\n'
        "    shutil.rmtree('run', ignore_errors=True)\n"
        "    return torch.nn.LayerNorm(workload.normalized_shape)\n"
    )

    done = run_lnbench(tmp_path, "run", "mine.yaml", "--plugin", "plug.py", "--output", "run")

    assert done.code == 2
    assert "run/run.jsonl: was removed while the run measured" in done.stderr
