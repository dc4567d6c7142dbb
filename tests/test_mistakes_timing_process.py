"""The timing mistakes that a whole process makes: threads and compiling (10, 11), heap and idle cores (15 to 17)."""

import os
import select
import subprocess
import sys
from itertools import count
from statistics import fmean
from tempfile import TemporaryFile
from time import process_time

import pytest
import torch
import zoo
from fake_clocks import HostClock
from stage import ScriptedSampler, cases, prepared, timed, workload

from lnbench.conductor import processes
from lnbench.conductor.processes import WorkerHungError, WorkerProcess
from lnbench.conductor.starting import worker_environment
from lnbench.events import PROBE_CASE
from lnbench.implementations import compiled
from lnbench.implementations.torch_compiling import compilations
from lnbench.measure.heap import can_retain_heap
from lnbench.measure.sampler import HostSampler
from lnbench.planned import Status
from lnbench.worker.protocol import Setup

pytestmark = pytest.mark.usefixtures("one_thread")


def test_mistake_10_an_implementation_that_changes_the_number_of_threads_ends_and_the_others_keep_theirs():
    threads = torch.get_num_threads()
    other = threads % 2 + 1

    def changing(on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            torch.set_num_threads(other)
            return norm(x, weight, bias)

        return forward

    made, heard = cases({"changing": changing, "honest": zoo.honest}, workload(8, 16))
    made.build_all()

    assert torch.get_num_threads() == threads
    assert list(made.live) == [1]
    assert heard.ends()[0].status is Status.ERROR
    assert f"set the number of threads to {other}" in heard.ends()[0].reason


class Recompiling:
    """torch.compile of a function that depends on a text: each new text compiles anew. The backend does nothing.

    After the eighth text it runs uncompiled, without a word.
    """

    def __init__(self):
        self.text = ""
        self.every_call = False

    def __call__(self, on):
        norm = zoo.honest(on)

        def formula(x, weight, bias, text):
            y = norm(x, weight, bias)
            return y if text != "never" else -y

        function = torch.compile(formula, backend="eager")

        def forward(x, weight, bias):
            if self.every_call:
                self.text += "."
            return function(x, weight, bias, self.text)

        return forward


@pytest.fixture
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_fresh_compiler")
def test_mistake_10_what_compiles_at_every_call_or_fell_back_to_eager_is_not_timed():
    planted = Recompiling()
    made, heard = cases({"recompiling": planted, "honest": zoo.honest}, workload(8, 16))
    made.build_all()
    planted.every_call = True

    turns = timed(made, heard, ScriptedSampler())

    assert heard.ends()[0].status is Status.ERROR
    assert {turn.case for turn in turns} == {1, PROBE_CASE}


def test_mistake_10_a_plug_in_that_compiles_for_one_workload_after_another_never_falls_back_to_eager():
    graphs = []

    def compiling(on):
        return torch.compile(zoo.honest(on), backend="eager", dynamic=False)

    for features in range(8, 8 * 13, 8):
        made, heard = cases({"compiling": compiling}, workload(4, features))
        before = compilations()
        made.build_all()
        graphs.append(compilations() - before)
        timed(made, heard, ScriptedSampler(), rounds=2)
        assert heard.ends() == {}

    assert graphs == [2] * 12  # inference and forward; the builder's functions share one code object, which keeps 8


@pytest.mark.usefixtures("_fresh_compiler")
def test_mistake_11_a_turn_in_which_something_compiled_is_left_out_and_said():
    planted = Recompiling()
    made, heard = cases({"recompiling": planted}, workload(8, 16))
    made.build_all()
    texts = iter(["", "", "another", "another"])

    turns = timed(made, heard, ScriptedSampler(lambda: setattr(planted, "text", next(texts, "another"))), rounds=8)

    assert [turn.round for turn in turns if turn.case == 0] == [0, *range(2, 8)]
    assert "that turn is left out" in heard.notices()["compiled-while-timed"]
    assert 0 in made.live


@pytest.mark.usefixtures("_fresh_compiler")
def test_mistake_11_what_compiles_in_several_turns_has_no_time():
    planted = Recompiling()
    made, heard = cases({"recompiling": planted}, workload(8, 16))
    made.build_all()

    samples = count()

    def anew_in_every_turn():
        planted.text = f"turn {next(samples) // 2}"

    turns = timed(made, heard, ScriptedSampler(anew_in_every_turn), rounds=9)

    assert [turn for turn in turns if turn.case == 0] == []
    assert heard.ends()[0].status is Status.ERROR
    assert "no steady time" in heard.ends()[0].reason


@pytest.mark.usefixtures("_fresh_compiler")
def test_mistake_11_a_sweep_over_more_shapes_than_the_compiler_keeps_stays_compiled_with_static_shapes(monkeypatch):
    real, shapes = torch.compile, [(4, 8 * n) for n in range(1, 13)]
    monkeypatch.setattr(
        torch,
        "compile",
        lambda f, *, fullgraph, dynamic, mode: real(f, backend="eager", fullgraph=fullgraph, dynamic=dynamic),
    )
    monkeypatch.setattr(compiled, "require_compiler", lambda _: None)
    swept = [prepared("compiled", workload(*shape))[0] for shape in shapes]

    graphs = []
    for work in swept:
        before = compilations()
        work.backward(work.forward())
        graphs.append(compilations() - before)
    for work in swept:
        with work.steady():
            work.backward(work.forward())

    assert graphs == [1] * len(shapes)  # automatic dynamic shapes would stop compiling at the third


def test_mistake_11_what_the_first_call_costs_is_no_part_of_any_turn():
    clock = HostClock()

    def autotuning(on):
        norm, tuned = zoo.honest(on), []

        def forward(x, weight, bias):
            clock.take(200_000 if tuned else 10**10)
            tuned.append(True)
            return norm(x, weight, bias)

        return forward

    made, heard = cases({"autotuning": autotuning}, workload(8, 16))
    made.build_all()

    turns = timed(made, heard, HostSampler(now=clock), rounds=2)

    assert clock.ns > 10**10
    assert {round(turn.wall_s["inference"] * 1e9) for turn in turns if turn.case == 0} == {200_000}


FAULTS = """
import sys
from lnbench.measure.heap import page_faults, retain_heap
if sys.argv[1] == "retained":
    assert retain_heap()
import torch
from lnbench.implementations import eager
from lnbench.workload import Workload
work = Workload((4096, 1024), (1024,))
x, forward = torch.randn(work.shape), eager.layer_norm(work)
def call():
    forward(x, None, None)
found = []
for _ in range(100):
    before = page_faults()
    call()
    found.append(page_faults() - before)
print(*found[20:])  # the heap grows during the first calls
"""


@pytest.mark.skipif(not can_retain_heap(), reason="the heap's habits can be set with glibc on Linux only")
def test_mistake_15_the_retained_heap_pays_no_page_faults_for_16_mib_of_output():
    def share_of_calls_that_fault(heap):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, heap],
            env=os.environ
            | {"MALLOC_MMAP_THRESHOLD_": "131072"},  # glibc's own; naming it keeps glibc from adapting it
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        # 4,096 pages of 4 KiB, or 8 of 2 MiB where the kernel gives those; the odd fault belongs to the interpreter
        return fmean(int(found) > 4 for found in done.stdout.split())

    assert share_of_calls_that_fault("system") == 1
    assert share_of_calls_that_fault("retained") < 0.05  # now and then a small block forces the heap to grow once more


