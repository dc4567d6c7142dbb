"""Worker processes that are real but not lnbench's, so that they say, die and hang as told."""

import signal
import sys

import fabricate
import psutil
import pytest

from lnbench.conductor import process_group, processes
from lnbench.conductor.calling import call_worker
from lnbench.conductor.process_group import adopt_orphans
from lnbench.conductor.processes import (
    WorkerDiedError,
    WorkerHungError,
    WorkerProcess,
)
from lnbench.conductor.starting import worker_command, worker_environment
from lnbench.planned import PluginSource, Stage, Status
from lnbench.worker.protocol import Announce, Idle, Setup

SETUP = Setup(process=0, worker=0, device="cpu", threads=3, allocator="retained")
PATIENCE_S = 60.0
HANG_S = 0.05
BEGIN = """
import os, signal, sys, threading
parent, orders, messages, turns, faults = map(int, sys.argv[1:])
orders = os.fdopen(orders, "rb")
first = orders.readline()
"""


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Starts a worker that runs the given lines instead of lnbench's; ends it with the test."""
    started = []
    turns = (tmp_path / "turns").open("ab")

    def start_worker(lines, *, verbose=False):
        monkeypatch.setattr(processes, "worker_command", lambda *fds: [sys.executable, "-c", BEGIN + lines, *fds])
        started.append(WorkerProcess(SETUP, turns=turns.fileno(), verbose=verbose))
        return started[-1]

    yield start_worker
    for worker in started:
        if not worker._printed.closed:
            worker.kill()
            worker.close()
    turns.close()


def test_a_worker_is_given_its_setup_and_its_messages_are_read(start):
    worker = start('assert b\'"threads":3\' in first; os.write(messages, b\'{"event": "idle"}\\n\')')

    assert worker.receive(timeout_s=PATIENCE_S) == Idle()


def test_a_message_longer_than_one_read_is_read_whole(start):
    long = fabricate.ended(2, Status.CRASH, "x" * 100_000)
    worker = start(
        f"""
message = {long.model_dump_json().encode()!r} + b'\\n{{"event": "idle"}}\\n'
while message:
    message = message[os.write(messages, message):]
"""
    )

    assert worker.receive(timeout_s=PATIENCE_S) == long
    assert worker.receive(timeout_s=PATIENCE_S) == Idle()


def test_who_is_at_work_is_told_each_time_it_is_said(start):
    said = Announce(case=2, stage=Stage.TIMING)
    worker = start(f"os.write(messages, {said.model_dump_json().encode() + bytes([10])!r} * 3)")

    assert [worker.receive(timeout_s=PATIENCE_S) for _ in range(3)] == [said] * 3


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("sys.exit(3)", "the process exited with 3"),
        ("os._exit(0)", "the process exited with 0"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.write(messages, b'what is this\\n'); threading.Event().wait()", "something else wrote into"),
        ('os.write(messages, b\'{"event": "idle", "x": 1}\\n\'); threading.Event().wait()', "something else wrote"),
    ],
)
def test_how_a_worker_ended_is_told(start, lines, told):
    worker = start(lines)

    with pytest.raises(WorkerDiedError, match=told):
        worker.receive(timeout_s=PATIENCE_S)


def test_a_worker_that_closes_its_pipe_and_goes_on_is_dead_too(start, monkeypatch):
    monkeypatch.setattr(processes, "_GRACE_S", HANG_S)
    worker = start("os.close(messages); threading.Event().wait()")

    with pytest.raises(WorkerDiedError, match="it closed its pipe and went on"):
        worker.receive(timeout_s=PATIENCE_S)


def test_messages_from_before_its_death_are_read_first(start):
    worker = start('os.write(messages, b\'{"event": "idle"}\\n\' * 2); os._exit(1)')

    assert [worker.receive(timeout_s=PATIENCE_S) for _ in range(2)] == [Idle(), Idle()]
    with pytest.raises(WorkerDiedError, match="exited with 1"):
        worker.receive(timeout_s=PATIENCE_S)


def test_silence_past_the_limit_is_a_hang(start):
    worker = start("threading.Event().wait()")

    with pytest.raises(WorkerHungError, match=f"no progress for {HANG_S} s"):
        worker.receive(timeout_s=HANG_S)


def test_an_order_to_nobody_tells_how_the_worker_ended(start):
    worker = start("os._exit(5)")
    with pytest.raises(WorkerDiedError):
        worker.receive(timeout_s=PATIENCE_S)

    with pytest.raises(WorkerDiedError, match="exited with 5"):
        worker.send(SETUP)


def test_the_end_of_what_a_worker_printed_can_be_quoted(start):
    worker = start("print('x' * 100_000); print('the end', file=sys.stderr, flush=True); os._exit(1)")
    with pytest.raises(WorkerDiedError):
        worker.receive(timeout_s=PATIENCE_S)

    printed = worker.printed_tail()

    assert printed.endswith("the end")
    assert len(printed) < 5000


