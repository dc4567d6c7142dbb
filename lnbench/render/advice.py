"""What a run comes to, in a few sentences of plain text."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from lnbench.analysis.recommend import Certainty, Recommendation
from lnbench.planned import Status
from lnbench.units import format_significant
from lnbench.verdict import LEAST_PROCESSES
from lnbench.workload import Clock, Phase

MOST_PLACES = 3
"""Workloads that a sentence names one by one."""

NOTHING = "Nothing was measured that could be recommended."

_TOLD_BY_THE_TABLES = {Status.UNSUPPORTED.value, Status.SKIPPED.value}
_CAVEATS = {
    "inaccurate": "is inaccurate on hard inputs",
    "coarse-gradient": "has coarse gradients",
    "graph-break": "breaks its graph",
    "page-fault-bound": "is bound by page faults",
}
_PHASES = {
    Phase.FORWARD_BACKWARD: "A training step (forward_backward)",
    Phase.BACKWARD: "Backward",
    Phase.FORWARD: "Forward, as in training",
    Phase.INFERENCE: "Inference",
}


def sentences(recommendations: Sequence[Recommendation]) -> list[str]:
    """A sentence for each phase, function, norm mode and clock, then what has to be known beside; none for nothing."""
    kinds: dict[tuple[Phase, Clock, str, str], list[Recommendation]] = defaultdict(list)
    for it in recommendations:
        kinds[it.phase, it.clock, it.function, it.norm_mode].append(it)
    shown = [found for found in kinds.values() if any(it.use or it.unclear for it in found)]
    if not shown:
        return []
    used = [it for it in chain.from_iterable(shown) if it.use]
    return [*map(_of_kind, shown), *_few_processes(used), *_caveats(used), *_left_out(recommendations)]


def _of_kind(found: Sequence[Recommendation]) -> str:
    first = found[0]
    winners: dict[str, list[Recommendation]] = defaultdict(list)
    only: dict[str, list[Recommendation]] = defaultdict(list)
    ties: dict[tuple[str, ...], list[Recommendation]] = defaultdict(list)
    undecided: dict[str, list[Recommendation]] = defaultdict(list)
    for it in found:
        if it.is_only_one:
            only[it.use].append(it)
        elif it.is_tie:
            ties[it.fastest].append(it)
        elif it.use:
            winners[it.use].append(it)
        else:
            undecided[it.why_not].append(it)
    parts = []
    for place, (title, won) in enumerate(sorted(winners.items(), key=lambda item: -len(item[1]))):
        if place == 0:
            parts.append(f"{title} is the fastest {_function(first)} on {_share(won, found)}{_gains(won)}")
        else:
            parts.append(f"{title} at {_places(won)}{_gains(won)}")
    parts += [f"{_listed(titles)} are statistically tied at {_places(tied)}" for titles, tied in ties.items()]
    parts += [f"{title} is the only {_function(first)} measured on {_share(at, found)}" for title, at in only.items()]
    parts += [f"undecided at {_places(left)}: {why}" for why, left in undecided.items()]
    clock = {Clock.WALL: "", Clock.DEVICE: ", on the device's clock"}.get(first.clock, f", on the {first.clock} clock")
    return f"{_PHASES[first.phase]}{clock}: {'; '.join(parts)}."


def _function(it: Recommendation) -> str:
    return f"{it.function} ({it.norm_mode})" if it.norm_mode else it.function


def _share(won: Sequence[Recommendation], found: Sequence[Recommendation]) -> str:
    if len(won) == len(found):
        return {1: won[0].title, 2: "both workloads measured"}.get(len(found), f"all {len(found)} workloads measured")
    named = f" ({_places(won)})" if len(won) <= MOST_PLACES else ""
    return f"{len(won)} of {len(found)} workloads measured{named}"


def _gains(won: Sequence[Recommendation]) -> str:
    """`, 1.76x to 1.84x as fast as fused`: from the least bound to the greatest of all that were won."""
    gained: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for it in won:
        row = it.row
        if it.certainty is not Certainty.REFERENCE and row and row.speedup_low and row.speedup_high:
            gained[it.reference].append((row.speedup_low, row.speedup_high))
    texts = []
    for reference, bounds in gained.items():
        least = format_significant(min(low for low, _ in bounds), 3)
        most = format_significant(max(high for _, high in bounds), 3)
        texts.append(f"{least}x to {most}x as fast as {reference}")
    return f", {' and '.join(texts)}" if texts else ""


def _few_processes(used: Sequence[Recommendation]) -> Iterator[str]:
    if any(it.row is not None and it.row.processes < LEAST_PROCESSES for it in used):
        yield (
            f"Fewer than {LEAST_PROCESSES} processes measured this, and another process can differ by more than the "
            "intervals say: see --processes before you rely on a few percent."
        )


def _caveats(used: Sequence[Recommendation]) -> Iterator[str]:
    places: dict[tuple[str, str], list[Recommendation]] = defaultdict(list)
    for it in used:
        for notice in it.caveats:
            places[it.use, notice.code].append(it)
    for (title, code), found in places.items():
        where = _places(list({it.title: it for it in found}.values()))
        yield f"{title} {_CAVEATS.get(code, f'is {code}')} at {where}; its row says how."


def _left_out(recommendations: Sequence[Recommendation]) -> Iterator[str]:
    places: dict[tuple[str, str], dict[str, Recommendation]] = defaultdict(dict)
    for it in recommendations:
        for title, why in it.left_out:
            if why not in _TOLD_BY_THE_TABLES:
                places[title, why][it.title] = it
    every = {it.title for it in recommendations}
    told = []
    for (title, why), found in places.items():
        is_everywhere = len(found) == len(every) or why.startswith("computes ")
        where = "" if is_everywhere else f" at {_places(list(found.values()))}"
        told.append(f"{title}{where} ({why})")
    if told:
        yield f"Left out: {', '.join(told)}."


def _places(found: Sequence[Recommendation]) -> str:
    names = [it.title for it in found[:MOST_PLACES]]
    rest = len(found) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def _listed(titles: Sequence[str]) -> str:
    return f"{', '.join(titles[:-1])} and {titles[-1]}"
