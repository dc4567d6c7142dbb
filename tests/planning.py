"""A small machine, a few known implementations and short suites, for the tests of planning."""

from lnbench.plan import Known, Machine, make_plan
from lnbench.planned import CacheSizes
from lnbench.suite import read_suite

KNOWN = {
    "eager": Known("layer_norm"),
    "fused": Known("layer_norm"),
    "tuned": Known("layer_norm", {"block": 128, "scale": 1.0, "mode": None}),
    "rms_norm": Known("rms_norm"),
    "batch_norm": Known("batch_norm"),
    "group_norm": Known("group_norm"),
    "instance_norm": Known("instance_norm"),
    "add_layer_norm": Known("add_layer_norm"),
}
MIB = 1 << 20
MACHINE = Machine(
    threads=2,
    logical_cores=4,
    caches=CacheSizes(l2_b=MIB, last_level_b=8 * MIB),
    memory_b=1024 * MIB,
    devices={"cpu": "", "cuda": "no NVIDIA driver was found"},
)
GPU_MACHINE = Machine(2, 4, MACHINE.caches, MACHINE.memory_b, {"cpu": "", "cuda": "", "cuda:0": ""})


def suite(workload="shapes: [[8, 64]]", *, implementations="eager, fused", top=""):
    """A suite with one workload entry, or several given as a list of lines, one line each."""
    lines = [workload] if isinstance(workload, str) else workload
    entries = "".join(f"  - {{{line}}}\n" for line in lines)
    return read_suite(
        f"name: trial\nimplementations: [{implementations}]\n{top}\nworkloads:\n{entries}", source="s.yaml"
    )


def plan(*args, machine=MACHINE, options=None, **kwargs):
    return make_plan(suite(*args, **kwargs), known=KNOWN, machine=machine, **(options or {}))


def rows(made):
    """Each case as (workload id, title)."""
    return [(made.workloads[case.workload].id, case.title) for case in made.cases]


def outcomes(made):
    """Status and reason of each case by title."""
    return {case.title: (case.status, case.reason) for case in made.cases}
