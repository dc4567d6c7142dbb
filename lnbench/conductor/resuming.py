"""An interrupted run, read again: what is missing of it, and whether this is still the place to measure that."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lnbench import __version__
from lnbench.conditions import environment_differences
from lnbench.conductor.commit import current_commit
from lnbench.conductor.describing import describe_sources
from lnbench.conductor.known import known_implementations, with_libraries
from lnbench.conductor.loaded import Loaded, digests, loaded, with_packages
from lnbench.conductor.preparation import read_suite_text
from lnbench.errors import UsageError
from lnbench.events import Condensed, RunFinished
from lnbench.measure.environment import read_environment
from lnbench.measure.nvml import Nvml
from lnbench.plan import Known, Plan
from lnbench.planned import Environment, PlannedCase, PluginSource, Source
from lnbench.record import SCHEMA_VERSION, Header, Run
from lnbench.standing import Standing
from lnbench.store.anonymous import anonymous
from lnbench.store.place import JOURNAL_NAME
from lnbench.store.reading import journal_file, read_run


@dataclass(frozen=True)
class Resumable:
    """An interrupted run, ready to go on. `differences`: what has changed since, and was told to be no obstacle."""

    run: Run
    journal: Path
    plan: Plan
    standing: Standing
    environment: Environment
    plugins: Loaded
    differences: tuple[str, ...]
    missing_nvml: str

    @property
    def left(self) -> int:
        """How many times a process still has to measure a workload."""
        return self.standing.parts_left(range(self.plan.sampling.processes))

    @property
    def is_complete(self) -> bool:
        """True for a run that came to its end."""
        return _is_complete(self.run, self.standing)


@dataclass(frozen=True)
class Read:
    """An interrupted run, checked as far as that takes no code from outside: no plug-in was loaded."""

    run: Run
    journal: Path
    sources: tuple[Source, ...]
    standing: Standing
    environment: Environment
    differences: tuple[str, ...]
    missing_nvml: str

    @property
    def is_complete(self) -> bool:
        """True for a run that came to its end."""
        return _is_complete(self.run, self.standing)


def resume_early(folder: Path, *, plugins: Sequence[Path] = (), suite: str | None = None, force: bool = False) -> Read:
    """Read a run and check what can be checked without loading a plug-in; arguments and errors as `prepare_resume`."""
    file, run = journal_file(folder), read_run(folder)
    _refuse_what_does_not_go_on(file, run)
    files = tuple(PluginSource(path=str(path)) for path in plugins)
    header = run.header
    _require_same_plugins(header, files)
    sources = with_packages(files, {case.use for case in header.cases if case.status is None})
    nvml = Nvml()
    environment = with_libraries(read_environment(nvml), header.cases, sources)
    standing = Standing(header.workloads, header.cases, budget_s=header.sampling.budget_s)
    for event in run.events:
        standing.note(event)
    differences = () if _is_complete(run, standing) else _differences(header, environment, suite)
    if differences and not force:
        raise UsageError(
            f"{folder}: the run was measured under other conditions: {'; '.join(differences)}",
            hint="measure it anew, or add --force: its report then says what had changed",
        )
    return Read(run, file, sources, standing, environment, tuple(differences), nvml.missing)


def prepare_resume(
    folder: Path, *, plugins: Sequence[Path] = (), suite: str | None = None, force: bool = False
) -> Resumable:
    """Read a run, load its plug-ins, and see that it can go on here: same plug-ins, suite, versions and machine.

    `suite`: the one that it is said to be of. `force`: go on where suite, versions or machine have changed.
    Code comes from `plugins`, and from installed packages that have an entry point of a case's name: no path is taken
    from the journal.
    Raises JournalError for what is no run, UsageError with what differs where it can't go on.
    """
    read = resume_early(folder, plugins=plugins, suite=suite, force=force)
    header = read.run.header
    registered = describe_sources(read.sources)
    left = [case for number, case in enumerate(header.cases) if number not in read.standing.over]
    compiling = _compiling(folder, left, known_implementations(read.sources, registered))
    return Resumable(
        read.run,
        read.journal,
        Plan(header.workloads, header.cases, header.sampling, compiling),
        read.standing,
        read.environment,
        loaded(read.sources, registered),
        read.differences,
        read.missing_nvml,
    )


def _is_complete(run: Run, standing: Standing) -> bool:
    ends = [event for event in run.events if isinstance(event, RunFinished)]
    left = standing.parts_left(range(run.header.sampling.processes))
    return bool(ends) and not ends[-1].interrupted and not left


def _compiling(folder: Path, left: Sequence[PlannedCase], known: Mapping[str, Known]) -> int:
    """How many of these cases have something to compile. Raises UsageError where one is no longer what it was."""
    for case in left:
        if case.use not in known:
            hint = "name its --plugin, or install its package"
            raise UsageError(f'{folder}: this lnbench knows no implementation "{case.use}"', hint=hint)
        found = known[case.use]
        if found.obstacle is not None:
            raise UsageError(f"{folder}: {case.use} can't be measured any more: {found.obstacle[1]}")
        if found.function != case.function:
            raise UsageError(f"{folder}: {case.use} computed {case.function}, and now computes {found.function}")
    return sum(known[case.use].compiles for case in left)


def how_to_resume(folder: Path, sources: Iterable[Source]) -> str:
    """The command that goes on with a run. Files have to be given again, packages are found by what they bring."""
    files = [source.path for source in sources if isinstance(source, PluginSource)]
    options = [word for path in files for word in ("--plugin", path)]
    return " ".join(map(_quoted, ["lnbench", "run", "--resume", str(folder), *options]))


def _quoted(word: str) -> str:
    """A word as a shell takes it, also one with characters that must not be shown."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"$'{escaped}'"


