"""`lnbench run` and `lnbench report`, really run: what a person, a script and a publisher of the run folder find."""

import io
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from command import MEASURED, journal, results, run_lnbench, write_suite

from lnbench.cli.door import run_command_line
from lnbench.tables import READING, RESULT_DTYPES, SAMPLE_COLUMNS

CONTRACT_COLUMNS = """
run_id, suite, workload, label, implementation, function, norm_mode, device, device_name, dtype, param_dtype,
input_shape, normalized_shape, rows, features, affine, eps, threads, cache, allocator, layout, phase, clock, status,
reason, processes, rounds, samples, median_s, low_s, high_s, min_s, reference, speedup, speedup_low, speedup_high,
minimum_bytes, gb_per_s, percent_of_copy, peak_memory_bytes, saved_bytes, nvml_process_bytes, nvml_device_bytes,
energy_per_call_j, cold_first_call_s, warm_first_call_s, max_relative_error, faults_per_call, notices, torch_version,
lnbench_version
""".replace("\n", " ").split(",")
KEY = ["workload", "implementation", "norm_mode", "phase", "clock"]
PRIVATE = {
    "USER": "quentin-of-the-hill",
    "LOGNAME": "quentin-of-the-hill",
    "LNBENCH_TEST_TOKEN": "a-token-that-nobody-may-read",
}
ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    """A run of two workloads below somebody's home; three implementations, all phases."""
    home = tmp_path_factory.mktemp("home") / "quentin"
    folder = home / "work"
    folder.mkdir(parents=True)
    write_suite(
        folder, "tiny", implementations=["eager", "fused", "batch_norm"], shapes="[[8, 16], {shape: [32, 768]}]"
    )
    done = run_lnbench(folder, "run", "tiny.yaml", env={**PRIVATE, "HOME": str(home)})
    (run,) = (folder / "reports").iterdir()
    return SimpleNamespace(home=home, folder=folder, done=done, run=run)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A run of two processes without a word, into a folder of its own."""
    folder = tmp_path_factory.mktemp("quiet")
    write_suite(folder, "tiny", shapes="[[8, 16], [32, 768]]")
    done = run_lnbench(
        folder,
        *("run", "./tiny.yaml", "--quiet", "--processes", "2", "--only", "input_shape=8x*"),
        *("--seed", "7", "--output", "here"),
    )
    return SimpleNamespace(folder=folder, done=done, run=folder / "here")


@pytest.fixture
def report(loud, monkeypatch, capsys):
    """Runs `lnbench report latest` where the loud run lies; gives what it prints."""
    monkeypatch.chdir(loud.folder)

    def print_report(*options):
        code = run_command_line(["report", "latest", *options])
        assert code == 0
        return capsys.readouterr().out

    return print_report


def test_a_run_ends_well_and_leaves_its_three_files(loud):
    assert loud.done.code == 0
    assert sorted(path.name for path in loud.run.iterdir()) == ["report.md", "results.csv", "run.jsonl"]
    assert re.fullmatch(r"\d{8}-\d{6}-tiny", loud.run.name)


def test_the_csv_begins_with_the_columns_of_the_contract_in_their_order(loud):
    header = (loud.run / "results.csv").read_text().splitlines()[0].split(",")

    assert header[: len(CONTRACT_COLUMNS)] == [column.strip() for column in CONTRACT_COLUMNS]


def test_the_csv_has_one_row_for_each_case_phase_and_clock_and_each_is_timed(loud):
    rows = results(loud.run)

    assert len(rows) == 2 * 3 * 4
    assert not rows.duplicated(KEY).any()
    assert set(rows.status) <= MEASURED
    known = rows[rows.status == "ok"]
    assert (known.median_s > 0).all()
    assert (known.samples >= 3).all()
    assert set(rows.run_id) == {loud.run.name}


def test_pandas_reads_the_csv_with_exactly_the_given_dtypes(loud):
    rows = results(loud.run)

    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == RESULT_DTYPES
    assert rows.nvml_process_bytes.isna().all()
    assert rows.norm_mode.dropna().unique().tolist() == ["train"]


def test_the_readme_gives_the_dtypes_of_the_program():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    block = readme.partition("<!-- dtypes -->")[2].partition("<!-- /dtypes -->")[0]

    assert dict(re.findall(r'"(\w+)": "(\w+)"', block)) == RESULT_DTYPES


def test_the_reference_reads_one_and_another_function_is_named_as_such(loud):
    rows = results(loud.run)

    assert (rows[rows.implementation == "fused"].speedup == 1).all()
    assert rows[rows.implementation == "batch_norm"].notices.str.contains("another-function").all()
    assert not rows[rows.implementation == "eager"].notices.fillna("").str.contains("another-function").any()


def test_tables_go_to_stdout_and_the_plan_progress_and_files_to_stderr(loud):
    stdout, stderr = loud.done.stdout, loud.done.stderr.splitlines()

    assert "8x16/float32/cpu" in stdout
    assert "32x768/float32/cpu" in stdout
    assert "written" not in stdout
    plan = next(line for line in stderr if not line.startswith(("waiting for", "busy machine")))
    assert plan.startswith("plan: 6 cases on 2 workloads, 1 process")
    second = r"\[2/2\] 32x768/float32/cpu\S*, process 1 of 1, about .* left(, machine busy.*)?$"
    assert [line for line in stderr if re.match(second, line)]
    assert stderr[-3:] == [
        f"written: reports/{loud.run.name}/{name}" for name in ("run.jsonl", "results.csv", "report.md")
    ]


def test_nothing_is_coloured_or_animated_without_a_terminal(loud):
    assert ESCAPE not in loud.done.stdout + loud.done.stderr
    assert "\r" not in loud.done.stdout + loud.done.stderr


def test_the_run_folder_names_no_host_user_home_or_environment(loud):
    published = "".join(path.read_text(encoding="utf-8") for path in loud.run.iterdir())
    host = platform.node().partition(".")[0] or "a-host-without-a-name"

    assert not [value for value in PRIVATE.values() if value in published]
    assert str(loud.home) not in published
    assert not re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", published)


def test_the_journal_is_complete_and_alone_holds_all_that_was_measured(loud):
    lines = journal(loud.run)

    kinds = [line["event"] for line in lines]
    assert kinds[0] == "header"
    assert kinds[-1] == "run_finished"
    assert {"worker_started", "built", "verified", "turn", "workload_finished"} <= set(kinds)
    assert lines[0]["suite_text"] == (loud.folder / "tiny.yaml").read_text()


def test_every_case_is_verified_before_and_after_it_is_timed(loud):
    verified = [line for line in journal(loud.run) if line["event"] == "verified"]

    assert {(line["case"], line["moment"]) for line in verified} == {
        (case, moment) for case in range(6) for moment in ("before", "after")
    }


def test_a_report_shows_again_what_the_run_showed(loud, report):
    assert report() == loud.done.stdout
    assert report("--format", "markdown") == (loud.run / "report.md").read_text()
    assert report("--format", "csv") == (loud.run / "results.csv").read_text()


def test_raw_samples_come_as_csv_and_forward_and_backward_add_up_in_each(report):
    text = report("--format", "csv", "--samples")

    samples = pd.read_csv(io.StringIO(text), dtype={column.name: column.dtype for column in SAMPLE_COLUMNS}, **READING)
    sums = samples.pivot_table(
        index=["workload", "implementation", "round", "started_s"], columns="phase", values="sample_s"
    )
    assert {"inference", "forward", "backward", "forward_backward", "disposal"} == set(sums.columns)
    # Only the last digit of a double is lost in adding.
    assert (sums.forward + sums.backward - sums.forward_backward).abs().max() < 1e-15


def test_a_report_is_written_where_it_is_told_to_be(loud, report, tmp_path):
    printed = report("--format", "markdown", "--output", str(tmp_path / "out.md"))

    text = (tmp_path / "out.md").read_text()
    plots = text[text.index("## Plots\n") : text.index("## Results\n")]
    assert printed == ""
    assert text.replace(plots, "") == (loud.run / "report.md").read_text()
    assert (tmp_path / "out-plots" / "time.svg").is_file()


def test_quiet_leaves_stderr_empty_and_still_shows_the_table(quiet):
    assert quiet.done.code == 0
    assert quiet.done.stderr == ""
    assert "8x16/float32/cpu" in quiet.done.stdout


def test_two_processes_are_two_passes_of_fresh_workers_and_rows_say_so(quiet):
    started = [line["process"] for line in journal(quiet.run) if line["event"] == "worker_started"]

    assert started == [0, 1]
    assert set(results(quiet.run).processes) == {2}


def test_options_choose_the_cases_the_seed_and_the_folder(quiet):
    header = journal(quiet.run)[0]

    assert [planned["workload"]["shape"] for planned in header["workloads"]] == [[8, 16]]
    assert (header["seed"], header["sampling"]["processes"]) == (7, 2)
    assert not (quiet.folder / "reports").exists()


def test_an_output_that_holds_a_run_is_refused_and_left_alone(quiet, monkeypatch, capsys):
    before = {path.name: path.read_bytes() for path in quiet.run.iterdir()}
    monkeypatch.chdir(quiet.folder)

    code = run_command_line(["run", "tiny.yaml", "--output", "here"])

    assert code == 2
    assert "error: here: already holds run.jsonl" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in quiet.run.iterdir()} == before


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
@pytest.mark.parametrize(("env", "styled"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colours", "NO_COLOR"])
def test_on_a_terminal_no_color_takes_the_colours_away(tmp_path, env, styled):
    assert (ESCAPE in on_a_terminal(tmp_path, "list", "suites", env=env)) == styled


def on_a_terminal(folder, *arguments, env):
    """What a command prints when its stdout is a terminal."""
    ours, theirs = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "lnbench", *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color", **env},
        stdout=theirs,
    )
    os.close(theirs)
    printed = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while data := terminal.read(4096):
                printed += data
        except OSError:  # Linux says so when the other side has gone
            pass
    assert process.wait() == 0
    return printed.decode()