def test_with_verbose_a_worker_prints_to_our_stderr(start, capfd):
    worker = start("print('hello', flush=True); os._exit(1)", verbose=True)
    with pytest.raises(WorkerDiedError):
        worker.receive(timeout_s=PATIENCE_S)

    assert capfd.readouterr().err == "hello\n"
    assert worker.printed_tail() == ""


def test_closing_lets_a_worker_end_by_itself(start, tmp_path):
    worker = start(f"orders.read()\nopen({str(tmp_path / 'ended')!r}, 'w')")

    worker.close()

    assert (tmp_path / "ended").exists()


def test_a_worker_that_does_not_end_by_itself_is_told_to(start, monkeypatch):
    monkeypatch.setattr(processes, "_GRACE_S", HANG_S)
    worker = start("threading.Event().wait()")

    worker.close()

    assert worker._process.returncode == -signal.SIGTERM


IDLE = """os.write(messages, b'{"event": "idle"}\\n')"""


def test_a_worker_that_does_not_heed_that_is_killed(start, monkeypatch):
    monkeypatch.setattr(process_group, "GRACE_S", HANG_S)
    worker = start(f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{IDLE}\nthreading.Event().wait()")
    worker.receive(timeout_s=PATIENCE_S)

    worker.kill()

    assert worker._process.returncode == -signal.SIGKILL


def test_a_worker_that_is_told_to_end_has_time_to_leave_what_it_does(start, tmp_path):
    lock = tmp_path / "lock"
    worker = start(
        f"""
from lnbench.errors import TerminatedError
from lnbench.worker.ending import end_in_order, end_terminated

end_in_order()
try:
    open({str(lock)!r}, "x")
    try:
        {IDLE}
        threading.Event().wait()
    finally:
        os.remove({str(lock)!r})
except TerminatedError:
    end_terminated()
"""
    )
    worker.receive(timeout_s=PATIENCE_S)
    assert lock.exists()

    worker.kill()

    assert not lock.exists()
    assert worker._process.returncode == -signal.SIGTERM


def test_what_a_worker_has_forked_ends_without_leaving_the_worker_s_own_frames(start, tmp_path):
    left = tmp_path / "left"
    worker = start(
        f"""
from lnbench.worker.ending import end_in_order

end_in_order()
own = os.getpid()
try:
    if os.fork():
        {IDLE}
    threading.Event().wait()
finally:
    open({str(left)!r}, "a").write("own " if os.getpid() == own else "forked ")
"""
    )
    worker.receive(timeout_s=PATIENCE_S)

    worker.kill()

    assert left.read_text() == "own "


def test_an_interrupt_during_the_grace_time_kills_at_once(start, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(process_group, "_wait_for_all", interrupted)
    worker = start(f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{IDLE}\nthreading.Event().wait()")
    worker.receive(timeout_s=PATIENCE_S)

    with pytest.raises(KeyboardInterrupt):
        worker.kill()

    assert worker._process.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_worker_s_libraries_get_the_workload_s_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "64")

    environment = worker_environment(3)

    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert environment["PATH"]


def test_files_of_the_current_folder_do_not_stand_in_for_libraries(tmp_path, monkeypatch):
    for library in ("json", "pydantic", "lnbench"):
        (tmp_path / f"{library}.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "plug.py").write_text("from lnbench import implementation\n")
    monkeypatch.chdir(tmp_path)

    source = PluginSource(path="plug.py").model_dump_json()

    answer = call_worker(["--describe", "0", source], timeout_s=PATIENCE_S)

    assert "registers no implementation" in answer.text.decode()
    assert answer.failure == ""
    assert worker_command("1", "2")[1:] == ["-P", "-m", "lnbench.worker", "1", "2"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the children of the dead can't be adopted")
def test_what_a_dead_worker_started_ends_with_it_wherever_it_has_gone(start, tmp_path):
    adopt_orphans()
    worker = start(
        f"""
import subprocess
sleeping = subprocess.Popen(["sleep", "1000"], start_new_session=True)
open({str(tmp_path / "sleeping")!r}, "w").write(str(sleeping.pid))
os._exit(9)
"""
    )
    with pytest.raises(WorkerDiedError, match="exited with 9"):
        worker.receive(timeout_s=PATIENCE_S)

    worker.close()

    assert not psutil.pid_exists(int((tmp_path / "sleeping").read_text()))


@pytest.mark.parametrize("sizes", [[7, 7, 40, 90, 90], [7, 90, 90], [90, 90]])
def test_stacks_are_read_when_all_of_them_are_written(monkeypatch, sizes):
    monkeypatch.setattr(processes, "sleep", lambda _: None)
    left = iter(sizes)

    processes.wait_for_growth(lambda: next(left), before=7, timeout_s=60.0)

    assert list(left) == []


def test_stacks_that_never_come_are_not_waited_for_longer_than_a_moment(monkeypatch):
    times = iter(range(10))
    monkeypatch.setattr(processes, "sleep", lambda _: None)
    monkeypatch.setattr(processes, "monotonic", lambda: next(times))

    processes.wait_for_growth(lambda: 7, before=7, timeout_s=5.0)

    assert next(times) == 6
