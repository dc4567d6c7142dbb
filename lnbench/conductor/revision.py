"""The old version of a plug-in: a file, or a file of a git revision whose whole tree is exported beside it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lnbench.conductor.git import complaint, run_git
from lnbench.conductor.loaded import require_python_name
from lnbench.errors import PluginError, UsageError, nearest
from lnbench.planned import PluginSource

_GIT = "git:"


@dataclass(frozen=True, slots=True)
class Against:
    """What `--against` names: a file, of a git revision if one is given, and one implementation of it ("" for all)."""

    file: str
    revision: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """The old and the new file, each with its tree, and the commit of the old one where git told it."""

    base: PluginSource
    heads: tuple[PluginSource, ...]
    commit: str = ""


def parse_against(text: str) -> Against:
    """FILE, FILE:NAME, git:REVISION:FILE or git:REVISION:FILE:NAME; an existing path is a path, whatever is in it.

    Raises UsageError for anything else.
    """
    if not Path(text).exists() and text.startswith(_GIT):
        parts = text.removeprefix(_GIT).split(":")
        if len(parts) not in {2, 3} or not all(parts):
            raise UsageError(f'--against: "{text}" is not git:REVISION:FILE', hint="as in git:main:my_norms.py")
        if parts[0].startswith("-"):
            raise UsageError(f'--against: "{parts[0]}" is no revision')
        return Against(parts[1], *[parts[0], *parts[2:]])
    file, colon, name = text.rpartition(":")
    if Path(text).exists() or not colon:
        return Against(text)
    if not (file and name):
        raise UsageError(f'--against: "{text}" is not FILE or FILE:NAME', hint="as in old/my_norms.py:my_norm")
    return Against(file, name=name)


@contextmanager
def both_sides(against: Against, plugins: Sequence[Path]) -> Iterator[Sides]:
    """The files of both sides, as long as the context lasts.

    Without plug-ins the new side of a revision's file is the same file in the working tree.
    Raises UsageError, or PluginError for a file that is not there.
    """
    if not against.revision:
        yield _two_files(against, plugins)
        return
    top, commit, inside, heads = _revision_and_heads(against, plugins)
    with tempfile.TemporaryDirectory(prefix="lnbench-base-") as folder:
        exported = Path(folder, "tree")
        _export(commit, exported, index=Path(folder, "index"), top=top)
        yield Sides(
            PluginSource(path=str(exported / inside), tree=str(exported), is_base=True),
            tuple(PluginSource(path=str(it), tree=str(top) if _is_below(it, top) else "") for it in heads),
            commit,
        )


def files_of_both_sides(against: Against, plugins: Sequence[Path]) -> tuple[PluginSource, ...]:
    """The files of both sides that exist before a revision is exported. Raises as `both_sides` does."""
    if not against.revision:
        sides = _two_files(against, plugins)
        return sides.base, *sides.heads
    _, _, inside, heads = _revision_and_heads(against, plugins)
    require_python_name(Path(inside))
    return tuple(PluginSource(path=str(path)) for path in heads)


def _two_files(against: Against, plugins: Sequence[Path]) -> Sides:
    if not plugins:
        raise UsageError(
            "--against: the new version is not named",
            hint=f"add --plugin NEW_FILE, beside --against {against.file}",
        )
    return Sides(PluginSource(path=against.file, is_base=True), tuple(PluginSource(path=str(it)) for it in plugins))


def _revision_and_heads(against: Against, plugins: Sequence[Path]) -> tuple[Path, str, str, tuple[Path, ...]]:
    """The repository's top folder, the revision's commit, the file's path in it, and the files of the new side."""
    top, commit = Path(_git("rev-parse", "--show-toplevel")), _commit(against.revision)
    inside = _path_in(against, commit, top=top)
    return top, commit, inside, tuple(plugins) or (Path(os.path.relpath(top / inside)),)


def _is_below(path: Path, top: Path) -> bool:
    return path.resolve().is_relative_to(top.resolve())


def _commit(revision: str) -> str:
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except UsageError:
        raise UsageError(
            f'--against: git knows no revision "{revision}" here',
            hint=f"a shallow clone has only its own: fetch more of it, as in `git fetch origin {revision}`",
        ) from None


def _path_in(against: Against, commit: str, *, top: Path) -> str:
    """The file's path in the revision: as it is written, else as it lies relative to the current folder."""
    files = _git("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0")
    here = os.path.relpath(Path.cwd().resolve() / against.file, top.resolve())
    for path in (os.path.normpath(against.file), os.path.normpath(here)):
        if path in files:
            return path
    raise PluginError(
        f'--against: revision "{against.revision}" has no file {against.file}',
        hint=nearest(against.file, [file for file in files if file.endswith(".py")]),
    )


def _export(commit: str, folder: Path, *, index: Path, top: Path) -> None:
    """Write a revision's whole tree into a folder. (`git archive` would leave out what is marked export-ignore.)"""
    folder.mkdir()
    _git("read-tree", commit, index=index, cwd=top)
    _git("checkout-index", "--all", f"--prefix={folder}/", index=index, cwd=top)


def _git(*arguments: str, index: Path | None = None, cwd: Path | None = None) -> str:
    """What git prints, without the end of its last line. Raises UsageError with what git says is wrong."""
    try:
        done = run_git(*arguments, index=index, cwd=cwd)
    except FileNotFoundError:
        raise UsageError("--against git:...: git is not installed") from None
    if done.returncode:
        what, advice = complaint(done.stderr)
        raise UsageError(f"--against git:...: {what}", hint=advice)
    return os.fsdecode(done.stdout).removesuffix("\n")
