"""How the end of a worker is put into words, and whose fault it was."""

import signal
import sysconfig
from pathlib import Path

import pytest

import lnbench
from lnbench.conductor.blame import MOST_OF_ERROR, is_from_outside, last_error, reason_of, status_of
from lnbench.conductor.processes import WorkerDiedError, WorkerHungError
from lnbench.conductor.stack_place import place_of
from lnbench.planned import Stage, Status

SEGFAULT = WorkerDiedError("SIGSEGV", signal=signal.SIGSEGV)
KILL = WorkerDiedError("SIGKILL", signal=signal.SIGKILL)
EXIT = WorkerDiedError("the process exited with 1")
HANG = WorkerHungError("no progress for 5 s")
STACKS = """Fatal Python error: Segmentation fault

Current thread 0x00007f0c (most recent call first):
  File "./norms.py", line 9 in forward
  File "<python>/lib/torch/autograd/function.py", line 311 in apply

Thread 0x00007f0d (most recent call first):
  File "<python>/lib/lnbench/implementations/torch_adapter.py", line 77 in backward
  File "<python>/lib/lnbench/measure/sampler.py", line 127 in sample_step
"""


PACKAGES = sysconfig.get_path("purelib")
OWN = Path(lnbench.__file__).parent
WAITING = f"""Thread 0x00007f0d (most recent call first):
  File "{sysconfig.get_path("stdlib")}/threading.py", line 320 in wait

Current thread 0x00007f0c (most recent call first):
  File "{PACKAGES}/torch/utils/file_baton.py", line 49 in wait
  File "{PACKAGES}/torch/utils/cpp_extension.py", line 2221 in _jit_compile
  File "/home/someone/norms.py", line 44 in rms
  File "{OWN}/implementations/preparing.py", line 23 in prepare
  File "<frozen runpy>", line 88 in _run_code
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
        "SIGSEGV in backward, at timing: norms.py:9 (forward)"
    )


def test_a_hang_is_told_with_the_file_in_which_it_waits_and_the_user_s_code_that_led_there():
    assert reason_of(HANG, stage=Stage.BUILD, stacks=WAITING, printed="", out_of_memory=False) == (
        "no progress for 5 s at build: torch/utils/file_baton.py:49 (wait), called by norms.py:44 (rms)"
    )


def test_without_stacks_the_stage_alone_is_told():
    assert (
        reason_of(HANG, stage=Stage.BUILD, stacks="", printed="", out_of_memory=False) == "no progress for 5 s at build"
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


IMPORTING = f"""Current thread 0x00007f0c (most recent call first):
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "{sysconfig.get_path("stdlib")}/subprocess.py", line 1953 in _wait
  File "{OWN}/implementations/trees.py", line 84 in _import
  File "/home/someone/norms.py", line 3 in <module>
"""
IN_A_KERNEL = f"""Current thread 0x00007f0c (most recent call first):
  File "{OWN}/implementations/torch_adapter.py", line 77 in inference
  File "/home/someone/norms.py", line 3 in <module>
"""


@pytest.mark.parametrize(
    ("stacks", "place"),
    [
        (IMPORTING, "subprocess.py:1953 (_wait), called by norms.py:3 (<module>)"),
        (IN_A_KERNEL, ""),
        ("", ""),
        ("Fatal Python error: Segmentation fault\n\nCurrent thread 0x0 (most recent call first):\n", ""),
        ("no stacks at all", ""),
    ],
    ids=["importing", "in a kernel that lnbench called", "empty", "without frames", "other text"],
)
def test_the_place_is_told_as_far_as_the_stacks_say(stacks, place):
    assert place_of(stacks, of_crash=False) == place


def test_of_a_crash_the_thread_that_crashed_is_told_and_of_a_hang_the_main_one():
    assert place_of(STACKS, of_crash=True) == "norms.py:9 (forward)"
    assert place_of(WAITING.replace("Current thread", "Thread"), of_crash=True).startswith("torch/utils/file_baton.py")
    assert place_of(STACKS.replace("<python>/lib/lnbench", str(OWN)), of_crash=False) == ""
