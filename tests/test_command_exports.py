"""`lnbench report` for others: several runs, formats of other tools, JSON, and what is refused; on made-up journals."""

import json

import pytest
from fabricate import case, everything, noisy_turns, run, workload

from lnbench.cli.door import run_command_line
from lnbench.errors import ExitCode
from lnbench.store.journal import journal_lines


@pytest.fixture
def lnbench(tmp_path, monkeypatch, capsys):
    """Runs a command beside three journals; gives code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    for name in ("one", "two"):
        made = run([workload()], [case("fused"), case("eager")], noisy_turns({0: 1e-4, 1: 2e-4}), run_id=name)
        (tmp_path / f"{name}.jsonl").write_text(journal_lines(made))
    (tmp_path / "all.jsonl").write_text(journal_lines(everything()))

    def command(*arguments):
        code = run_command_line([*arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def test_two_runs_stand_side_by_side_and_are_not_judged(lnbench):
    code, out, _ = lnbench("report", "one.jsonl", "two.jsonl")

    assert code == ExitCode.FINE
    assert "Side by side, and not judged" in out
    assert "`lnbench compare` judges" in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("name", ["terminal", "markdown", "csv", "json", "latex"])
def test_two_runs_are_written_to_files_in_each_format(lnbench, tmp_path, name):
    code, _, err = lnbench("report", "one.jsonl", "two.jsonl", "--format", f"{name}=out")

    assert code == ExitCode.FINE
    assert err == "written: out\n"
    assert "eager" in (tmp_path / "out").read_text()
    assert not (tmp_path / "out-plots").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ("one.jsonl one.jsonl", "run one is named twice", "a copy is the same run"),
        ("one.jsonl two.jsonl -f junit", "--format junit: shows one run", "terminal, markdown, csv, json, latex"),
        ("one.jsonl two.jsonl -f bencher", "--format bencher: shows one run", "terminal, markdown"),
        ("one.jsonl two.jsonl -f png=x.png", "--format png: shows one run", "terminal, markdown"),
        ("one.jsonl two.jsonl --columns memory", "--columns: goes with one run", ""),
        ("one.jsonl two.jsonl --plot time", "--plot: goes with one run", ""),
        ("one.jsonl two.jsonl --samples", "--samples goes with --format csv", ""),
        ("one.jsonl none.jsonl", 'there is no run "none.jsonl"', ""),
        ("one.jsonl two.jsonl --only implementation=x", "--only: no row that more than one run has matches", ""),
        ("one.jsonl two.jsonl -f csv --only implementation=x", "--only: no row of the run matches", ""),
        ("one.jsonl -f json --only implementation=x", "--only: no row of the run matches", ""),
        ("one.jsonl -f bencher --only implementation=x", "--only: no row of the run matches", ""),
        ("one.jsonl -f latx", '--format: unknown format "latx"', 'did you mean "latex"?'),
    ],
)
def test_what_does_not_go_is_one_message(lnbench, tmp_path, arguments, message, hint):
    before = sorted(tmp_path.iterdir())

    code, out, err = lnbench("report", *arguments.split())

    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith(f"error: {message}")
    assert hint in err
    assert len(err.splitlines()) <= 2
    assert sorted(tmp_path.iterdir()) == before


def test_what_another_tool_can_not_be_told_is_said(lnbench):
    _, out, err = lnbench("report", "all.jsonl", "-f", "github-action-benchmark")

    assert json.loads(out)
    assert err.splitlines() == [
        "note: github-action-benchmark: 24 rows without a time are left out",
        "note: github-action-benchmark: 4 rows without a reference are left out",
    ]


def test_json_holds_the_rows_as_before_and_what_holds_for_the_run(lnbench):
    found = json.loads(lnbench("report", "all.jsonl", "-f", "json")[1])

    assert [name for name in found if name != "busy_machine"] == ["run", "notices", "rows"]
    assert found["run"]["run_id"] == "20261122-154500-made"
    assert found["run"]["sampling"] == {"processes": 1, "precision": 0.01, "budget_s": 5, "budget_total_s": None}
    assert found["run"]["environment"]["versions"]["torch"] == "2.13.0"
    assert found["run"]["devices"]["cuda"] == "NVIDIA Fabricated"
    assert found["run"]["completed"] is True
    assert found["run"]["notices"] == [{"code": "busy", "text": "another process used 20 % of this machine"}]
    assert {notice["code"] for notice in found["notices"]} >= {"inaccurate", "launch-bound"}
    assert {code for row in found["rows"] for code in (row["notices"] or "").split(";") if code} == {
        notice["code"] for notice in found["notices"]
    }


def test_a_choice_of_rows_holds_for_other_tools_too(lnbench):
    out = lnbench("report", "one.jsonl", "-f", "bencher", "--only", "phase=backward")[1]

    assert list(json.loads(out)) == ["256x768/float32/cpu fused backward", "256x768/float32/cpu eager backward"]
