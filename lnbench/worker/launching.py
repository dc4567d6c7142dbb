"""What launching costs a case on a GPU, from calls of its own after it was timed: host time, kernels, kernel time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from lnbench.implementations.contract import Prepared
from lnbench.measure.event_timer import EventClock, Part
from lnbench.measure.host_overhead import host_overhead_s
from lnbench.measure.kernels import KernelUse, Profiler, kernel_use
from lnbench.observed import Launching
from lnbench.planned import Stage
from lnbench.worker.calls import Kind, gradients_for, kinds_for
from lnbench.worker.cases import Cases, describe
from lnbench.workload import Phase

NO_KERNELS = "torch.profiler saw no kernel; CUPTI is missing, or another profiler holds it"


def measure_launching(cases: Cases, clock: EventClock, *, phases: Collection[Phase], profiler: Profiler | None) -> None:
    """Report, for every live case, the host's time to enqueue a call; with a profiler also its kernels.

    Work on a stream of another framework has no host time here, since no spin holds that; its kernels are seen. Host
    times of all cases come first: once CUPTI has looked on it stays attached, and launches take longer.
    """
    live, is_cuda = list(cases.live.items()), cases.workload.is_cuda
    uses = {number: _Found() for number, _ in live}
    for number, case in live:
        with cases.attempt(number, Stage.LAUNCHING):
            for kind in kinds_for(phases, case.prepared, on_cuda=is_cuda) if case.prepared.on_torch_stream else ():
                with gradients_for(case.prepared, kind):
                    uses[number].add_host(host_overhead_s(clock, _parts(case.prepared, kind)))
                _renew(case.prepared)
    problem, sees_kernels = "", profiler is None
    for number, case in list(cases.live.items()):
        with cases.attempt(number, Stage.LAUNCHING):
            found = uses[number]
            for kind in kinds_for(phases, case.prepared, on_cuda=is_cuda):
                if profiler is None:
                    break
                with gradients_for(case.prepared, kind):
                    try:
                        found.add_kernels(kernel_use(profiler, _parts(case.prepared, kind)))
                    # The calls have run before: what fails now is the profiler, and its figures are not needed.
                    except Exception as error:
                        profiler, problem = None, describe(error)
                _renew(case.prepared)
            cases.report(found.event(cases.process, number, phases))
            sees_kernels = sees_kernels or bool(found.kernels)
    problem = problem or ("" if sees_kernels else NO_KERNELS)
    if problem and cases.live:
        some = "some kernel times" if sees_kernels else "kernel times"
        cases.notice(None, "no-kernel-times", f"{some} were not measured: {problem}")


def _renew(prepared: Prepared) -> None:
    """Fill a dy that backward has written into."""
    if prepared.renew_dy is not None:
        prepared.renew_dy()


T = TypeVar("T")


@dataclass
class _Found:
    host_s: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, KernelUse] = field(default_factory=dict)

    def add_host(self, seconds: Mapping[str, float]) -> None:
        self.host_s |= _with_whole(seconds, sum(seconds.values()))

    def add_kernels(self, found: Mapping[str, KernelUse]) -> None:
        uses = found.values()
        whole = KernelUse(sum(use.seconds for use in uses), sum(use.launches for use in uses))
        self.kernels |= _with_whole(found, whole)

    def event(self, process: int, number: int, phases: Collection[Phase]) -> Launching:
        wanted = [phase for phase in phases if phase in self.host_s or phase in self.kernels]
        return Launching(
            process=process,
            case=number,
            host_overhead_s={phase: self.host_s[phase] for phase in wanted if phase in self.host_s},
            kernel_s={phase: self.kernels[phase].seconds for phase in wanted if phase in self.kernels},
            launches={phase: self.kernels[phase].launches for phase in wanted if phase in self.kernels},
        )


def _with_whole(parts: Mapping[str, T], whole: T) -> dict[str, T]:
    """The parts of a step with the whole of it; of what has one part alone just that."""
    return dict(parts) if len(parts) < 2 else {**parts, Phase.FORWARD_BACKWARD.value: whole}


def _parts(prepared: Prepared, kind: Kind) -> dict[str, Part]:
    """The parts of a kind of call, by their phases."""
    if kind is Kind.INFERENCE:
        return {Phase.INFERENCE.value: lambda _: prepared.inference()}
    if kind is Kind.ONE_PIECE:
        step = prepared.forward_backward
        assert step is not None  # only such cases have this kind
        return {Phase.FORWARD_BACKWARD.value: lambda _: step()}
    return {Phase.FORWARD.value: lambda _: prepared.forward(), Phase.BACKWARD.value: prepared.backward}
