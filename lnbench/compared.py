"""What a comparison says: values only, made in `comparison` and shown by every output."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lnbench.conditions import Difference
from lnbench.sides import RowKey
from lnbench.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One row of a comparison; None is what is not known.

    `slowdown` is head / base with its 95 % interval, above 1 is worse; between runs it is taken from times relative to
    each run's own reference. `confirmed`: None until fresh processes were asked, then whether they agreed.
    """

    workload: str
    label: str
    implementation: str
    norm_mode: str
    device: str
    phase: str
    clock: str
    margin: float
    verdict: Verdict
    reason: str
    slowdown: float | None = None
    slowdown_low: float | None = None
    slowdown_high: float | None = None
    p_slower: float | None = None
    p_faster: float | None = None
    base_processes: int = 0
    head_processes: int = 0
    base_median_s: float | None = None
    head_median_s: float | None = None
    base_speedup: float | None = None
    head_speedup: float | None = None
    confirmed: bool | None = None

    @property
    def key(self) -> RowKey:
        """What joins the row to those of the runs."""
        return RowKey(self.workload, self.implementation, self.norm_mode, self.phase, self.clock)

    @property
    def title(self) -> str:
        """The implementation with its mode, where it has one."""
        return f"{self.implementation} ({self.norm_mode})" if self.norm_mode else self.implementation


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMean:
    """The geometric mean of the slowdowns of one implementation and phase over all its workloads, with its interval."""

    title: str
    device: str
    phase: str
    clock: str
    rows: int
    slowdown: float
    slowdown_low: float | None
    slowdown_high: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Base and head compared. `notes`: what is to be said beside the rows, one sentence each.

    `busy`: a line for the top for each run during which other processes kept its machine busy.
    """

    base: str
    head: str
    rows: tuple[ComparedRow, ...]
    groups: tuple[GroupMean, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    busy: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many rows have each verdict; every verdict is there."""
        found = Counter(row.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in Verdict}
