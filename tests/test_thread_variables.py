"""What a user's environment says of threads and cores: all libraries get the same, or a notice says what holds."""

import os

import pytest
from command import MEASURED, journal, results, run_lnbench
from planning import MACHINE, plan

from lnbench.axes import Machine
from lnbench.conductor.thread_variables import BINDINGS, COUNTS, LIMITS, asked_threads, thread_notices, with_threads

CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
needs_two_cores = pytest.mark.skipif(len(CORES) < 2, reason="one core is all cores")

POOLED = """
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from lnbench import implementation


@implementation("pooled", function="layer_norm")
def pooled(workload):
    with ThreadPoolExecutor(workload.threads) as pool:  # as Numba's, TensorFlow's or XLA's threads are begun
        cores = {tuple(sorted(pool.submit(os.sched_getaffinity, 0).result())) for _ in range(4)}
    with open("seen", "w") as file:
        print(cores, workload.threads, torch.get_num_threads(), os.environ.get("NUMBA_NUM_THREADS"), file=file)
    return torch.nn.LayerNorm(workload.normalized_shape, eps=workload.eps)
"""


def ran(folder, *, threads="", env):
    """The command on a tiny suite with a pool of threads of its own: what that saw, the notices by code, the rows."""
    (folder / "plug.py").write_text(POOLED)
    (folder / "suite.yaml").write_text(
        "name: pool\nreference: fused\nimplementations: [fused, pooled]\n"
        f"workloads: [{{shapes: [[8, 16]], phases: inference{threads}}}]\n"
        "sampling: {processes: 1, precision: 1.0e-6, budget_s: 0.2}\n"
    )
    done = run_lnbench(folder, "run", "suite.yaml", "--plugin", "plug.py", "--output", "it", env=env)
    assert done.code == 0, done.stdout + done.stderr
    notices = [line["notice"] for line in journal(folder / "it") if line["event"] == "noticed" and not line["case"]]
    return (folder / "seen").read_text().strip(), {it["code"]: it["text"] for it in notices}, results(folder / "it")


@needs_two_cores
@pytest.mark.parametrize(
    "env",
    [
        {"OMP_PROC_BIND": "true"},
        {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"},
        {"GOMP_CPU_AFFINITY": str(min(CORES, default=0))},
    ],
)
def test_a_pool_of_threads_has_all_cores_whatever_binds_those_of_openmp(tmp_path, env):
    seen, notices, rows = ran(tmp_path, threads=", threads: 2", env=env)

    assert seen == f"{{{tuple(sorted(CORES))}}} 2 2 2"
    assert notices["thread-binding"].startswith(f"{', '.join(env)} would bind")
    assert set(rows.status) <= MEASURED


@needs_two_cores
def test_a_library_that_was_limited_to_one_thread_gets_the_workload_s(tmp_path):
    env = {"NUMBA_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "OMP_DYNAMIC": "true"}

    seen, notices, _ = ran(tmp_path, threads=", threads: 2", env=env)

    assert seen.endswith("2 2 2")
    assert notices["thread-variables"] == (
        "not in effect: NUMBA_NUM_THREADS=1, OMP_THREAD_LIMIT, OMP_DYNAMIC; "
        "every library gets the workload's threads (2)"
    )


@needs_two_cores
def test_omp_num_threads_is_the_default_of_threads(tmp_path):
    seen, _, rows = ran(tmp_path, env={"OMP_NUM_THREADS": "1"})

    assert seen.endswith("1 1 1")
    assert set(rows.threads) == {1}


@needs_two_cores
def test_a_suite_s_threads_override_omp_num_threads_and_a_notice_says_so(tmp_path):
    seen, notices, rows = ran(tmp_path, threads=", threads: 2", env={"OMP_NUM_THREADS": "1"})

    assert seen.endswith("2 2 2")
    assert set(rows.threads) == {2}
    assert "not in effect: OMP_NUM_THREADS=1" in notices["thread-variables"]


@pytest.mark.parametrize("name", COUNTS)
def test_every_library_s_own_number_is_the_workload_s(name):
    assert with_threads({name: "7", "PATH": "/bin"}, 3)[name] == "3"


@pytest.mark.parametrize("name", [*BINDINGS, *LIMITS])
def test_what_binds_or_limits_one_library_is_left_out_and_told(name):
    environment = {name: "1", "PATH": "/bin"}

    assert name not in with_threads(environment, 2)
    assert any(name in notice.text for notice in thread_notices(environment, {2}, physical_cores=2))


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ("--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1", None),
        ("--xla_dump_to=dumps --xla_force_host_platform_device_count=8", "--xla_dump_to=dumps"),
        ("--xla_cpu_enable_fast_math=true", "--xla_cpu_enable_fast_math=true"),
    ],
)
def test_of_the_flags_of_xla_those_of_threads_are_left_out(flags, kept):
    (notice, *_) = thread_notices({"XLA_FLAGS": flags}, {2}, physical_cores=2) or [None]

    assert with_threads({"XLA_FLAGS": flags}, 2).get("XLA_FLAGS") == kept
    assert (notice is None) is (kept == flags)
    assert notice is None or "dumps" not in notice.text


@pytest.mark.parametrize(
    ("value", "threads"),
    [("2", 2), (" 4,2 ", 4), ("", None), ("0", None), ("-1", None), ("all", None), ("²", None), ("9" * 5000, None)],
)
def test_omp_num_threads_asks_for_its_outermost_number(value, threads):
    assert asked_threads({"OMP_NUM_THREADS": value}) == threads


@pytest.mark.parametrize(("asked", "threads"), [(None, 2), (1, 1), (4, 4), (64, 4)])
def test_as_many_threads_as_asked_for_are_planned_where_there_are_logical_cores(asked, threads):
    machine = Machine(2, 4, MACHINE.caches, MACHINE.memory_b, MACHINE.devices, asked_threads=asked)

    made = plan("shapes: [[8, 64]]", machine=machine)

    assert made.workloads[0].workload.threads == threads
    assert made.workloads[0].id == f"8x64/float32/cpu{'' if threads == 2 else f'/threads={threads}'}"


def test_an_environment_without_any_of_these_has_no_notice():
    assert thread_notices({"PATH": "/bin", "OMP_NUM_THREADS": "2"}, {2}, physical_cores=2) == []


def test_more_threads_than_physical_cores_share_them_and_that_is_said():
    (notice,) = thread_notices({}, {2, 4}, physical_cores=2)

    assert (notice.code, notice.text.startswith("4 threads on 2 physical cores")) == ("shared-cores", True)
