"""What cases share beside their buffers is set back after each, and told."""

import gc
import os
import subprocess
import sys

import pytest
import torch
import zoo
from pretended_cuda import pretend_cuda
from stage import cases, workload

from lnbench.worker.guard import Changed, Guard

pytestmark = pytest.mark.usefixtures("one_thread")

CHANGES = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradient mode": lambda: torch.set_grad_enabled(False),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "autocast on the CPU": lambda: torch.set_autocast_enabled("cpu", True),
    "precision of matmul": lambda: torch.set_float32_matmul_precision("medium"),
    "garbage collector": gc.disable,
    "current folder": lambda: os.chdir("/"),
}
CLOSING = """
import os
from lnbench.worker.guard import Guard
guard = Guard()
os.close(0), os.close(2)
told = guard.set_back()
os.write(2, b"into nowhere")
print(told.harmless, os.read(0, 1), guard.set_back().harmless)
"""


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_was_changed_is_set_back_and_told(name):
    guard = Guard()

    CHANGES[name]()
    changed = guard.set_back()

    assert [change.startswith(f"the {name} to ") for change in changed.harmless] == [True]
    assert changed.harmful == ()
    assert guard.set_back() == Changed()


def test_the_number_of_threads_changes_the_speed_of_all_others_and_is_told_apart():
    guard = Guard()

    torch.set_num_threads(2)
    torch.set_flush_denormal(True)

    assert guard.set_back() == Changed((), ("the number of threads to 2", "the treatment of denormals to True"))
    assert torch.get_num_threads() == 1
    assert guard.set_back() == Changed()


def test_what_can_not_be_set_back_is_known(monkeypatch):
    guard = Guard()
    monkeypatch.setattr("os.getpriority", lambda *_: 19)
    monkeypatch.setattr("os.setpriority", _refuse)

    assert guard.set_back().harmful == ("the priority to 19",)
    assert guard.is_beyond_repair


def test_closed_standard_streams_lead_nowhere_before_a_file_gets_their_number():
    done = subprocess.run([sys.executable, "-c", CLOSING], capture_output=True, text=True, stdin=subprocess.DEVNULL)

    assert done.stdout == "('standard streams (0, 2) to closed',) b'' ()\n"
    assert done.stderr == ""


def test_a_case_that_leaves_gradients_off_does_not_make_the_next_one_wrong():
    def careless(on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            y = norm(x, weight, bias)
            torch.set_grad_enabled(False)
            return y

        return forward

    made, heard = cases({"careless": careless, "honest": zoo.honest}, workload(8, 16))
    made.build_all()

    assert 1 in made.live
    assert torch.is_grad_enabled()
    assert "changed-settings" in heard.notices(0)
    assert heard.notices(1) == {}


def test_seeds_are_a_case_s_own_affair():
    def seeding(on):
        torch.manual_seed(0)
        return zoo.honest(on)

    made, heard = cases({"seeding": seeding}, workload(8, 16))
    drawn = made.arrays.x[0].clone()
    made.build_all()
    made.arrays.restore()

    assert torch.equal(made.arrays.x[0], drawn)
    assert heard.ends() == {}


def _refuse(*_):
    raise PermissionError


@pytest.mark.parametrize("flag", ["enabled", "benchmark", "deterministic"])
def test_a_flag_of_cudnn_is_set_back_and_told(flag):
    before = getattr(torch.backends.cudnn, flag)
    guard = Guard()

    setattr(torch.backends.cudnn, flag, not before)
    changed = guard.set_back()

    assert getattr(torch.backends.cudnn, flag) is before
    assert changed == Changed((f"the flag {flag} of cuDNN to {not before}",), ())


def test_the_current_device_and_stream_are_set_back_and_make_the_work_of_others_another(monkeypatch):
    pretended = pretend_cuda(monkeypatch, devices=2)
    torch.cuda.set_device(1)
    guard = Guard()

    torch.cuda.set_device(0)
    torch.cuda.set_stream("a side stream")
    changed = guard.set_back()

    assert changed == Changed((), ("the current CUDA device to 0", "the current CUDA stream to a side stream"))
    assert (pretended.current, pretended.torch_stream) == (1, "the default stream")
    assert guard.set_back() == Changed()


def test_where_cuda_is_not_used_asking_for_its_settings_does_not_start_it():
    assert Guard().set_back() == Changed()
    assert not torch.cuda.is_initialized()
