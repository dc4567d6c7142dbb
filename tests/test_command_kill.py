"""Runs that are killed, resumed, watched by a full disk, and started twice: the real command, with real processes."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from command import MEASURED, journal, results, run_lnbench, write_suite
from kill_anytime import VICTIMS, Moment, flaws, killed_and_resumed, uninterrupted

PLUGIN = """
import torch
from lnbench import implementation


@implementation("mine", function="layer_norm")
def mine(workload):
    return torch.nn.LayerNorm(workload.normalized_shape)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A short run that nobody disturbed."""
    return uninterrupted(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_run_killed_while_it_measures_and_resumed_is_like_one_left_alone(tmp_path, whole, victim):
    found = killed_and_resumed(tmp_path, Moment(victim, journal_b=20_000))

    assert sum(found.on_disk.values()) > 0
    assert flaws(found, whole) == []


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder with a run that was interrupted after its first turns, and the plug-in that it used."""
    folder = tmp_path_factory.mktemp("interrupted")
    write_suite(folder, "mine", implementations=["eager", "mine"], budget_s=600)
    (folder / "plug.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "lnbench", "run", "mine.yaml", "--plugin", "plug.py", "--output", "run"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        file = folder / "run" / "run.jsonl"
        for line in run.stderr:
            if line.startswith("[1/1]"):
                break
        while not (file.exists() and b'"event":"turn"' in file.read_bytes()):
            assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate()
    assert run.returncode == 130
    (folder / "said").write_text(said)
    return folder


@pytest.fixture
def left(interrupted, tmp_path):
    """A copy of it to go on with."""
    shutil.copytree(interrupted, tmp_path / "left")
    return tmp_path / "left"


def refused(folder, *arguments):
    """The message of a command that was refused; nothing in the run has changed."""
    before = (folder / "run" / "run.jsonl").read_bytes()
    done = run_lnbench(folder, "run", "--resume", "run", *arguments)
    assert done.code == 2
    assert (folder / "run" / "run.jsonl").read_bytes() == before
    return done.stderr


def rewrite_header(folder, change):
    """Change the header of a run's journal."""
    header, _, rest = (folder / "run" / "run.jsonl").read_text().partition("\n")
    changed = json.loads(header)
    change(changed)
    (folder / "run" / "run.jsonl").write_text(json.dumps(changed) + "\n" + rest)


def test_an_interrupted_run_says_how_to_go_on(left):
    assert "to go on: lnbench run --resume run --plugin plug.py" in (left / "said").read_text()


def test_resuming_asks_for_the_plugin_and_takes_no_other_file_in_its_place(left):
    assert "the run used the plug-in plug.py, which is not given" in refused(left)
    (left / "plug.py").write_text(PLUGIN + "# another one\n")
    assert "plug.py is not the file that the run used" in refused(left, "--plugin", "plug.py", "--force")


def test_resuming_loads_nothing_that_a_journal_names(left):
    (left / "evil.py").write_text("raise SystemExit('loaded')")
    rewrite_header(left, lambda header: header.update(plugins={"evil.py": "0" * 64}))

    assert "the run used the plug-in evil.py, which is not given" in refused(left)


def test_what_has_changed_since_is_named_and_only_force_goes_on(left):
    (left / "other.yaml").write_text((left / "mine.yaml").read_text() + "# changed\n")
    assert "suite: other.yaml is not the text" in refused(left, "other.yaml", "--plugin", "plug.py")
    rewrite_header(left, lambda header: header["environment"]["versions"].update(torch="1.0"))
    rewrite_header(left, lambda header: header["sampling"].update(budget_s=0.2))

    assert "torch: 1.0 there, " in refused(left, "--plugin", "plug.py")
    done = run_lnbench(left, "run", "--resume", "run", "--plugin", "plug.py", "--force")

    assert done.code == 0
    (resumed,) = [line for line in journal(left / "run") if line["event"] == "resumed"]
    assert resumed["differences"][0].startswith("torch: 1.0 there, ")
    assert "although these had changed: torch: 1.0 there" in (left / "run" / "report.md").read_text()


def test_what_a_run_has_settled_can_not_be_changed_on_the_way(left):
    assert "--only can't be changed on the way" in refused(left, "--plugin", "plug.py", "--only", "dtype=float32")


def test_a_complete_run_is_left_as_it_is(left):
    rewrite_header(left, lambda header: header["sampling"].update(budget_s=0.2))
    first = run_lnbench(left, "run", "--resume", "run", "--plugin", "plug.py")
    before = {file.name: file.read_bytes() for file in (left / "run").iterdir()}

    again = run_lnbench(left, "run", "--resume", "run", "--plugin", "plug.py")

    assert (first.code, again.code) == (0, 0)
    assert set(results(left / "run").status) <= MEASURED
    assert again.stderr.endswith("is complete: nothing to resume\n")
    assert {file.name: file.read_bytes() for file in (left / "run").iterdir()} == before
    assert set(before) == {"run.jsonl", "results.csv", "report.md"}


def test_the_dry_run_of_a_resumption_says_what_is_left_and_measures_nothing(left):
    before = (left / "run" / "run.jsonl").read_bytes()

    done = run_lnbench(left, "run", "--resume", "run", "--plugin", "plug.py", "--dry-run")

    assert done.code == 0
    assert "1 of 1 workloads are left to measure" in done.stderr
    assert (left / "run" / "run.jsonl").read_bytes() == before


@pytest.mark.parametrize("limit_b", [3_000, 25_000])
def test_a_disk_that_takes_no_more_ends_a_run_with_one_message_and_a_journal_that_reads(tmp_path, limit_b):
    write_suite(tmp_path, "full", budget_s=600)
    command = [sys.executable, "-m", "lnbench", "run", "full.yaml", "--output", "run"]

    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_b, limit_b))

    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit_files, stdin=subprocess.DEVNULL
    )

    assert done.returncode == 2
    assert "error: run/run.jsonl: can't write: File too large" in done.stderr
    assert "what was measured before is kept" in done.stderr
    assert "Traceback" not in done.stderr
    shown = run_lnbench(tmp_path, "report", "run")
    assert shown.code == 0
    assert "incomplete" not in shown.stderr
    assert len(journal(tmp_path / "run")) > 1


