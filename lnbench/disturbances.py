"""When the machine held work back so hard that the turns of that moment say nothing: thresholds, and what they drop."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType

from lnbench.observed import Conditions
from lnbench.units import format_percent

MOST_STEAL = 0.25
"""The share of the cores' time that a hypervisor may give to others between two looks. Medians bear the odd stolen
tick, which is 10 ms of a window of 50; a quarter of the cores is a different machine."""

HARMFUL: Mapping[str, str] = MappingProxyType(
    {
        "hw_slowdown": "the GPU slowed itself down",
        "hw_thermal_slowdown": "the GPU was too hot",
        "sw_thermal_slowdown": "the GPU was too hot",
        "hw_power_brake_slowdown": "the power supply held the GPU back",
    }
)
"""Reasons of a GPU's driver that spoil a round. A software power cap is not among them: it is how a busy GPU runs."""

MOST_SPOILED = 1 / 3
"""The share of dropped rounds above which a case is unstable: what then remains is hardly a sample of its own kind."""

LEAST_CLEAN_ROUNDS = 3
"""Where fewer would remain in a process nothing is dropped: an interval needs three."""


def disturbance(conditions: Conditions, *, on_device: bool = False) -> str:
    """What spoiled the rounds between two looks; empty when nothing did.

    `on_device`: for times on a GPU's own clock, which leaves out the host: what its cores were withheld does not count.
    """
    steal = conditions.readings.get("steal_share", 0.0)
    if not on_device and conditions.readings.get("throttled_s", 0.0) > 0:
        return "the CPU quota of its control group was used up"
    if not on_device and steal > MOST_STEAL:
        return f"the host gave more than {format_percent(MOST_STEAL)} of the cores to others"
    return next((text for reason, text in HARMFUL.items() if reason in conditions.throttling), "")


def spoiled_rounds(
    looks: Iterable[Conditions], measured: Mapping[int, Set[int]], *, on_device: bool = False
) -> dict[int, dict[int, str]]:
    """The spoiled ones among the measured rounds of a workload, by process, each with what spoiled it first."""
    ordered = {process: sorted(rounds) for process, rounds in measured.items()}
    found: dict[int, dict[int, str]] = {}
    for look in looks:
        why = disturbance(look, on_device=on_device)
        if why and look.process in ordered:
            rounds, spoiled = ordered[look.process], found.setdefault(look.process, {})
            for number in rounds[bisect_left(rounds, look.first_round) : bisect_right(rounds, look.last_round)]:
                spoiled.setdefault(number, why)
    return found


class Spoiling:
    """What was spoiled of a run, and what follows: the rounds to drop, and the workloads that are unstable.

    `looks`: by workload. `measured`: the rounds in which cases took turns, by workload and process. `on_device`: as in
    `disturbance`.
    """

    def __init__(
        self,
        looks: Mapping[int, Iterable[Conditions]],
        measured: Mapping[tuple[int, int], Set[int]],
        *,
        on_device: bool = False,
    ) -> None:
        self._measured: dict[int, dict[int, Set[int]]] = defaultdict(dict)
        for (workload, process), rounds in measured.items():
            self._measured[workload][process] = rounds
        self._spoiled = {
            workload: spoiled_rounds(found, self._measured[workload], on_device=on_device)
            for workload, found in looks.items()
        }
        self._dropped = {
            workload: {process: self._to_drop(workload, process, rounds) for process, rounds in found.items()}
            for workload, found in self._spoiled.items()
            if found
        }

    def dropped(self, workload: int) -> Mapping[int, Set[int]]:
        """The rounds to leave out of a workload, by process."""
        return self._dropped.get(workload, {})

    def instability(self, workload: int) -> str:
        """Why a workload's times are not to be trusted; empty where they are."""
        measured = sum(map(len, self._measured.get(workload, {}).values()))
        reasons = [why for rounds in self._spoiled.get(workload, {}).values() for why in rounds.values()]
        if len(reasons) <= MOST_SPOILED * measured:
            return ""
        worst = max(sorted(set(reasons)), key=reasons.count)
        return f"{len(reasons)} of {measured} rounds were spoiled: {worst}; measure again when the machine is free"

    def _to_drop(self, workload: int, process: int, spoiled: Mapping[int, str]) -> Set[int]:
        """None where too few clean rounds would remain."""
        clean = len(self._measured[workload][process]) - len(spoiled)
        return spoiled.keys() if clean >= LEAST_CLEAN_ROUNDS else frozenset()
