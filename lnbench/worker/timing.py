"""By what the cases of a workload are timed: the sampler of its device and clocks, and the probe beside them."""

from dataclasses import dataclass

from lnbench.measure.batch import BatchSampler, BatchTimer
from lnbench.measure.cuda import CudaSampler, TorchEventClock
from lnbench.measure.event_timer import EventClock, EventTimer
from lnbench.measure.graph_sampler import GraphSampler
from lnbench.measure.graphs import TorchCapturer, l2_bytes
from lnbench.measure.probe import Probe
from lnbench.measure.sampler import Copies, HostSampler, Rotation, Sampler
from lnbench.worker.captured import CapturedCopies
from lnbench.worker.capturing import FreshGradients, capture_all, check_replays
from lnbench.worker.cases import Cases
from lnbench.worker.graph_sizes import graph_size
from lnbench.worker.protocol import Measure
from lnbench.workload import Cache, Clock

_COPY_NODES = 2
"""Kernels of the probe's longest copy."""


@dataclass(frozen=True, slots=True)
class Timing:
    """`clock`: the one that decides when the rounds may stop. `events`: a GPU's stream; None on the CPU."""

    sampler: Sampler
    probe: Copies
    clock: Clock
    events: EventClock | None = None


def timing_of(order: Measure, cases: Cases) -> Timing:
    """What times the live cases of an order.

    For the graph clock they are captured and verified here, and those that can't be end; raises SpoiledProcessError
    where that may have left the process unusable.
    """
    planned, workload = order.workload, order.workload.workload
    is_cold, probe = workload.cache != Cache.HOT, Probe(*cases.arrays.dense())
    if not workload.is_cuda:
        rotation = Rotation(order.pairs, seed=order.seed) if is_cold else None
        return Timing(HostSampler(rotation=rotation), probe, Clock.WALL)
    events = TorchEventClock(workload.device)
    timer = EventTimer(events, cold=is_cold)
    if order.on_graph:
        return _on_graph(order, cases, probe, events, empty_pair_s=timer.empty_pair_s)
    sampler: Sampler = CudaSampler(events, cold=is_cold, timer=timer)
    if Clock.BATCH in planned.clocks and not is_cold:
        sampler = BatchSampler(sampler, BatchTimer(events, empty_pair_s=timer.empty_pair_s))
    return Timing(sampler, probe, Clock.DEVICE, events)


def _on_graph(order: Measure, cases: Cases, probe: Copies, events: EventClock, *, empty_pair_s: float) -> Timing:
    workload = order.workload.workload
    capturer, l2_b = TorchCapturer(workload.device), l2_bytes(workload.device)
    capture_all(cases, capturer, phases=order.workload.phases, l2_b=l2_b, launches=order.launches)
    check_replays(cases, "before")
    copies = CapturedCopies(probe, capturer, size=graph_size(workload, l2_b=l2_b, nodes=_COPY_NODES))
    sampler = GraphSampler(events, renew=FreshGradients(cases.arrays), empty_pair_s=empty_pair_s)
    return Timing(sampler, copies, Clock.GRAPH, events)
