"""The commit of the code that is measured: found in the current folder's repository, and never in the way."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from fabricate import ENVIRONMENT, everything
from scripted import three
from test_conductor_revision import git, repository  # noqa: F401  (a fixture)

from lnbench import __version__
from lnbench.cli.progress import Silence
from lnbench.conditions import environment_differences
from lnbench.conductor import commit, measuring, resuming
from lnbench.conductor.commit import Commit, current_commit
from lnbench.conductor.measuring import RunOptions
from lnbench.conductor.preparation import Prepared
from lnbench.record import Header
from lnbench.store.reading import read_run
from lnbench.tables import results_table


def test_the_commit_around_the_current_folder_is_found_and_whether_files_differ(repository, monkeypatch):  # noqa: F811
    monkeypatch.chdir(repository / "pack")
    changed = current_commit()
    git(repository, "commit", "-qam", "new")
    (repository / "reports.txt").write_text("not tracked\n")
    clean = current_commit()

    assert changed == Commit(git(repository, "rev-parse", "old"), dirty=True)
    assert clean == Commit(git(repository, "rev-parse", "HEAD"), dirty=False)


def test_a_folder_without_a_repository_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert current_commit() == Commit()


def test_a_repository_without_a_commit_has_none(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)

    assert current_commit() == Commit()


@pytest.mark.parametrize(
    "failure", [FileNotFoundError("git"), PermissionError("git"), subprocess.TimeoutExpired("git", 10)]
)
def test_git_that_is_missing_or_hangs_is_no_commit(repository, monkeypatch, failure):  # noqa: F811
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(commit.subprocess, "run", fail)

    assert current_commit() == Commit()


def test_a_header_takes_a_whole_commit_id_or_none():
    made = everything().header.model_dump()

    assert Header(**{**made, "commit": ""}).revision == ""
    assert Header(**{**made, "commit": "ab" * 20, "dirty": True}).revision == "ababababab+"
    for text in ("main", "AB" * 20, "ab" * 19, f"{'ab' * 20}\n"):
        with pytest.raises(ValueError, match="commit"):
            Header(**{**made, "commit": text})


def test_a_journal_of_version_5_has_no_commit_and_its_results_say_so():
    run = read_run(_sample(5))
    table = results_table(run)
    row = dict(zip(table.dtypes, table.rows[0], strict=True))

    assert (run.header.commit, run.header.dirty) == ("", False)
    assert (row["commit"], row["dirty"]) == ("", None)


def test_two_runs_of_different_commits_differ_in_it():
    made = everything().header
    other = made.model_copy(update={"commit": "ab" * 20, "dirty": True})

    assert ("commit", "1a2b3c4d5e", "ababababab+") in environment_differences(made, other)


def test_what_is_measured_is_recorded_with_its_commit(repository, monkeypatch):  # noqa: F811
    monkeypatch.setattr(measuring, "_carry_out", lambda *_: None)
    prepared = Prepared(SimpleNamespace(name="made", description=""), "name: made\n", three(), ENVIRONMENT)
    options = RunOptions(repository / "reports", repository / "reports" / "run", seed=1, timeout_s=1.0)

    measuring.measure(prepared, options, Silence())

    header = read_run(repository / "reports" / "run").header
    assert (header.commit, header.dirty) == (git(repository, "rev-parse", "old"), True)


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ("ab" * 20, Commit("cd" * 20), ["commit: ababababab there, cdcdcdcdcd here"]),
        ("ab" * 20, Commit("ab" * 20, dirty=True), ["commit: ababababab there, ababababab+ here"]),
        ("ab" * 20, Commit("ab" * 20), []),
        ("ab" * 20, Commit(), []),
        ("", Commit("ab" * 20), []),
    ],
    ids=["another", "changed files", "the same", "unknown now", "unknown then"],
)
def test_a_run_that_goes_on_with_another_commit_says_so_where_both_are_known(monkeypatch, then, now, told):
    header = everything().header.model_copy(update={"commit": then, "lnbench_version": __version__})
    monkeypatch.setattr(resuming, "current_commit", lambda: now)

    assert resuming._differences(header, header.environment, None) == told


def _sample(version):
    return Path(__file__).parent / "samples" / f"schema-{version}.jsonl"
