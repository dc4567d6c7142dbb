"""git answers for the repository of the current folder, whoever started lnbench, in whatever language and encoding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_conductor_revision import git, repository  # noqa: F401  (a fixture)

from lnbench.conductor.commit import Commit, current_commit
from lnbench.conductor.git import complaint, git_environment
from lnbench.conductor.revision import both_sides, parse_against
from lnbench.errors import PluginError, UsageError

HOOK = """#!/bin/sh
env > "$SEEN"
"""
"""A hook that writes down what git gives it."""


@pytest.fixture
def worktree(repository, tmp_path, monkeypatch):  # noqa: F811
    """A linked worktree of the repository, at its old revision, with a subfolder to be in."""
    folder = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(folder), "old")
    monkeypatch.chdir(folder / "pack")
    return folder


def environment_of_hook(repository, worktree, tmp_path):  # noqa: F811
    """What git sets for a hook, beside what was set before."""
    (repository / ".git" / "hooks").mkdir(exist_ok=True)
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    seen = tmp_path / "seen"
    os.environ["SEEN"] = str(seen)
    try:
        git(worktree, "commit", "--allow-empty", "-qm", "new")
    finally:
        del os.environ["SEEN"]
    told = dict(line.partition("=")[::2] for line in seen.read_text().splitlines())
    return {name: value for name, value in told.items() if name.startswith("GIT_") and "_NAME" not in name}


def exported(text="git:old:inner.py"):
    with both_sides(parse_against(text), []) as sides:
        return Path(sides.base.path).read_text(), Path(sides.heads[0].path).read_text()


def test_a_hook_of_a_linked_worktree_finds_what_the_same_command_finds_by_hand(
    repository,  # noqa: F811
    worktree,
    tmp_path,
    monkeypatch,
):
    by_hand = exported(), current_commit()
    told = environment_of_hook(repository, worktree, tmp_path)
    git(worktree, "reset", "-q", "--soft", "old")
    assert "GIT_DIR" in told
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    assert (exported(), current_commit()) == by_hand


@pytest.mark.parametrize(
    "name",
    [
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_SHALLOW_FILE"),
    ],
)
def test_what_points_to_another_repository_is_left_out(repository, tmp_path, monkeypatch, name):  # noqa: F811
    monkeypatch.chdir(repository / "pack")
    here = exported(), current_commit()
    monkeypatch.setenv(name, str(tmp_path / "elsewhere"))

    assert (exported(), current_commit()) == here


def test_every_variable_that_git_calls_local_is_left_out_but_settings():
    names = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout

    kept = git_environment(dict.fromkeys([*names.split(), "GIT_CONFIG_KEY_0", "GIT_SSH_COMMAND"], "x"))

    assert {name for name in kept if name.startswith("GIT_")} == {
        *("GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0"),
        *("GIT_SSH_COMMAND", "GIT_TERMINAL_PROMPT"),
    }


def test_a_directory_that_settings_call_safe_stays_so(repository, monkeypatch):  # noqa: F811
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as of a checkout that another user of a container made
    with pytest.raises(UsageError, match="detected dubious ownership in repository") as caught:
        exported("git:old:norms.py")
    assert "git config --global --add safe.directory" in caught.value.hint

    for name, value in (("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", "*")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)

    assert exported("git:old:norms.py") == ("OLD\n", "NEW\n")


@pytest.mark.parametrize("language", ["de_DE.UTF-8", "zh_CN.UTF-8", "fr_FR", "C"])
def test_git_is_asked_to_speak_english(tmp_path, monkeypatch, language):
    made = tmp_path / "bin" / "git"
    made.parent.mkdir()
    made.write_text('#!/bin/sh\necho "fatal: $LC_ALL$LANGUAGE" >&2\nexit 1\n')
    made.chmod(0o755)
    monkeypatch.setenv("PATH", f"{made.parent}:{os.environ['PATH']}")
    for name in ("LC_ALL", "LANG", "LANGUAGE", "LC_MESSAGES"):
        monkeypatch.setenv(name, language)

    with pytest.raises(UsageError) as caught:
        exported()

    assert caught.value.message == "--against git:...: C"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no UTF-8")
def test_file_names_in_any_encoding_are_in_nobody_s_way(repository):  # noqa: F811
    for name in (b"caf\xe9.py", b" leading.py", "日本.py".encode(), b"new\nline.py"):
        Path(os.fsdecode(os.fsencode(repository) + b"/" + name)).write_text("OTHER\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "other names")

    assert exported("git:HEAD: leading.py") == ("OTHER\n", "OTHER\n")
    assert exported("git:HEAD:日本.py") == ("OTHER\n", "OTHER\n")
    with pytest.raises(PluginError, match=r"has no file none\.py"):
        exported("git:HEAD:none.py")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"fatal: not a git repository: .git\n", ("not a git repository: .git", "")),
        (b"trace: built-in\nerror: one\nhint: do this\nhint: or that\n", ("one", "do this or that")),
        (b"fatal: caf\xe9\n", ("caf\N{REPLACEMENT CHARACTER}", "")),
        (b"something else\nat last\n", ("at last", "")),
        (b"", ("git failed", "")),
    ],
)
def test_of_what_git_says_the_reason_is_told_and_its_advice_is_the_hint(said, told):
    assert complaint(said) == told


def test_without_a_repository_there_is_no_commit_whatever_the_environment_names(repository, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))

    assert current_commit() == Commit()
