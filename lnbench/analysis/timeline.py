"""What a history says: values only, made in `history` and shown by every output."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lnbench.analysis.run_points import Place, RunMark
from lnbench.conditions import Difference, setting_differences
from lnbench.planned import Status
from lnbench.sides import RowKey
from lnbench.stats import Interval
from lnbench.verdict import WORDS


@dataclass(frozen=True, slots=True)
class Point:
    """A row in one run: its log speedup over the reference, or a gap with its reason. `status` None: not planned.

    `over_copy`: the log speedup of the reference itself over the plain copy, where there was one.
    """

    status: Status | None
    reason: str
    interval: Interval | None
    over_copy: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A row that became slower or faster. `slowdown`: how much longer it takes relative to its reference, in log.

    `before`, `after`: the last run before it and the first after it, by their numbers. `earliest`, `latest`: the first
    run after it lies between these, at 95 %. `together`: what is said where the reference moved instead of the row.
    `remark`: what else may have happened, where that is open.
    """

    before: int
    after: int
    earliest: int
    latest: int
    slowdown: Interval
    p: float
    together: str = ""
    remark: str = ""

    @property
    def direction(self) -> str:
        """`slower` or `faster`."""
        return WORDS[1 if self.slowdown.estimate > 0 else -1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One row over the runs of its track. `note`: why no changes were looked for; "" where they were."""

    key: RowKey
    definition: str
    torch_versions: tuple[str, ...]
    margin: float
    points: tuple[Point, ...]
    changes: tuple[Change, ...] = ()
    note: str = ""

    @property
    def title(self) -> str:
        """The implementation with its mode, where it has one."""
        return f"{self.key.implementation} ({self.key.norm_mode})" if self.key.norm_mode else self.key.implementation

    @property
    def last(self) -> Interval | None:
        """The newest ratio."""
        return next((point.interval for point in reversed(self.points) if point.interval is not None), None)


@dataclass(frozen=True, slots=True)
class Track:
    """The rows of one workload in one place, over the runs in which it was measured there, by their numbers."""

    workload: str
    label: str
    place: Place
    runs: tuple[int, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One suite: its runs in order of time, and its tracks."""

    suite: str
    runs: tuple[RunMark, ...]
    tracks: tuple[Track, ...]

    @property
    def moments(self) -> "list[Moment]":
        """What changed when, the newest first."""
        found: dict[tuple[int, int], list[Told]] = defaultdict(list)
        for track in self.tracks:
            for series in track.series:
                for change in series.changes:
                    found[change.before, change.after].append(Told(track, series, change))
        return [Moment(*pair, tuple(found[pair])) for pair in sorted(found, key=lambda pair: pair[::-1], reverse=True)]

    @property
    def markers(self) -> "list[Marker]":
        """Where versions or settings differ from those of the run before in the same place, in order of time."""
        pairs = {pair for track in self.tracks for pair in zip(track.runs, track.runs[1:], strict=False)}
        found = [Marker(*pair, tuple(self.differences(*pair))) for pair in sorted(pairs, key=lambda pair: pair[::-1])]
        return [marker for marker in found if marker.differences]

    def differences(self, before: int, after: int) -> list[Difference]:
        """What differs between two runs, beside the commit."""
        return setting_differences(self.runs[before].settings, self.runs[after].settings)


class Told(NamedTuple):
    """A change with what it is a change of."""

    track: Track
    series: Series
    change: Change


class Moment(NamedTuple):
    """What changed between two runs, by their numbers."""

    before: int
    after: int
    told: tuple[Told, ...]


class Marker(NamedTuple):
    """Versions and settings that differ between two runs, by their numbers."""

    before: int
    after: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All suites of a folder over time. `notes`: what is to be said beside them, one sentence each."""

    sections: tuple[Section, ...]
    notes: tuple[str, ...]

    @property
    def series(self) -> Iterator[Series]:
        """Every series."""
        return (series for section in self.sections for track in section.tracks for series in track.series)
