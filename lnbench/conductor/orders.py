"""Orders for workers: how each starts, and how long it may measure a workload."""

from collections.abc import Mapping
from dataclasses import dataclass

from lnbench.plan import Plan, rotation_buffers
from lnbench.planned import Environment, Source
from lnbench.standing import Standing
from lnbench.worker.protocol import Measure, Setup


@dataclass(frozen=True)
class Group:
    """Workloads that one worker process can measure: same device, allocator and threads.

    `on_graph`: by the graph clock alone, in a worker of its own, since a failed capture can spoil its process.
    """

    device: str
    allocator: str
    threads: int
    on_graph: bool = False


class Orders:
    """Orders for workers, from the plan and from where the run stands."""

    def __init__(self, plan: Plan, standing: Standing, *, environment: Environment, seed: int, energy: bool) -> None:
        self._plan = plan
        self._standing = standing
        self._environment = environment
        self._seed = seed
        self._energy = energy

    def group_of(self, number: int, *, on_graph: bool = False) -> Group:
        """The group of a workload, for the graph clock or for all others."""
        workload = self._plan.workloads[number].workload
        return Group(workload.device, workload.allocator, workload.threads, on_graph)

    def setup(self, process: int, group: Group, plugins: Mapping[int, Source]) -> Setup:
        """How a worker starts that measures a group in a process."""
        return Setup(
            process=process,
            worker=self._standing.workers,
            device=group.device,
            threads=group.threads,
            allocator=group.allocator,
            plugins=dict(plugins),
        )

    def measure(self, process: int, number: int, processes: range, *, on_graph: bool = False) -> Measure:
        """What is left to measure of a workload in one of these processes, by the graph clock or by all others."""
        planned, sampling = self._plan.workloads[number], self._plan.sampling
        begun = self._standing.begun(process, number, on_graph=on_graph)
        remaining = self._standing.remaining(process, number, on_graph=on_graph)
        return Measure(
            index=number,
            workload=planned,
            cases={case: self._plan.cases[case] for case in remaining},
            precision=sampling.precision,
            budget_s=max(sampling.budget_s - begun.spent_s, sampling.budget_s / 4),
            extra_s=self._extra_s(processes),
            first_round=self._standing.rounds(process, number),
            seed=self._seed,
            energy=self._energy and process == 0,
            pairs=rotation_buffers(planned.workload, self._environment.caches, self._environment.memory_b),
            on_graph=on_graph,
            launches={case: self._standing.launches[case] for case in remaining if case in self._standing.launches},
        )

    def cores_wanted(self, number: int) -> int:
        """The cores that a workload uses: a GPU's work is launched from one."""
        workload = self._plan.workloads[number].workload
        return 1 if workload.is_cuda else max(workload.threads, 1)

    def _extra_s(self, processes: range) -> float:
        """What a workload may spend beyond its budget: an even share of what is left for all that are to be measured.

        What one does not need is left to those after it. Confirming has as much again, unless a total was asked for.
        """
        left = self._standing.parts_left(processes)
        extra_s = self._plan.most_timed_s - self._plan.timed_s
        if processes.start and self._plan.sampling.budget_total_s is None:
            extra_s *= 2
        return max(extra_s - self._standing.extra_s, 0.0) / max(left, 1)
