"""The old version of a plug-in: parsed from the command line, and exported from a revision with its whole tree."""

import os
import subprocess
from pathlib import Path

import pytest

from lnbench.conductor.revision import Against, both_sides, parse_against
from lnbench.errors import PluginError, UsageError


def git(folder: Path, *arguments: str) -> str:
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    names = {f"GIT_{who}_{what}": "someone@nowhere" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **identity, **names},
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with an old revision, tagged `old`, and a changed working tree."""
    folder = tmp_path / "project"
    (folder / "pack").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    (folder / ".gitattributes").write_text("kernels.py export-ignore\n")
    (folder / "norms.py").write_text("OLD\n")
    (folder / "kernels.py").write_text("OLD KERNELS\n")
    (folder / "pack" / "inner.py").write_text("OLD INNER\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "old")
    git(folder, "tag", "old")
    for name in ("norms.py", "kernels.py", "pack/inner.py"):
        (folder / name).write_text("NEW\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("old/norms.py", Against("old/norms.py")),
        ("old/norms.py:fast", Against("old/norms.py", name="fast")),
        ("git:main:norms.py", Against("norms.py", "main")),
        ("git:main~2:src/norms.py:fast", Against("src/norms.py", "main~2", "fast")),
    ],
)
def test_what_against_names_is_told_apart(text, expected):
    assert parse_against(text) == expected


def test_an_existing_path_is_a_path_whatever_is_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("git:main:norms.py").write_text("")
    Path("norms.py:old").write_text("")

    assert parse_against("git:main:norms.py") == Against("git:main:norms.py")
    assert parse_against("norms.py:old") == Against("norms.py:old")


@pytest.mark.parametrize("text", ["git:main", "git::norms.py", "git:--upload-pack=x:norms.py", ":name", "norms.py:"])
def test_what_names_no_file_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--against"):
        parse_against(text)


def test_a_revision_s_whole_tree_is_exported_also_what_an_archive_would_leave_out(repository):
    with both_sides(parse_against("git:old:norms.py"), []) as sides:
        tree = Path(sides.base.tree)
        texts = [(tree / name).read_text() for name in ("norms.py", "kernels.py", "pack/inner.py")]

    assert texts == ["OLD\n", "OLD KERNELS\n", "OLD INNER\n"]
    assert sides.base.is_base
    assert sides.commit == git(repository, "rev-parse", "old")
    assert not tree.exists()


def test_without_a_plug_in_the_new_side_is_the_same_file_of_the_working_tree(repository):
    with both_sides(parse_against("git:old:norms.py"), []) as sides:
        (head,) = sides.heads

    assert Path(head.path).resolve() == repository / "norms.py"
    assert Path(head.tree) == repository
    assert not head.is_base


def test_a_path_may_be_relative_to_the_current_folder(repository, monkeypatch):
    monkeypatch.chdir(repository / "pack")

    with both_sides(parse_against("git:old:inner.py"), []) as sides:
        assert Path(sides.base.path).read_text() == "OLD INNER\n"
        assert Path(sides.heads[0].path).read_text() == "NEW\n"


def test_exporting_leaves_the_repository_as_it_was(repository):
    (repository / "staged.py").write_text("STAGED\n")
    git(repository, "add", "staged.py")
    before = git(repository, "status", "--porcelain")

    with both_sides(parse_against("git:old:norms.py"), []):
        assert git(repository, "status", "--porcelain") == before


def test_an_unknown_revision_is_named_with_what_to_do(repository):
    with (
        pytest.raises(UsageError, match='no revision "nowhere"') as caught,
        both_sides(Against("norms.py", "nowhere"), []),
    ):
        pass

    assert "git fetch origin nowhere" in caught.value.hint


def test_a_path_that_the_revision_has_not_is_named_with_the_nearest(repository):
    with (
        pytest.raises(PluginError, match=r'revision "old" has no file norm\.py') as caught,
        both_sides(Against("norm.py", "old"), []),
    ):
        pass

    assert "norms.py" in caught.value.hint


def test_outside_of_a_repository_there_are_no_revisions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    with pytest.raises(UsageError, match="not a git repository"), both_sides(Against("norms.py", "main"), []):
        pass


def test_a_plain_file_needs_the_new_version_named():
    with pytest.raises(UsageError, match="the new version is not named") as caught, both_sides(Against("old.py"), []):
        pass

    assert "--plugin" in caught.value.hint
