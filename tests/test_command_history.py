"""`lnbench history` on folders of runs: what is found, what is left out and said, formats, exit codes."""

import gzip
import json
import os
import shutil

import pytest
from nights import keep, nights, slower_from

from lnbench.cli.door import run_command_line
from lnbench.errors import ExitCode, JournalError
from lnbench.store.searching import find_journals


@pytest.fixture
def lnbench(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; gives code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = run_command_line([*arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_the_runs_in_reports_are_shown_without_being_named(lnbench, tmp_path):
    keep(nights(20, slower_from(11)), tmp_path / "reports")

    code, out, err = lnbench("history")

    assert (code, err) == (ExitCode.FINE, "")
    assert "nightly: 20 runs from 2026-10-01 02:00 to 2026-10-20 02:00: 4 of 12 rows changed" in out
    assert "2026-10-12 02:00, commits b1d5781111..17ba079149" in out
    assert out.count("compiled forward") == 4


def test_runs_are_found_two_levels_deep_with_kept_journals_and_baselines(lnbench, tmp_path):
    runs = nights(9)
    keep(runs[:3], tmp_path / "all")
    keep(runs[3:6], tmp_path / "all" / "machine")
    folder = keep(runs[6:8], tmp_path / "elsewhere")
    for number, place in enumerate(sorted(folder.iterdir())):
        shutil.copy(place / "run.jsonl", tmp_path / "all" / f"kept-{number}.jsonl")
    keep(runs[8:], tmp_path / "all" / "too" / "deep" / "by-far")

    code, out, _ = lnbench("history", "all")

    assert code == ExitCode.FINE
    assert "nightly: 8 runs" in out


def test_what_can_not_be_read_is_named_and_left_out(lnbench, tmp_path):
    keep(nights(6), tmp_path / "reports")
    (tmp_path / "reports" / "broken.jsonl").write_text('{"event":"header"}\n')
    (tmp_path / "reports" / "other.jsonl").write_text("no journal\n")
    (tmp_path / "reports" / "packed.jsonl.gz").write_bytes(gzip.compress(b"{}")[:-4])

    code, out, err = lnbench("history")

    assert code == ExitCode.FINE
    assert "nightly: 6 runs" in out
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        "reports/broken.jsonl",
        "reports/other.jsonl",
        "reports/packed.jsonl.gz",
    ]


def test_many_that_can_not_be_read_are_counted(lnbench, tmp_path):
    keep(nights(6), tmp_path / "reports")
    for number in range(20):
        (tmp_path / "reports" / f"other-{number}.jsonl").write_text("no journal\n")

    _, _, err = lnbench("history")

    assert err.splitlines()[-1] == "left out: 15 more that can't be read"
    assert len(err.splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("history nowhere", ExitCode.USAGE, "error: nowhere: there is no such folder"),
        ("history empty", ExitCode.USAGE, "error: empty: holds no runs"),
        ("history reports --suite other", ExitCode.NOTHING_MEASURED, "error: no run has a row with a ratio to show"),
        ("history reports --only dtype=int8", ExitCode.NOTHING_MEASURED, "error: no run has a row with a ratio"),
        ("history reports --only colour=red", ExitCode.USAGE, 'error: --only: unknown column "colour"'),
        ("history reports --margin 0", ExitCode.USAGE, "error: --margin: must be above 0"),
        ("history reports --format junit", ExitCode.USAGE, 'error: --format: unknown format "junit"'),
    ],
)
def test_what_can_not_be_shown_is_one_message(lnbench, tmp_path, arguments, code, message):
    keep(nights(6), tmp_path / "reports")
    (tmp_path / "empty").mkdir()

    found, out, err = lnbench(*arguments.split())

    assert (found, out) == (code, "")
    assert err.startswith(message)


def test_suites_and_rows_can_be_chosen(lnbench, tmp_path):
    keep([*nights(6, suite="one"), *nights(6, suite="two")], tmp_path / "reports")

    _, out, _ = lnbench("history", "--suite", "tw*", "--only", "implementation=eager,phase=forward")

    assert "one:" not in out
    assert "two: 6 runs" in out
    assert "compiled" not in out
    assert "eager backward" not in out


def test_every_format_goes_to_a_file_or_to_stdout(lnbench, tmp_path):
    keep(nights(20, slower_from(11)), tmp_path / "reports")

    code, out, err = lnbench("history", "-f", "json", "-f", "csv=points.csv", "-f", "markdown=history.md")
    named = lnbench("history", "-f", "csv", "-o", "again.csv")

    assert (code, named[0], named[1]) == (ExitCode.FINE, ExitCode.FINE, "")
    assert json.loads(out)["suites"][0]["suite"] == "nightly"
    assert err == "written: points.csv\nwritten: history.md\n"
    assert (tmp_path / "points.csv").read_text() == (tmp_path / "again.csv").read_text()
    assert "| **slower** |" in (tmp_path / "history.md").read_text()


def test_one_journal_is_a_history_too(lnbench, tmp_path):
    keep(nights(1), tmp_path / "reports")

    code, out, _ = lnbench("history", "reports/20261001-020000-nightly")

    assert code == ExitCode.FINE
    assert "1 run of 2026-10-01 02:00: too few to look for changes in any of 12 rows" in out


def test_links_to_folders_and_hidden_folders_are_passed_over(tmp_path):
    keep(nights(2), tmp_path / "reports")
    keep(nights(1), tmp_path / "reports" / ".hidden")
    os.symlink(tmp_path / "reports", tmp_path / "reports" / "loop")

    assert len(find_journals(tmp_path / "reports")) == 2


def test_a_pipe_in_the_place_of_a_journal_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.jsonl")

    with pytest.raises(JournalError, match="holds no runs"):
        find_journals(tmp_path)
