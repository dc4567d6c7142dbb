"""Memory that runs out for real: a control group's limit, at which the kernel kills the worker, and a shell's."""

import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from command import MEASURED, results, write_suite

LIMIT_B = 1400 << 20
"""A worker takes 350 MiB; what hoards goes on until it is killed."""

HOARDING = """
import torch
from lnbench import implementation


@implementation("hoards", function="layer_norm")
def hoards(workload):
    kept = []

    def forward(x, weight, bias):
        for _ in range(64):
            kept.append(bytearray(b"x") * (64 << 20))
        return torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)

    return forward
"""
GROUPS = {
    Path("/sys/fs/cgroup/memory"): ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    Path("/sys/fs/cgroup"): ("memory.max", "memory.swap.max"),
}


@pytest.fixture
def group():
    """A control group of our own with little memory and no swap; gives the file that takes processes in."""
    for parent, (limit, swap) in GROUPS.items():
        made = parent / f"lnbench-test-{os.getpid()}"
        try:
            made.mkdir()
            (made / limit).write_text(str(LIMIT_B))
        except OSError:
            with suppress(OSError):
                made.rmdir()
            continue
        with suppress(OSError):
            (made / swap).write_text(str(LIMIT_B if "memsw" in swap else 0))
        yield made / "cgroup.procs"
        made.rmdir()
        return
    pytest.skip("making a control group for memory takes rights that this user has not, or another kernel")


def run(folder, *arguments, before):
    """Run a suite after doing something in the process."""
    return run_plainly(folder, "run", *arguments, "--output", "run", before=before)


def little_memory():
    """16 GB of addresses for this process and its children."""
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))


def run_plainly(folder, *arguments, before):
    """Run lnbench after doing something in its process."""
    return subprocess.run(
        [sys.executable, "-m", "lnbench", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=before,
    )


def test_a_kill_by_the_kernel_is_an_oom_of_the_case_at_work_and_larger_shapes_of_it_are_skipped(tmp_path, group):
    write_suite(tmp_path, "mine", implementations=["eager", "fused", "hoards"], shapes="[[8, 16], [32, 64]]")
    (tmp_path / "plug.py").write_text(HOARDING)

    done = run(tmp_path, "mine.yaml", "--plugin", "plug.py", before=lambda: group.write_text(str(os.getpid())))

    rows = results(tmp_path / "run").drop_duplicates(["implementation", "input_shape"])
    found = {(row.implementation, row.input_shape): (row.status, row.reason) for row in rows.itertuples()}
    assert done.returncode == 4
    status, reason = found["hoards", "8x16"]
    assert status == "oom"
    assert reason.startswith("the system ran out of memory and killed the process")
    status, reason = found["hoards", "32x64"]
    assert status == "skipped"
    assert reason.startswith("hoards ran out of memory at 8x16")
    assert {found[name, shape][0] for name in ("eager", "fused") for shape in ("8x16", "32x64")} <= MEASURED


def test_a_workload_that_needs_more_memory_than_there_is_is_skipped_and_the_others_are_measured(tmp_path):
    write_suite(tmp_path, "mine", shapes="[[8, 16], [131072, 8192]]")

    done = run(tmp_path, "mine.yaml", before=little_memory)

    rows = results(tmp_path / "run")
    large = rows[rows.input_shape == "131072x8192"]
    assert done.returncode == 0
    assert set(large.status) == {"skipped"}
    assert large.reason.str.fullmatch(r"needs about 44 GB to be measured and checked, [0-9.]+ GB free").all()
    assert set(rows[rows.input_shape == "8x16"].status) <= MEASURED


def test_the_dry_run_leaves_out_what_the_run_leaves_out_and_says_why(tmp_path):
    write_suite(tmp_path, "mine", shapes="[[8, 16], [131072, 8192]]")

    dry, listed = (
        run_plainly(tmp_path, *arguments, before=little_memory)
        for arguments in (["run", "mine.yaml", "--dry-run"], ["list", "cases", "mine.yaml"])
    )

    for text in (" ".join(shown.stdout.split()) for shown in (dry, listed)):
        assert "skipped: 2 cases: needs about 44 GB to be measured and checked, " in text
        assert "plan: 2 cases on 1 workload" in text


def test_where_nothing_fits_the_run_ends_at_once_as_one_that_has_nothing_to_measure(tmp_path):
    write_suite(tmp_path, "mine", shapes="[[131072, 8192]]")

    done = run(tmp_path, "mine.yaml", before=little_memory)

    assert done.returncode == 5
    assert "nothing to measure: needs about 44 GB to be measured and checked" in done.stderr
    assert not (tmp_path / "run").exists()
