"""A build that is ended, by the time limit or by the user, leaves no lock to the next run; the reason says where."""

import signal
import subprocess
import sys
import time

import pytest
from command import LONGEST_S, listen_to_interrupts, results, run_lnbench, write_suite

from lnbench.conductor import calling
from lnbench.conductor.calling import call_worker
from lnbench.conductor.process_group import children, end_group
from lnbench.conductor.starting import worker_command
from lnbench.planned import PluginSource

LOCKED = '''
import time
from pathlib import Path

import torch
from lnbench import implementation

LOCK = Path(__file__).with_name("lock")


def wait_for_it():
    """As torch.utils.file_baton does."""
    while LOCK.exists():
        time.sleep(0.05)


def build(seconds):
    """As torch.utils.cpp_extension does."""
    try:
        LOCK.open("x").close()
    except FileExistsError:
        wait_for_it()
        return
    try:
        time.sleep(seconds)
    finally:
        LOCK.unlink()


@implementation("locked", function="layer_norm")
def locked(workload):
    build({seconds})
    return torch.nn.LayerNorm(workload.normalized_shape)
'''
FOR_EVER = "10_000"


def start(folder, *arguments):
    """The real command, in the background."""
    command = [sys.executable, "-m", "lnbench", "run", "mine.yaml", "--plugin", "norms.py", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=listen_to_interrupts)


@pytest.fixture
def folder(tmp_path):
    write_suite(tmp_path, "mine", implementations=["fused", "locked"])
    (tmp_path / "norms.py").write_text(LOCKED.replace("{seconds}", FOR_EVER))
    return tmp_path


def run(folder, output, *arguments):
    """The real command to its end, and the reasons of the case that builds."""
    done = run_lnbench(folder, "run", "mine.yaml", "--plugin", "norms.py", "--output", output, *arguments)
    rows = results(folder / output)
    return done.code, rows[rows.implementation == "locked"].reason.dropna().unique().tolist()


def test_a_build_past_the_time_limit_releases_its_lock_and_the_next_run_builds(folder):
    line = next(n for n, text in enumerate(LOCKED.splitlines(), start=1) if "time.sleep(seconds)" in text)

    first = run(folder, "first", "--timeout", "4")
    (folder / "norms.py").write_text(LOCKED.replace("{seconds}", "0"))
    second = run(folder, "second")

    assert first == (4, [f"no progress for 4 s at build: norms.py:{line} (build)"])
    assert second == (0, [])


def test_a_lock_that_somebody_else_left_is_told_with_the_file_that_waits_for_it(folder):
    (folder / "lock").touch()

    code, (reason,) = run(folder, "first", "--timeout", "4")

    assert code == 4
    assert reason.endswith("(wait_for_it)")
    assert (folder / "lock").exists()


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT]], ids=["once", "twice"])
def test_a_run_that_is_interrupted_while_it_builds_releases_the_lock(folder, signals):
    command = start(folder, "--output", "first")
    while not (folder / "lock").exists():
        assert command.poll() is None
        time.sleep(0.01)

    for number in signals:
        command.send_signal(number)
    command.communicate(timeout=LONGEST_S)

    assert command.returncode == 130
    assert not (folder / "lock").exists()


def test_a_plug_in_that_builds_when_it_is_imported_releases_its_lock_too(tmp_path):
    text = LOCKED.replace("build({seconds})", "pass") + f"\n\nbuild({FOR_EVER})\n"
    (tmp_path / "norms.py").write_text(text)
    source = PluginSource(path=str(tmp_path / "norms.py")).model_dump_json()
    process = subprocess.Popen(worker_command("--describe", "1", "0", source), start_new_session=True)
    while not (tmp_path / "lock").exists():
        assert process.poll() is None
        time.sleep(0.01)

    end_group(process, beside=children())

    assert process.returncode == -signal.SIGTERM
    assert not (tmp_path / "lock").exists()


def test_loading_that_takes_too_long_is_told_with_the_file_where_it_hangs(monkeypatch, tmp_path):
    file = tmp_path / "hanging.py"
    file.write_text("import faulthandler, signal, time\nfaulthandler.register(signal.SIGQUIT)\ntime.sleep(1000)\n")
    monkeypatch.setattr(calling, "worker_command", lambda *_: [sys.executable, str(file)])

    answer = call_worker(["--describe"], timeout_s=5)

    assert answer.timed_out
    assert answer.failure == "it did not finish within 5 s: hanging.py:3 (<module>)"