def _refuse_what_does_not_go_on(file: Path, run: Run) -> None:
    header = run.header
    if header.check is not None:
        hint = "start the check anew: what it compares has to be measured within a short time"
        raise UsageError(f"{file}: a check is not resumed", hint=hint)
    if any(isinstance(event, Condensed) for event in run.events):
        raise UsageError(f"{file}: a baseline holds a whole run, made small; there is nothing to resume")
    if file.suffix == ".gz":
        raise UsageError(f"{file}: a packed journal can't be gone on with", hint=f"unpack it first: gunzip {file}")
    if file.name != JOURNAL_NAME:
        raise UsageError(f"{file}: a run goes on in its own folder", hint=f"name it {JOURNAL_NAME}, in a folder")
    if header.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"{file}: written by lnbench {header.lnbench_version} in schema version {header.schema_version}; this one "
            f"writes {SCHEMA_VERSION}",
            hint="resume it with the lnbench that began it",
        )


def _require_same_plugins(header: Header, sources: Sequence[PluginSource]) -> None:
    given = digests(sources)
    for name, digest in header.plugins.items():
        if name not in given:
            hint = "a journal names no path to load code from; add --plugin FILE"
            raise UsageError(f"the run used the plug-in {name}, which is not given", hint=hint)
        if given[name] != digest:
            hint = "another file would measure something else under the same name; measure it as a new run"
            raise UsageError(f"the plug-in {name} is not the file that the run used: its SHA-256 differs", hint=hint)
    for name in given:
        if name not in header.plugins:
            raise UsageError(f"the run used no plug-in {name}", hint="leave it out")


def _differences(header: Header, environment: Environment, suite: str | None) -> list[str]:
    """What is different here and now, with both values.

    Another commit counts where both are known: a plug-in has a digest, what it imports has none.
    """
    commit = current_commit()
    now: dict[str, object] = {"environment": environment, "lnbench_version": __version__}
    if header.commit and commit.id:
        now |= {"commit": commit.id, "dirty": commit.dirty}
    here = header.model_copy(update=now)
    as_kept = Header.model_validate_json(anonymous(here.model_dump_json()))
    found = [str(difference) for difference in environment_differences(header, as_kept)]
    if suite is not None:
        source, text = read_suite_text(suite)
        if anonymous(text) != header.suite_text:
            found.append(f"suite: {source} is not the text that the run was planned from")
    return found
