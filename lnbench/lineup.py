"""Which implementations take part in a workload: the names of a suite or of the command line, resolved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from lnbench.amounts import MOST_SIZE
from lnbench.errors import SuiteError, UsageError, nearest
from lnbench.functions import DEFAULT_GROUPS, FUNCTIONS, LAST_AXES_ALONE, UNKNOWN_FUNCTION, Function
from lnbench.planned import BASE_SUFFIX, DEFAULT_MARGIN, SetAside, Status
from lnbench.selection import is_pattern, matches
from lnbench.suite import Suite
from lnbench.suite_entries import ImplementationEntry, WorkloadEntry
from lnbench.suite_fields import OptionValue
from lnbench.suite_text import Step, show
from lnbench.workload import Workload


@dataclass(frozen=True, slots=True)
class Known:
    """A registered implementation: what it computes, and the options that a suite may set, with their defaults.

    An option whose default is None takes any scalar, one in `choices` those words alone. `groups` is an option of every
    function that has groups. `compiles`: building it takes seconds rather than a moment. `obstacle`: why it can't be
    built here, on whatever workload. `devices`: the kinds that it runs on, where not on all. `norm_axes`: it normalizes
    other axes than the last ones too. `libraries`: the distributions beside PyTorch that its code is from. `function`
    is "" where that is not known, because its package could not be loaded, or was not; then there is an obstacle, and
    it takes any option.
    """

    function: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    choices: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    compiles: bool = False
    obstacle: tuple[SetAside, str] | None = None
    devices: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    norm_axes: bool = True

    def obstacle_to(self, workload: Workload) -> tuple[SetAside, str] | None:
        """Status and reason where it can't do a workload, as far as is known beforehand; None where it can."""
        if self.devices and workload.device.partition(":")[0] not in self.devices:
            return Status.SKIPPED, runs_only_on(self.devices)
        if workload.norm_axes and not self.norm_axes and self.obstacle is None:
            return Status.UNSUPPORTED, LAST_AXES_ALONE
        return self.obstacle


NOT_LOADED = "what registers it was not loaded"
"""The reason of a case whose plug-in or package is loaded later, if at all."""


def runs_only_on(devices: Sequence[str]) -> str:
    """That something runs on these kinds of device and on no other, in words."""
    return f"runs on {' and '.join({'cpu': 'the CPU', 'cuda': 'CUDA'}[device] for device in devices)} only"


@dataclass(frozen=True, slots=True)
class Entrant:
    """An implementation in one norm mode, ready to be put on any workload of its suite entry.

    `reference`: what it is compared with, where that is not the workload's. `margin`: the slowdown to let pass.
    """

    implementation: str
    use: str
    function: Function
    norm_mode: str
    options: Mapping[str, OptionValue]
    groups: int | None
    margin: float = DEFAULT_MARGIN
    reference: str = ""


@dataclass(frozen=True, slots=True)
class _Declared:
    """An entry of a list, with the path where it stands."""

    entry: ImplementationEntry
    path: tuple[Step, ...]


def line_up(
    suite: Suite, number: int, *, known: Mapping[str, Known], chosen: Sequence[str] = ()
) -> tuple[str, tuple[Entrant, ...]]:
    """The reference of workload entry `number`, and all that take part in it, the reference among them.

    `chosen`: names from the command line, which replace the suite's list; each is a name shown in that list, or a
    registered one. Where the suite names no reference it is the first of its list.
    Raises SuiteError for a name or option of the file that is not known, UsageError for one of `chosen`.
    """
    own = suite.workloads[number]
    listed = list(_declared(suite, number))
    reference = _reference(suite, number, listed)
    shown = {declared.entry.name: declared for declared in (*_all_declared(suite), *listed)}
    if chosen:
        for name in chosen:
            if name not in shown and name not in known:
                raise UsageError(
                    f"--implementation: unknown implementation {show(name)}", hint=nearest(name, {*shown, *known})
                )
        listed = [shown.get(name) or _Declared(ImplementationEntry(use=name), ()) for name in dict.fromkeys(chosen)]
    if reference not in {declared.entry.name for declared in listed}:
        path: tuple[Step, ...] = ("workloads", number, "reference") if own.reference else ("reference",)
        if reference not in shown and reference not in known:
            place = suite.place(*path)
            raise SuiteError(f"{place}: unknown reference {show(reference)}", hint=nearest(reference, {*shown, *known}))
        listed.insert(0, shown.get(reference) or _Declared(ImplementationEntry(use=reference), path))
    return reference, tuple(
        entrant for declared in listed for entrant in _entrants(suite, number, declared, known=known)
    )


