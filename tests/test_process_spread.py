"""What earlier runs show of how far processes lie apart: which rows and runs count, what is kept, and what is read."""

import gzip
import math
import os
from types import SimpleNamespace

import pytest
from fabricate import ENVIRONMENT, case, ended, header, noisy_turns, run, workload
from scripted import three

from lnbench.cli.progress import Silence
from lnbench.condense import condense
from lnbench.conductor import measuring
from lnbench.conductor.measuring import RunOptions
from lnbench.conductor.preparation import Prepared
from lnbench.conductor.shown_run import ShownRun
from lnbench.planned import SamplingRecord, Status
from lnbench.process_spread import is_of_machine_class, process_spread
from lnbench.record import Run
from lnbench.store import earlier
from lnbench.store.earlier import earlier_runs
from lnbench.store.journal import journal_lines
from lnbench.store.reading import read_run

SAMPLING = SamplingRecord(processes=3, precision=0.01, budget_s=5)


def measured(*, between=0.02, processes=3, workloads=4, seed=1, names=("fused", "a", "b", "c"), noise=0.001):
    """A run in whose processes the forward times of each case lie so far apart."""
    cases = [case(name, of=of) for of in range(workloads) for name in names]
    turns = [
        made
        for of in range(workloads)
        for made in noisy_turns(
            dict.fromkeys(range(of * len(names), (of + 1) * len(names)), 1e-4),
            of=of,
            processes=processes,
            rounds=12,
            noise=noise,
            between=between,
            seed=100 * seed + of,
        )
    ]
    sampling = SAMPLING.model_copy(update={"processes": processes})
    planned = [workload((64 * (of + 1), 64)) for of in range(workloads)]
    return run(planned, cases, turns, sampling=sampling, run_id=f"run-{seed}")


def test_the_spread_is_the_standard_deviation_between_processes_of_log_speedups():
    (found,) = process_spread(measured(seed=seed) for seed in range(1, 11))

    # A speedup holds the shift of the reference and that of the case.
    assert found.deviation == pytest.approx(math.sqrt(2) * 0.02, rel=0.15)
    assert (found.device_name, found.runs) == (ENVIRONMENT.cpu, 10)
    assert found.freedom == 10 * 4 * 2 / 2  # runs x workloads x (processes - 1), half of them for a median


def test_rows_that_share_a_reference_add_no_degrees_of_freedom():
    few, many = (process_spread([measured(workloads=2, names=("fused", *"abcdef"[:count]))])[0] for count in (1, 6))

    assert few.freedom == many.freedom == 2 * 2


def test_one_run_of_a_busy_machine_among_several_changes_little():
    calm = [measured(seed=seed) for seed in (1, 2, 3)]
    ((alone,), (beside,)) = process_spread(calm), process_spread([*calm, measured(seed=9, between=1.0)])

    assert beside.deviation < 1.5 * alone.deviation


def test_rows_that_are_not_precise_within_a_process_and_runs_made_small_show_no_spread():
    assert process_spread([measured(noise=0.5)]) == ()
    assert process_spread([condense(measured())]) == ()


def test_runs_of_one_process_and_no_runs_show_no_spread():
    assert process_spread([measured(processes=1)]) == ()
    assert process_spread([]) == ()


def test_what_failed_and_other_functions_and_older_versions_of_the_same_count_for_nothing():
    times = {0: 1e-4, 1: 1e-4}
    steady = list(noisy_turns(times, processes=3, rounds=12, noise=0.001, between=0.02, seed=100))
    wild = noisy_turns({2: 1e-4, 3: 1e-4, 4: 1e-4}, processes=3, rounds=12, between=0.5, seed=7)
    others = [
        case("wrong"),
        case("rms_norm", function="rms_norm"),
        case("new", reference="a"),
    ]
    made = run(
        [workload((64, 64))],
        [case("fused"), case("a"), *others],
        [*steady, *wild, ended(2, Status.WRONG, "dbias is off")],
    )

    of_one_row = process_spread([run([workload((64, 64))], [case("fused"), case("a")], steady)])

    assert process_spread([made]) == of_one_row
    assert len(of_one_row) == 1


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"versions": {"torch": "9.0"}}, True),
        ({"cpu": "Another CPU"}, False),
        ({"physical_cores": 4}, False),
        ({"cpu_signature": "GenuineIntel family 6 model 85 stepping 7"}, False),
        ({"cpu_signature": ""}, True),
    ],
)
def test_a_machine_class_is_a_processor_and_its_cores(change, same):
    ours = ENVIRONMENT.model_copy(update={"cpu_signature": "GenuineIntel family 6 model 143 stepping 8"})
    theirs = header([workload()], [case("fused")], sampling=SAMPLING, environment=ours.model_copy(update=change))

    assert is_of_machine_class(theirs, ours) is same


