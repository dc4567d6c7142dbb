"""What a check comes to: rows that looked slower are judged by fresh processes alone, and all together pass or not.

A row that looked slower never passes unless fresh processes found it the same or faster.
"""

from dataclasses import dataclass, replace

from lnbench.compared import ComparedRow, Comparison
from lnbench.comparison import busy_lines
from lnbench.errors import ExitCode, most_telling
from lnbench.evidence import Evidence
from lnbench.exit_reasons import exit_reasons
from lnbench.multiplicity import false_discovery
from lnbench.record import Run
from lnbench.settling import moves_beside_rows, settle
from lnbench.stages import checked, judge_in_two_stages, stages_of, unconfirmed
from lnbench.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """A check's rows, and each exit code that applies with the sentence that says why."""

    comparison: Comparison
    findings: tuple[tuple[ExitCode, str], ...]

    @property
    def exit_code(self) -> ExitCode:
        """The one that tells most."""
        return most_telling(code for code, _ in self.findings)

    @property
    def regressions(self) -> tuple[ComparedRow, ...]:
        """The rows that fresh processes confirmed to be slower."""
        return tuple(row for row in self.comparison.rows if row.verdict is Verdict.SLOWER)

    @property
    def headline(self) -> str:
        """The sentence that says most."""
        return next(text for code, text in self.findings if code is self.exit_code)


def decide(run: Run) -> Decision:
    """The decision about a check from its journal alone. Raises ValueError for a run that is no check."""
    check, evidence = checked(run), Evidence(run)
    screening, fresh = stages_of(check, run)
    rows = list(screening.comparison.rows)
    if fresh is not None:
        shares_base = check.baseline is not None
        rows = judge_in_two_stages(rows, screening.contrasts, fresh.contrasts, shares_base=shares_base)
    rows = [unconfirmed(row, screening.crowded_out.get(row.key, "")) for row in rows]
    settled = settle(rows, screening.groups, fresh.groups if fresh is not None else {})
    comparison = replace(
        screening.comparison,
        rows=tuple(settled.rows),
        notes=(*settled.notes, *screening.comparison.notes),
        busy=busy_lines(screening.base_evidence, evidence),
    )
    moves = [*settled.moves, *moves_beside_rows(screening, fresh)]
    still = fresh.crowded_out if fresh is not None else {}
    hidden = {key: still.get(key, lost) for key, lost in screening.crowded_out.items()}
    return Decision(comparison, tuple(exit_reasons(evidence, check, comparison, moves, hidden)))


def cases_to_confirm(run: Run) -> frozenset[int]:
    """The cases of a screened check to measure again in fresh processes.

    Of two versions: those that looked slower in some row, or undecided ones of which a busy machine took more than of
    the old version, and what they are compared with. Against a baseline: all cases of the workloads with such a row, or
    in which everything looked slower. Among fewer neighbours than in the baseline a case can be 3 % off
    (`benchmarks/hot.py`), and rows that stay the same show that the reference did.
    """
    check = checked(run)
    screening, _ = stages_of(check, run)
    flagged = screening.flagged
    if check.baseline is not None:
        names = {row.workload for row in flagged} | {place.workload for place in screening.moves(false_discovery)}
        return frozenset(
            number for number, case in enumerate(run.header.cases) if run.header.workloads[case.workload].id in names
        )
    side, found = Evidence(run), set()
    keys = {tuple(row.key[:3]) for row in flagged}
    for number, case in enumerate(run.header.cases):
        if tuple(run.key(case)) in keys:
            found |= {number, side.reference(number)}
    return frozenset(number for number in found if number is not None)
