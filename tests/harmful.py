"""A plug-in of implementations that harm the process they run in, each in a way of its own."""

import ctypes
import gc
import os
import resource
import sys
import threading
from pathlib import Path

import torch

from lnbench import implementation

JOURNAL = Path(__file__).with_name("run") / "run.jsonl"
"""Where the journal of the run must lie for what waits until cases are being timed."""

STAGES = {
    "verify": "_judge_fill",
    "warm-up": "call_once",
    "timing": "take_samples",
    "memory": "memory_of",
}
"""A function of the worker that is at work in a stage alone."""


def layer_norm(workload):
    """The honest kernel."""

    def forward(x, weight, bias):
        return torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)

    return forward


def is_at(stage):
    """True while the worker is at a stage, by the functions that called this one."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == STAGES[stage]:
            return True
        frame = frame.f_back
    return False


def stop():
    """Wait for what never comes."""
    threading.Event().wait()


def in_forward(name, harm):
    """Register an implementation whose forward does harm, and is right otherwise."""

    @implementation(name, function="layer_norm")
    def build(workload):
        honest = layer_norm(workload)

        def forward(x, weight, bias):
            harm(x)
            return honest(x, weight, bias)

        return forward


def in_backward(name, harm):
    """Register an implementation whose backward does harm."""

    class Harming(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            return y.clone()

        @staticmethod
        def backward(ctx, dy):
            harm()
            return dy

    @implementation(name, function="layer_norm")
    def build(workload):
        honest = layer_norm(workload)
        return lambda x, weight, bias: Harming.apply(honest(x, weight, bias))


def in_builder(name, harm):
    """Register an implementation whose builder does harm, and builds the honest kernel."""

    @implementation(name, function="layer_norm")
    def build(workload):
        harm()
        return layer_norm(workload)


def raise_(error):
    raise error


def at(stage, harm):
    """Harm at one stage alone."""
    return lambda *_: harm() if is_at(stage) else None


def print_forever():
    while True:
        sys.stdout.write("so many words " * 1000)


def fork():
    """The copy goes on as if it were the worker."""
    os.fork()


def fork_a_spinning_child():
    if os.fork() == 0:
        while True:
            pass


def spin_in_a_thread():
    def spin():
        while True:
            pass

    threading.Thread(target=spin, daemon=True).start()


def change_much():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    gc.disable()
    os.chdir("/")


def replace_layer_norm():
    """As libraries of kernels do, for all who call it; ours is put back, and so this is the honest kernel."""
    honest = torch.nn.functional.layer_norm
    torch.nn.functional.layer_norm = lambda *arguments: 1.01 * honest(*arguments)


def lower_limits(x):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))


class Untold(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError


def print_and_close():
    """Prints a megabyte, part of which looks like a worker's messages, then leaves nobody a stdout."""
    sys.stdout.write('{"event": "idle"}\n' * 50_000)
    sys.stdout.flush()
    os.close(1)


def exhaust_memory(x):
    torch.empty(1 << 48)


def vanish_once_turns_are_kept(x):
    if '"event":"turn"' in JOURNAL.read_text():
        os._exit(0)


def segfault(*_):
    ctypes.string_at(0)


in_forward("raises", lambda x: raise_(ValueError("no norm today")))
in_forward("raises_base", lambda x: raise_(BaseException("none at all")))
in_forward("exits", lambda x: sys.exit(0))
in_forward("raises_what_can_not_be_told", lambda x: raise_(Untold()))
in_forward("raises_what_can_not_be_encoded", lambda x: raise_(ValueError(os.fsdecode(b"caf\xe9"))))
in_forward("lowers_limits", lower_limits)
in_builder("replaces_layer_norm", replace_layer_norm)
in_builder("raises_in_builder", lambda: Path(__file__).with_name("tuned.bin").read_bytes())

in_forward("vanishes", lambda x: os._exit(0))
in_forward("vanishes_late", vanish_once_turns_are_kept)

in_builder("vanishes_in_builder", lambda: os._exit(0))
in_forward("segfaults", segfault)
in_backward("segfaults_in_backward", segfault)
in_builder("segfaults_in_builder", segfault)

in_builder("hangs_in_builder", stop)
in_backward("hangs_in_backward", stop)
for stage in STAGES:
    in_forward(f"hangs_at_{stage}", at(stage, stop))

in_forward("out_of_memory", exhaust_memory)
in_forward("prints_forever", lambda x: print_forever())
in_forward("closes_everything", lambda x: os.closerange(3, 1000))
in_builder("leaves_a_thread", spin_in_a_thread)
in_builder("leaves_a_process", fork_a_spinning_child)
in_forward("sets_threads", lambda x: torch.set_num_threads(1 + torch.get_num_threads()))
in_forward("wrong_by_mutation", lambda x: x.data.mul_(1.5))  # unseen by autograd

in_builder("noisy", print_and_close)
in_builder("changes_much", change_much)
in_builder("forks_in_builder", fork)
in_forward("forks", at("warm-up", fork))


@implementation("wrong", function="layer_norm")
def wrong(workload):
    honest = layer_norm(workload)
    return lambda x, weight, bias: 1.01 * honest(x, weight, bias)