def test_a_run_planned_for_one_process_is_not_read():
    assert not is_of_machine_class(header([workload()], [case("fused")]), ENVIRONMENT)


def stored(reports, made, *, age_s=0, name="run.jsonl"):
    """A run in a folder of its own, written so long ago."""
    folder = reports / made.header.run_id
    folder.mkdir(parents=True)
    text = journal_lines(made).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    os.utime(folder / name, (1e9 - age_s, 1e9 - age_s))


def ids(runs):
    return [found.header.run_id for found in runs]


@pytest.fixture(scope="module")
def small():
    """Ten small runs."""
    return [measured(seed=seed, workloads=1, names=("fused", "a")) for seed in range(10)]


def test_the_newest_runs_are_read_first_also_packed_and_one_folder_down(tmp_path, small):
    stored(tmp_path, small[0], age_s=20)
    stored(tmp_path / "laptop", small[1], age_s=10, name="run.jsonl.gz")

    assert ids(earlier_runs(tmp_path, wanted=lambda _: True)) == ["run-1", "run-0"]


def test_what_is_unwanted_damaged_or_too_large_is_passed_over(tmp_path, small, monkeypatch):
    for made in small[:3]:
        stored(tmp_path, made)
    (tmp_path / "run-1" / "run.jsonl").write_text("{}\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.jsonl").write_bytes(b"\x00" * 100)
    stored(tmp_path, measured(seed=11))
    sizes = sorted(path.stat().st_size for path in tmp_path.glob("*/run.jsonl"))
    monkeypatch.setattr(earlier, "MOST_BYTES", sizes[-1] - 1)

    assert ids(earlier_runs(tmp_path, wanted=lambda it: it.run_id != "run-2")) == ["run-0"]


def test_no_more_runs_are_read_than_the_bounds_of_number_and_time_allow(tmp_path, small, monkeypatch):
    for age_s, made in enumerate(small):
        stored(tmp_path, made, age_s=age_s)
    monkeypatch.setattr(earlier, "MOST_RUNS", 4)
    ticks = iter([0.0, 0.0, 0.0, earlier.LONGEST_S + 1])

    assert len(ids(earlier_runs(tmp_path, wanted=lambda _: True))) == 4
    assert len(ids(earlier_runs(tmp_path, wanted=lambda _: True, clock=lambda: next(ticks)))) == 2


def test_a_folder_that_is_not_there_or_holds_no_run_gives_none(tmp_path):
    assert ids(earlier_runs(tmp_path / "none", wanted=lambda _: True)) == []
    assert ids(earlier_runs(tmp_path, wanted=lambda _: True)) == []


def test_a_run_records_what_earlier_runs_on_its_machine_class_show(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_carry_out", lambda *_: None)
    reports, elsewhere = tmp_path / "reports", ENVIRONMENT.model_copy(update={"cpu": "Another CPU"})
    for seed, environment in ((1, ENVIRONMENT), (2, elsewhere)):
        made = measured(seed=seed)
        stored(reports, made.model_copy(update={"header": made.header.model_copy(update={"environment": environment})}))
    prepared = Prepared(SimpleNamespace(name="made", description=""), "name: made\n", three(), ENVIRONMENT)

    measuring.measure(prepared, RunOptions(reports, reports / "new", seed=1, timeout_s=1.0), Silence())

    assert read_run(reports / "new").header.process_spread == process_spread([measured(seed=1)])


def test_the_journal_alone_decides_the_star_wherever_it_is_shown():
    (spread,) = process_spread(measured(seed=seed) for seed in range(1, 4))
    turns = list(noisy_turns({0: 1e-4, 1: 1e-4 / 1.06}, noise=0.001))
    plan = [workload()], [case("fused"), case("a")]
    alone, beside = run(*plan, turns), run(*plan, turns, process_spread=(spread,))

    assert ShownRun(alone).recommendations[0].fastest == ("a",)
    assert ShownRun(beside).recommendations[0].fastest == ("fused", "a")
    assert Run.model_validate_json(beside.model_dump_json()).header.process_spread == (spread,)
