"""The suites that come with lnbench: each reads, plans on a small machine, and stays within its promises."""

from pathlib import Path

import jsonschema
import pytest

from lnbench.implementations.registry import BUILT_IN
from lnbench.plan import Known, Machine, make_plan
from lnbench.planned import CacheSizes, Status
from lnbench.suite import read_suite, suite_schema
from lnbench.suite_text import read_yaml

SUITES = sorted((Path(__file__).parents[1] / "suites").glob("*.yaml"))
KNOWN = {row.name: Known(row.function, row.options, row.choices) for row in BUILT_IN.values()}
MIB = 1 << 20
SMALL_MACHINE = Machine(
    threads=2,
    logical_cores=2,
    caches=CacheSizes(l2_b=MIB, last_level_b=32 * MIB),
    memory_b=8192 * MIB,
    devices={"cpu": "", "cuda": "no NVIDIA driver was found"},
)


def read(path):
    return read_suite(path.read_text(encoding="utf-8"), source=str(path))


def plan(path, machine=SMALL_MACHINE):
    return make_plan(read(path), known=KNOWN, machine=machine)


def test_the_promised_suites_are_there():
    assert {path.stem for path in SUITES} >= {
        *("quick", "transformer", "decode", "qk-norm", "vision"),
        *("irregular", "batch-size", "convolution", "gpu", "ci"),
    }


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_shipped_suite_is_named_as_its_file_and_asks_one_question(path):
    suite = read(path)

    assert suite.name == path.stem
    assert suite.description.count("?") == 1
    assert suite.description[0].isupper()


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_shipped_suite_validates_against_the_schema_and_a_typo_does_not(path):
    value = read_yaml(path.read_text(encoding="utf-8"), source=str(path)).value
    typo = {**value, "workloads": [{**entry, "dtype": "float32"} for entry in value["workloads"]]}

    jsonschema.validate(value, suite_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(typo, suite_schema())


@pytest.mark.parametrize(
    "path", [path for path in SUITES if path.stem not in {"gpu", "kernels"}], ids=lambda path: path.stem
)
def test_a_suite_for_the_cpu_fits_a_machine_with_two_cores(path):
    made = plan(path)

    assert made.measurable >= 0.95 * len(made.cases)
    assert made.estimated_s < 15 * 60
    assert max(planned.workload.x_bytes for planned in made.workloads) <= 32 * MIB


def test_the_gpu_suite_is_skipped_as_a_whole_without_a_gpu_and_measured_with_one():
    path = next(path for path in SUITES if path.stem == "gpu")
    machine = Machine(8, 16, SMALL_MACHINE.caches, 131072 * MIB, {"cpu": "", "cuda": "", "cuda:0": ""})

    without, with_one = plan(path), plan(path, machine)

    assert without.set_aside == {(Status.SKIPPED, "no NVIDIA driver was found"): len(without.cases)}
    assert with_one.measurable == len(with_one.cases)
    assert with_one.estimated_s < 30 * 60  # 82 s of rounds in each of 3 processes, and compiling


def test_quick_is_the_documented_suite():
    made = plan(next(path for path in SUITES if path.stem == "quick"))

    assert [planned.id for planned in made.workloads] == [
        "8x128x768/float32/cpu",
        "8x128x768/bfloat16/cpu",
        "32x512/float32/cpu",
        "32x512/bfloat16/cpu",
    ]
    assert [case.title for case in made.cases[:4]] == ["eager", "compiled", "fused", "batch_norm (train)"]
    assert (made.sampling.processes, made.sampling.precision, made.sampling.budget_s) == (1, 0.01, 5.0)
    assert made.estimated_s < 60


def test_bfloat16_input_meets_float32_parameters_in_the_transformer_suite():
    made = plan(next(path for path in SUITES if path.stem == "transformer"))

    assert {(p.workload.dtype, p.workload.param_dtype) for p in made.workloads} == {
        ("float32", "float32"),
        ("bfloat16", "float32"),
    }