def _reference(suite: Suite, number: int, listed: Sequence[_Declared]) -> str:
    """The reference's name in workload entry `number`: the first of its list where the suite names none."""
    return suite.workloads[number].reference or suite.reference or listed[0].entry.name


def used_names(suite: Suite, *, chosen: Sequence[str] = ()) -> frozenset[str]:
    """The registered names behind all that can take part: what is chosen, or the suite's lists, and the references."""
    used: dict[str, set[str]] = {}
    for declared in _all_declared(suite):
        used.setdefault(declared.entry.name, set()).add(declared.entry.use)
    references = (_reference(suite, number, tuple(_declared(suite, number))) for number in range(len(suite.workloads)))
    names = [*(chosen or used), *references]
    return frozenset(use for name in names for use in used.get(name, {name}))


def not_loaded(suite: Suite, *, chosen: Sequence[str] = ()) -> dict[str, Known]:
    """The registered names that can take part, each as that of a plug-in which is not loaded yet."""
    return dict.fromkeys(used_names(suite, chosen=chosen), Known("", obstacle=(Status.SKIPPED, NOT_LOADED)))


def line_up_sides(
    suite: Suite, number: int, *, known: Mapping[str, Known], names: Sequence[str]
) -> tuple[str, tuple[Entrant, ...]]:
    """The old and the new version of each of these implementations alone; the first old one is the reference.

    Entries of the suite that use one keep their own name and options, and the old version has the same.
    Raises SuiteError for an option that either version does not take.
    """
    entrants: list[Entrant] = []
    for name in names:
        listed = [declared for declared in _declared(suite, number) if declared.entry.use == name]
        for declared in listed or [_Declared(ImplementationEntry(use=name), ())]:
            for new in _entrants(suite, number, declared, known=known):
                old = replace(new, implementation=f"{new.implementation}{BASE_SUFFIX}", use=f"{new.use}{BASE_SUFFIX}")
                for option, value in declared.entry.options.items():
                    place = suite.place(*declared.path, "options", option)
                    _check_option(option, value, known[old.use], owner=old.use, place=place)
                entrants += [replace(it, reference=old.implementation) for it in (old, new)]
    return entrants[0].reference, tuple(entrants)


def _margin(suite: Suite, number: int, name: str) -> float:
    """The slowdown that a verdict about an implementation lets pass: as the workload says, else the suite."""
    for thresholds in (suite.workloads[number].thresholds, suite.thresholds):
        if not isinstance(thresholds, dict):
            return thresholds
        patterns = sorted(thresholds, key=lambda pattern: (pattern != name, pattern))
        found = next((thresholds[pattern] for pattern in patterns if matches(name, (pattern,))), None)
        if found is not None:
            return found
    return DEFAULT_MARGIN


