"""Pools of threads that sleep between calls keep their samples on a quiet machine: recorded looks, judged as rows."""

import json
from pathlib import Path

import numpy as np
import pytest
from fabricate import case, machine_look, run, workload

from lnbench.events import Turn, WorkerStarted
from lnbench.evidence import Evidence
from lnbench.undisturbed import PARKING, POOLS, Looks, undisturbed
from lnbench.workload import Phase

RECORDED = json.loads((Path(__file__).parent / "recorded/parked_pools.json").read_text(encoding="utf-8"))["rows"]
MOST_LOST = 0.1
KIND = "inference"


def title(row):
    """The row in a few words."""
    return " ".join(filter(None, (row["implementation"], row["shape"], row["wait_policy"])))


def looks(row) -> Looks:
    """The row's samples as a reader of the journal has them."""
    columns = {name: np.array(row[name], dtype=np.float64) for name in COLUMNS}
    return Looks(
        **columns,
        wakeup_s=np.full(len(row["calls"]), row["wakeup_s"]),
        has_pool=not POOLS.isdisjoint(row["libraries"]),
    )


COLUMNS = ("wall_s", "calls", "delay_s", "wakeups", "involuntary", "cpu_s")


WAIT_FOR_EACH_OTHER = ("jax 1024x768", "tensorflow 1024x768", "tensorflow_xla 1024x768")
"""Beside an idle core the scheduler left several of their own threads on one: TensorFlow used 1.0 core of 2, and its
threads waited twice as long as the call took. Looks at the threads alone can't distinguish such waits from those for
another process; the looks at the machine show that no other process ran."""


def evidence(row, *looks_at_the_machine) -> Evidence:
    """A run that measured the row alone, one sample a turn."""
    columns = zip(*(row[name] for name in COLUMNS), strict=True)
    turns = (
        Turn(
            process=0,
            workload=0,
            round=number,
            case=0,
            started_s=float(number),
            calls={KIND: calls},
            wall_s={KIND: wall_s / calls},
            delay_s={KIND: delay_s},
            wakeups={KIND: wakeups},
            involuntary={KIND: involuntary},
            cpu_s={KIND: cpu_s},
        )
        for number, (wall_s, calls, delay_s, wakeups, involuntary, cpu_s) in enumerate(columns)
    )
    worker = WorkerStarted(
        process=0, worker=0, device="cpu", device_name="made", import_s=0.0, wakeup_s=row["wakeup_s"]
    )
    measured = case(row["implementation"], libraries=tuple(row["libraries"]))
    return Evidence(run([workload(phases=(Phase.INFERENCE,))], [measured], [worker, *turns, *looks_at_the_machine]))


@pytest.mark.parametrize("row", RECORDED, ids=title)
def test_a_pool_that_sleeps_keeps_nine_samples_in_ten_on_a_quiet_machine(row):
    turns = evidence(row, machine_look(of=0, others=0.02)).turns(0)

    assert len(turns) >= 20
    assert turns.undisturbed_share(KIND) >= 1 - MOST_LOST


@pytest.mark.parametrize("row", RECORDED, ids=title)
def test_only_pools_whose_threads_wait_for_each_other_lose_more_beside_a_process_that_may_have_run(row):
    share = evidence(row, machine_look(of=0, others=0.3)).turns(0).undisturbed_share(KIND)

    assert (share < 1 - MOST_LOST) is (title(row) in WAIT_FOR_EACH_OTHER)


def test_the_recorded_rows_are_those_of_frameworks_with_pools_and_of_openmp_threads_that_sleep():
    names = {row["implementation"] for row in RECORDED if not row["wait_policy"]}
    woken = {title(row) for row in RECORDED if np.median(np.array(row["wakeups"]) / row["calls"]) >= PARKING}

    assert names == {"onnxruntime", "jax", "tensorflow", "tensorflow_xla"}
    assert {name.split()[0] for name in woken} >= {"onnxruntime", "tensorflow", "fused", "batch_norm"}


@pytest.mark.parametrize("row", RECORDED, ids=title)
def test_a_slice_that_another_process_took_from_such_a_pool_is_seen(row):
    whole = looks(row)
    kept = undisturbed(whole).kept
    place = int(np.flatnonzero(kept)[0])
    hit = {"delay_s": whole.delay_s.copy(), "wall_s": whole.wall_s.copy()}
    for column in hit.values():
        column[place] += 3e-3
    changed = Looks(
        hit["wall_s"], whole.calls, hit["delay_s"], whole.wakeups, whole.involuntary, whole.cpu_s, whole.wakeup_s,
        whole.has_pool,
    )  # fmt: skip

    assert not undisturbed(changed).kept[place]
