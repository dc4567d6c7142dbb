"""How the end of a worker is put into words, and whose fault it was."""

import signal

import pytest

from lnbench.conductor.blame import MOST_OF_ERROR, is_from_outside, last_error, reason_of, status_of
from lnbench.conductor.processes import WorkerDiedError, WorkerHungError
from lnbench.planned import Stage, Status

SEGFAULT = WorkerDiedError("SIGSEGV", signal=signal.SIGSEGV)
KILL = WorkerDiedError("SIGKILL", signal=signal.SIGKILL)
EXIT = WorkerDiedError("the process exited with 1")
HANG = WorkerHungError("no sign of life for 5 s")
STACKS = """Fatal Python error: Segmentation fault

Current thread 0x00007f0c (most recent call first):
  File "./norms.py", line 9 in forward
  File "<python>/lib/torch/autograd/function.py", line 311 in apply

Thread 0x00007f0d (most recent call first):
  File "<python>/lib/lnbench/implementations/torch_adapter.py", line 77 in backward
  File "<python>/lib/lnbench/measure/sampler.py", line 127 in sample_step
"""


@pytest.mark.parametrize(
    ("death", "out_of_memory", "status"),
    [
        (SEGFAULT, False, Status.CRASH),
        (SEGFAULT, True, Status.CRASH),
        (KILL, False, Status.CRASH),
        (KILL, True, Status.OOM),
        (HANG, True, Status.TIMEOUT),
        (WorkerDiedError("the process exited with 0"), False, Status.CRASH),
    ],
    ids=str,
)
def test_each_end_has_its_status(death, out_of_memory, status):
    assert status_of(death, out_of_memory=out_of_memory) is status


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_what_somebody_else_sends_is_from_outside_unless_memory_ran_out(name):
    death = WorkerDiedError(name, signal=getattr(signal, name))

    assert is_from_outside(death, out_of_memory=False)
    assert not is_from_outside(death, out_of_memory=True)


@pytest.mark.parametrize("death", [SEGFAULT, HANG, EXIT], ids=str)
def test_what_a_case_does_to_itself_is_not(death):
    assert not is_from_outside(death, out_of_memory=False)


def test_the_call_is_told_by_the_adapter_s_frame_in_whatever_thread_and_not_by_the_case_s_own_names():
    assert reason_of(SEGFAULT, stage=Stage.TIMING, stacks=STACKS, printed="", out_of_memory=False) == (
        "SIGSEGV in backward, at timing"
    )


def test_without_stacks_the_stage_alone_is_told():
    assert (
        reason_of(HANG, stage=Stage.BUILD, stacks="", printed="", out_of_memory=False)
        == "no sign of life for 5 s at build"
    )


def test_a_kill_for_want_of_memory_is_told_as_that():
    assert reason_of(KILL, stage=Stage.VERIFY, stacks="", printed="", out_of_memory=True) == (
        "the system ran out of memory and killed the process at verify"
    )


TRACEBACK = """starting
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "<python>/lib/torch/cuda/__init__.py", line 584, in set_device
    device = _get_device_index(device)
             ^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: Expected a torch.device with a specified index or an integer, but got:cuda
"""


def test_a_worker_that_ends_with_a_traceback_before_its_first_case_is_told_with_the_error():
    reason = reason_of(EXIT, stage=None, stacks=STACKS, printed=TRACEBACK, out_of_memory=False)

    assert reason == (
        "the process exited with 1 before any case was at work: ValueError: Expected a torch.device with a specified "
        "index or an integer, but got:cuda"
    )


def test_the_error_is_told_also_while_a_case_is_at_work_but_not_of_a_process_that_a_signal_ended():
    at_work = reason_of(EXIT, stage=Stage.BUILD, stacks="", printed=TRACEBACK, out_of_memory=False)
    killed = reason_of(SEGFAULT, stage=Stage.BUILD, stacks="", printed=TRACEBACK, out_of_memory=False)

    assert at_work.startswith("the process exited with 1 at build: ValueError: ")
    assert killed == "SIGSEGV at build"


@pytest.mark.parametrize(
    ("printed", "error"),
    [
        ("", ""),
        ("a library said something\n", ""),
        (TRACEBACK.partition("_main\n")[2] + "Error in sys.excepthook\n", "ValueError"),  # its beginning is cut off
        (TRACEBACK + TRACEBACK.replace("ValueError", "KeyError"), "KeyError"),
        (TRACEBACK.replace("ValueError", "pkg.sub.LostError"), "pkg.sub.LostError"),
        (TRACEBACK.replace(": Expected", ": " + 400 * "x"), "ValueError: xxx"),
    ],
)
def test_the_last_traceback_s_error_is_found_in_what_was_printed(printed, error):
    found = last_error(printed)

    assert found.startswith(error)
    assert bool(found) == bool(error)
    assert len(found) <= MOST_OF_ERROR