def check_names(suite: Suite, *, known: Mapping[str, Known]) -> None:
    """Raise SuiteError where `exclude` or `thresholds` speak of an implementation or function that does not exist."""
    names = {*known, *(declared.entry.name for declared in _all_declared(suite))}
    owners: list[tuple[tuple[Step, ...], Suite | WorkloadEntry]] = [((), suite)]
    owners += [(("workloads", number), entry) for number, entry in enumerate(suite.workloads)]
    for path, owner in owners:
        for name in owner.thresholds if isinstance(owner.thresholds, dict) else ():
            _require("implementation", name, names, suite.place(*path, "thresholds", name))
        for row, rule in enumerate(owner.exclude):
            for column, allowed in ("implementation", names), ("function", set(FUNCTIONS)):
                for item, name in enumerate(rule.patterns.get(column, ())):
                    _require(column, name, allowed, suite.place(*path, "exclude", row, column, item))


def _require(what: str, name: str, allowed: set[str], place: str) -> None:
    if name not in allowed and not is_pattern(name):
        raise SuiteError(f"{place}: unknown {what} {show(name)}", hint=nearest(name, allowed))


def _declared(suite: Suite, number: int) -> Iterator[_Declared]:
    """The list of a workload entry, which is the suite's where it has none of its own."""
    own = suite.workloads[number].implementations
    path: tuple[Step, ...] = ("workloads", number, "implementations") if own else ("implementations",)
    return (_Declared(entry, (*path, item)) for item, entry in enumerate(own or suite.implementations))


def _all_declared(suite: Suite) -> Iterator[_Declared]:
    for number in range(len(suite.workloads)):
        yield from _declared(suite, number)
    for item, entry in enumerate(suite.implementations):
        yield _Declared(entry, ("implementations", item))


def _entrants(suite: Suite, number: int, declared: _Declared, *, known: Mapping[str, Known]) -> Iterator[Entrant]:
    """A list's entry in each of its norm modes."""
    entry = declared.entry
    if entry.use not in known:
        place = suite.place(*declared.path, "use")
        raise SuiteError(f"{place}: unknown implementation {show(entry.use)}", hint=nearest(entry.use, known))
    margin = _margin(suite, number, entry.name)
    if not known[entry.use].function:
        yield Entrant(entry.name, entry.use, UNKNOWN_FUNCTION, "", dict(entry.options), None, margin)
        return
    function = FUNCTIONS[known[entry.use].function]
    for name, value in entry.options.items():
        place = suite.place(*declared.path, "options", name)
        _check_option(name, value, known[entry.use], owner=entry.use, place=place)
    options, groups = dict(entry.options), None
    if function.has_groups:
        groups = int(options.pop("groups", DEFAULT_GROUPS))
        if groups < 1:
            raise SuiteError(f"{suite.place(*declared.path, 'options', 'groups')}: must be at least 1, found {groups}")
        if groups > MOST_SIZE:
            place = suite.place(*declared.path, "options", "groups")
            raise SuiteError(f"{place}: must be at most {MOST_SIZE}, found {groups}")
    for mode in suite.workloads[number].norm_modes if function.norm_modes else ("",):
        yield Entrant(entry.name, entry.use, function, mode, options, groups, margin)


def _check_option(name: str, value: OptionValue, known: Known, *, owner: str, place: str) -> None:
    """Raise SuiteError for an option that an implementation does not have, or a value that is not of its kind."""
    function = FUNCTIONS.get(known.function, UNKNOWN_FUNCTION)
    accepted = {**known.options, **({"groups": DEFAULT_GROUPS} if function.has_groups else {})}
    if name not in accepted:
        hint = nearest(name, accepted) if accepted else "it takes none"
        raise SuiteError(f"{place}: {show(owner)} has no such option", hint=hint)
    if not _is_like(value, accepted[name]):
        raise SuiteError(f"{place}: {show(value)} does not fit", hint=f"the default is {show(accepted[name])}")
    if name in known.choices and value not in known.choices[name]:
        raise SuiteError(f"{place}: unknown {name} {show(value)}", hint=nearest(str(value), known.choices[name]))


def _is_like(value: object, default: object) -> bool:
    """True when an option's value is of its default's kind; whole numbers do for floats."""
    if default is None:
        return True
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