def test_a_second_run_waits_for_the_first_or_fails_at_once(tmp_path):
    write_suite(tmp_path, "first", budget_s=600)
    write_suite(tmp_path, "second", budget_s=0.1)
    command = [sys.executable, "-m", "lnbench", "run"]
    with subprocess.Popen([*command, "first.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as first:
        for line in first.stderr:
            if line.startswith("[1/1]"):
                break
        refused = run_lnbench(tmp_path, "run", "second.yaml", "--no-wait")
        with subprocess.Popen([*command, "second.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as stopped:
            next(stopped.stderr)
            stopped.terminate()
            last = stopped.stderr.read()
        with subprocess.Popen([*command, "second.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as second:
            said = next(second.stderr)
            reading = run_lnbench(tmp_path, "list", "cases", "second.yaml")
            workers = psutil.Process(first.pid).children()
            os.kill(first.pid, signal.SIGKILL)  # a lock of the dead is taken over
            first.communicate()
            second.communicate(timeout=120)

    assert refused.code == 5
    who = f"process {first.pid} of {psutil.Process().username()}, `lnbench run first.yaml` since "
    assert f"another lnbench measures on this machine: {who}" in refused.stderr
    assert f"waiting for another lnbench on this machine: {who}" in said
    assert (stopped.returncode, last) == (130, "error: interrupted while waiting for another lnbench on this machine\n")
    assert said.endswith("; place 1 in the queue\n")
    assert reading.code == 0
    assert second.returncode == 0
    assert not psutil.wait_procs(workers, timeout=30)[1]  # reaped here, where these tests have adopted them


def test_a_folder_that_can_not_be_written_is_refused_before_anything_is_measured(tmp_path):
    write_suite(tmp_path, "mine")
    (tmp_path / "taken").write_text("")

    done = run_lnbench(tmp_path, "run", "mine.yaml", "--output", Path("taken", "run"))

    assert done.code == 2
    assert "taken: a file stands where a folder should be" in done.stderr


def test_results_that_can_not_be_written_leave_the_table_and_the_journal(tmp_path):
    write_suite(tmp_path, "mine", implementations=["fused", "blocking"])
    blocking = "    Path('run/results.csv').mkdir(exist_ok=True)\n    return"
    (tmp_path / "plug.py").write_text(
        "from pathlib import Path\n" + PLUGIN.replace('"mine"', '"blocking"').replace("    return", blocking)
    )

    done = run_lnbench(tmp_path, "run", "mine.yaml", "--plugin", "plug.py", "--output", "run")

    assert done.code == 2
    assert "8x16/float32/cpu" in done.stdout
    assert "run/results.csv: can't write" in done.stderr
    assert journal(tmp_path / "run")[-1]["event"] == "run_finished"