def test_mistake_15_every_turn_tells_its_page_faults():
    made, heard = cases({"fused": "fused"}, workload(8, 16))
    made.build_all()

    turns = timed(made, heard, HostSampler(), rounds=2)

    assert all(set(turn.faults) == {"inference", "step"} for turn in turns if turn.case != PROBE_CASE)


def test_mistake_16_waiting_for_a_silent_worker_uses_no_core(monkeypatch):
    silent = "import os, sys; os.fdopen(int(sys.argv[2])).read()"
    monkeypatch.setattr(processes, "worker_command", lambda *fds: [sys.executable, "-c", silent, *fds])
    setup = Setup(process=0, worker=0, device="cpu", threads=1, allocator="retained")

    with TemporaryFile() as turns, WorkerProcess(setup, turns=turns.fileno()) as worker:
        began = process_time()
        with pytest.raises(WorkerHungError):
            worker.receive(timeout_s=1.0)
        used_s = process_time() - began

    assert used_s < 0.25  # of one second: a loop that polls would use all of it


def test_mistake_17_every_library_of_a_worker_gets_the_threads_of_the_workload():
    environment = worker_environment(3)

    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}


def test_mistake_17_threads_that_have_done_their_part_do_not_spin_while_another_is_timed():
    torch.set_num_threads(2)
    x = torch.randn(2048, 1024)
    torch.nn.functional.layer_norm(x, (1024,))
    quiet, _ = os.pipe()

    began = process_time()
    select.select([quiet], [], [], 0.5)
    used_s = process_time() - began

    assert used_s < 0.25  # of half a second and at least one idle thread; a spinning one would use 0.5 s
