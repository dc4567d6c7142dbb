"""Exports for other benchmark tools: loaded by the tool itself where it installs, else by its documented rules."""

import json
import subprocess
import sys

import pytest
from condensed import found as condensed_events
from condensed import run as condensed_run
from condensed import suite
from fabricate import case, ended, everything, finished, noisy_turns, run, workload
from jsonschema import validate

from lnbench.conductor.formats import RUN_FORMATS
from lnbench.conductor.shown_run import ShownRun
from lnbench.exported import export_run
from lnbench.planned import Status
from lnbench.render.exchange.names import told_apart, within_bytes
from lnbench.render.outside import steers

TOOLS = ("pytest-benchmark", "github-action-benchmark", "bencher")

BENCHER_SCHEMA = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength": 64},
        "additionalProperties": {
            "type": "object",
            "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
            "required": ["value"],
            "additionalProperties": False,
        },
    },
}
"""bencher.dev/bmf.json, with the slugs of bencher.dev/docs/reference/bencher-metric-format; nothing else may stand."""

GITHUB_ACTION_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string"},
            "value": {"type": "number", "exclusiveMinimum": 0},
            "range": {"type": "string", "pattern": r"^± \d.+$"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
"""BenchmarkResult in the action's src/extract.ts; `range` as its src/extractRangeInfo.ts reads it."""

HOSTILE = "a`|b\x1b[2J‮@team <b>[x](javascript:y)\\"


def told(name, made):
    """A run in a tool's format, read as that tool reads it; JSON that holds NaN or Infinity is none."""

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    return json.loads(RUN_FORMATS[name](ShownRun(made)), parse_constant=refuse)


def three_processes(**axes):
    """Two implementations beside a reference in three processes."""
    names = ("fused", "eager", "compiled")
    events = [*noisy_turns({0: 1e-4, 1: 3e-4, 2: 5e-5}, processes=3, between=0.01), finished()]
    return run([workload(**axes)], [case(name) for name in names], events)


def hostile_run():
    """Names that try to be more, two of which read the same once they are harmless."""
    cases = [case("fused"), case(HOSTILE), case("x\x1b"), case("x\x07")]
    return run([workload()], cases, noisy_turns({0: 1e-4, 1: 2e-4, 2: 3e-4, 3: 4e-4}))


def compare(folder, *files):
    """What `pytest-benchmark compare` prints about these files."""
    command = [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, files)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PATH": "", "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "Failed to load" not in done.stdout + done.stderr
    return done.stdout


def test_pytest_benchmark_shows_every_row_that_has_a_time(tmp_path):
    (tmp_path / "run.json").write_text(RUN_FORMATS["pytest-benchmark"](ShownRun(three_processes())))

    text = compare(tmp_path, tmp_path / "run.json")

    assert text.count("benchmark '256x768/float32/cpu ") == 4
    assert all(text.count(f"\n{name} ") == 4 for name in ("fused", "eager", "compiled"))


def test_pytest_benchmark_holds_two_runs_beside_each_other(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(RUN_FORMATS["pytest-benchmark"](ShownRun(three_processes())))

    text = compare(tmp_path, "--between=median", tmp_path / "one.json", tmp_path / "two.json")

    assert "ERROR" not in text
    assert text.count("+0.0%") == 12


def test_pytest_benchmark_takes_a_run_without_times_and_a_baseline(tmp_path):
    cases = suite(1)
    baseline = condensed_run(cases, condensed_events(cases, {1: [0.1, 0.2, 0.3], 2: [0.0] * 3, 3: [0.0] * 3}))
    for name, made in (("none", run([workload()], [case("fused")], [])), ("baseline", baseline)):
        (tmp_path / f"{name}.json").write_text(RUN_FORMATS["pytest-benchmark"](ShownRun(made)))

    text = compare(tmp_path, tmp_path / "none.json", tmp_path / "baseline.json")

    assert "4 tests" in text
    assert told("pytest-benchmark", baseline)["benchmarks"][0]["extra_info"]["samples"] == "medians of processes"


def test_pytest_benchmark_is_told_no_host_and_no_invented_commit():
    found = told("pytest-benchmark", everything())

    assert found["machine_info"]["node"] == ""
    assert found["machine_info"]["cpu"]["brand_raw"] == "Fabricated CPU @ 2.50GHz"
    assert (found["commit_info"]["id"], found["commit_info"]["time"]) == ("unversioned", None)


def test_the_statistics_for_pytest_benchmark_are_those_of_the_samples_that_counted():
    made = three_processes()
    (row, *_) = told("pytest-benchmark", made)["benchmarks"]
    (summary, *_) = export_run(made).rows

    assert row["stats"]["rounds"] == summary.summary.samples == 120
    assert row["stats"]["median"] == pytest.approx(summary.summary.median_s)
    assert row["stats"]["iterations"] == 100


def test_the_github_action_gets_ratios_alone_because_its_threshold_holds_for_all_values():
    found = told("github-action-benchmark", three_processes())

    validate(found, GITHUB_ACTION_SCHEMA)
    assert {entry["unit"] for entry in found} == {"time / reference time"}
    values = {entry["name"]: entry["value"] for entry in found}
    assert len(values) == len(found) == 8
    assert values["256x768/float32/cpu eager forward / fused"] == pytest.approx(3, rel=0.05)
    assert values["256x768/float32/cpu compiled forward / fused"] == pytest.approx(0.5, rel=0.05)
    assert all("median" in entry["extra"] and "wall clock" in entry["extra"] for entry in found)


def test_one_process_has_ratios_with_the_interval_of_its_rounds_and_two_samples_have_none():
    cases = [case("fused"), case("eager")]
    many = told("github-action-benchmark", run([workload()], cases, noisy_turns({0: 1e-4, 1: 2e-4})))
    few = told("github-action-benchmark", run([workload()], cases, noisy_turns({0: 1e-4, 1: 2e-4}, rounds=2)))

    assert all("range" in entry for entry in many)
    assert not any("range" in entry for entry in few)
    validate(few, GITHUB_ACTION_SCHEMA)


def test_a_check_of_two_versions_gives_the_github_action_the_ratio_of_new_over_old():
    cases = [case("mine@base"), case("mine", reference="mine@base")]
    found = told("github-action-benchmark", run([workload()], cases, noisy_turns({0: 1e-4, 1: 1.2e-4})))

    assert [entry["name"].rpartition(" / ")[2] for entry in found] == ["mine@base"] * 4
    assert all(entry["value"] == pytest.approx(1.2, rel=0.05) for entry in found)


def test_bencher_gets_latency_in_nanoseconds_and_the_ratio_as_measures_of_their_own():
    found = told("bencher", three_processes())

    validate(found, BENCHER_SCHEMA)
    eager, fused = (found[f"256x768/float32/cpu {name} forward"] for name in ("eager", "fused"))
    assert eager["latency"]["value"] == pytest.approx(3e5, rel=0.05)
    assert eager["latency"]["lower_value"] < eager["latency"]["value"] < eager["latency"]["upper_value"]
    assert eager["time-over-reference"]["value"] == pytest.approx(3, rel=0.05)
    assert "time-over-reference" not in fused


def test_bencher_gets_the_peak_of_memory_where_it_was_measured():
    found = told("bencher", everything())

    assert found["8x128x768/float32/cpu eager forward"]["peak-memory"] == {"value": 4_718_592}
    assert "peak-memory" not in found["8x128x768/float32/cpu compiled forward"]


@pytest.mark.parametrize("name", TOOLS)
def test_a_whole_run_is_told_as_expected_of_the_rows_that_have_times(name):
    text = json.dumps(told(name, everything()))

    assert "compiled" in text
    assert not [failed for failed in ("shifted", "crashing", "odd", 'late"', "late ", "cuda:7") if failed in text]


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize(
    "made",
    [
        run([], [], []),
        run([workload()], [case("fused")], []),
        run([workload()], [case("fused")], [ended(0, "oom", "")]),
    ],
    ids=["empty", "interrupted", "failed"],
)
def test_a_run_without_any_time_is_an_empty_file(name, made):
    found = told(name, made)

    assert (found["benchmarks"] if name == "pytest-benchmark" else found) in ([], {})


def test_without_a_reference_the_github_action_gets_nothing_and_the_others_times():
    cases = [case("fused"), case("eager")]
    made = run([workload()], cases, [*noisy_turns({1: 2e-4}), ended(0, Status.OOM, "out of memory")])

    assert told("github-action-benchmark", made) == []
    assert [list(measures) for measures in told("bencher", made).values()] == [["latency"]] * 4


def test_on_a_gpu_every_tool_gets_the_device_s_clock():
    made = everything()

    rows = [row for row in export_run(made).rows if row.summary.device == "cuda"]

    assert {row.summary.clock for row in rows} == {"device"}
    assert len(rows) == 8


@pytest.mark.parametrize("name", TOOLS)
def test_no_name_steers_breaks_out_of_its_quotation_or_hides_another(name):
    text = RUN_FORMATS[name](ShownRun(hostile_run()))
    found = json.loads(text)

    rows = found["benchmarks"] if name == "pytest-benchmark" else found
    names = list(rows) if name == "bencher" else [row["name"] for row in rows]
    assert not [letter for letter in text + "".join(names) if steers(letter) and letter != "\n"]
    assert len(rows) == (12 if name == "github-action-benchmark" else 16)
    if name == "github-action-benchmark":
        assert not [letter for letter in "".join(names) if letter in "`|"]
        assert len(set(names)) == 12


def test_names_that_read_the_same_are_told_apart_by_a_number():
    assert list(told_apart(["a", "b", "a", "a"])) == ["a", "b", "a (2)", "a (3)"]


def test_a_long_name_is_cut_and_stays_apart_from_others():
    ours, other = within_bytes("ä" * 600 + "1", 1000), within_bytes("ä" * 600 + "2", 1000)

    assert len(ours.encode()) <= 1000
    assert ours != other
    assert within_bytes("short", 1000) == "short"


def test_the_interval_of_a_ratio_is_the_speedup_s_turned_over():
    row = next(row for row in export_run(three_processes()).rows if row.title == "eager")
    relative = row.relative_time

    assert relative.value * row.summary.speedup == pytest.approx(1)
    assert (relative.low, relative.high) == pytest.approx((1 / row.summary.speedup_high, 1 / row.summary.speedup_low))
