"""What a worker process does with its orders: fix threads and heap, load plug-ins, measure workload after workload."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from time import perf_counter

import torch

from lnbench.errors import PluginError, TerminatedError
from lnbench.events import Ended, Noticed, WorkerStarted, WorkloadFinished
from lnbench.functions import FUNCTIONS
from lnbench.implementations.contract import Registration
from lnbench.implementations.plugins import refuse_shared_modules
from lnbench.implementations.registry import Registry
from lnbench.implementations.sources import load_source
from lnbench.implementations.torch_adapter import flushes_denormals, is_out_of_memory
from lnbench.measure.cuda import device_name, device_uuid, missing_device, use_device, wait_for_device
from lnbench.measure.environment import RECORDED_PACKAGES, installed_versions
from lnbench.measure.graphs import l2_bytes
from lnbench.measure.heap import can_retain_heap, page_fault_s
from lnbench.measure.kernels import TorchProfiler
from lnbench.measure.memory_bus import memory_bus
from lnbench.measure.nvml import Nvml
from lnbench.measure.processor import processor_name
from lnbench.measure.scheduling import NoMeter, ThreadMeter
from lnbench.measure.wakeup_cost import wakeup_cost_s
from lnbench.measure.watch import GpuWatcher, HostWatcher, Watcher, Watchers
from lnbench.planned import Notice, Stage, Status
from lnbench.worker.capturing import check_replays
from lnbench.worker.cases import SHORT_PATIENCE_S, Cases, SpoiledProcessError, describe
from lnbench.worker.company import Company
from lnbench.worker.costs import measure_energy_of, measure_memory
from lnbench.worker.graph_sizes import cold_pairs
from lnbench.worker.guard import Guard
from lnbench.worker.judging import Judge, Judged
from lnbench.worker.launching import measure_launching
from lnbench.worker.others import Others
from lnbench.worker.probing import ProbeTurns
from lnbench.worker.protocol import ImportFailed, Importing, Measure, Setup, WorkerChannel
from lnbench.worker.room import shortage_here
from lnbench.worker.rounds import Rounds
from lnbench.worker.timing import Timing, timing_of
from lnbench.worker.watching import Watch
from lnbench.workload import Allocator, Cache, Clock

_PARALLEL_ELEMENTS = 1 << 20
"""PyTorch takes several threads for so many."""


class Session:
    """One worker process, from its setup on. The door has fixed the heap before this module was imported."""

    def __init__(self, channel: WorkerChannel, setup: Setup, *, started: float) -> None:
        self._channel = channel
        self._setup = setup
        self._judged: Judged = {}
        self._nvml = Nvml() if setup.device.startswith("cuda") else None
        if self._nvml is not None:
            self._nvml.note_others()  # before this process is one that uses the GPU
        if setup.device.startswith("cuda") and not missing_device(setup.device):
            use_device(setup.device)  # what a builder allocates without naming a device belongs there too
        torch.set_num_threads(setup.threads)
        torch.ones(_PARALLEL_ELEMENTS).add_(1)  # makes the pool of threads, which is nobody's
        self._wakeup_s = wakeup_cost_s()
        self._others = Others()
        self._company = Company()
        self._registry = Registry(self._load_plugins())
        bus = memory_bus(setup.device)
        channel.send(
            WorkerStarted(
                process=setup.process,
                worker=setup.worker,
                device=setup.device,
                device_name=device_name(setup.device) or processor_name(),
                import_s=perf_counter() - started,
                versions=installed_versions(RECORDED_PACKAGES),
                fault_s=page_fault_s(),
                flushes_denormals=flushes_denormals(),
                wakeup_s=self._wakeup_s,
                memory_clock_hz=None if bus is None else bus.clock_hz,
                memory_bus_bits=None if bus is None else bus.width_bits,
            )
        )
        if setup.allocator == Allocator.RETAINED and not can_retain_heap():
            text = (
                "this system's C heap can't be told to keep memory; times include giving it back and getting it again"
            )
            channel.send(Noticed(notice=Notice(code="heap-not-retained", text=text)))
        channel.idle()

    def _load_plugins(self) -> list[Registration]:
        """What the plug-ins register; one that fails is reported, and left out."""
        found: list[Registration] = []
        guard = Guard()
        numbers = sorted(self._setup.plugins, reverse=bool(self._setup.process % 2))  # neither side is always first
        for number in numbers:
            source = self._setup.plugins[number]
            self._channel.send(Importing(plugin=number))
            self._channel.flush()
            try:
                found += load_source(source)
            except PluginError as error:
                self._channel.send(ImportFailed(plugin=number, reason=error.message))
            except TerminatedError:
                raise
            # A plug-in may raise anything, SystemExit too: that is its own end, not this process's.
            except BaseException as error:
                self._channel.send(ImportFailed(plugin=number, reason=describe(error)))
            changed = [change for changes in guard.set_back() for change in changes]
            self._company.put_down_to(source.title)
            left = self._company.left_running(patience_s=SHORT_PATIENCE_S)
            if left is not None:
                self._channel.send(ImportFailed(plugin=number, reason=str(left)))
                self._channel.leave()
            if changed:
                text = f"{Path(source.title).name} set {', '.join(changed)} when it was imported; it was set back"
                self._channel.send(Noticed(notice=Notice(code="changed-settings", text=text)))
        return found

    def measure(self, order: Measure) -> None:
        """Build, judge, time, and judge again the cases of one workload; ends with an announcement of nobody."""
        started = perf_counter()
        self._others.begin()  # building and verifying last long enough for a first window
        missing = missing_device(self._setup.device)
        if missing:
            self._end_all(order, Status.SKIPPED, missing)
            return
        workload, pairs = order.workload.workload, order.pairs
        if order.on_graph:
            pairs = cold_pairs(workload, l2_b=l2_bytes(workload.device))
        has_residual = any(FUNCTIONS[case.function].has_residual for case in order.cases.values())
        shortage = shortage_here(workload, pairs=pairs, has_residual=has_residual)
        if shortage:
            self._end_all(order, Status.SKIPPED, shortage)
            return
        try:
            cases = Cases(
                self._channel,
                self._registry,
                process=self._setup.process,
                workload_number=order.index,
                workload=workload,
                planned=order.cases,
                seed=order.seed,
                pairs=pairs,
                phases=order.workload.phases,
                company=self._company,
                clock=_clock_of(order),
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._end_all(order, Status.OOM, f"the inputs alone do not fit: {describe(error)}")
            return
        try:
            cases.build_all()
            self._end_mixed_up_sides(order, cases, Stage.BUILD)
            if order.on_graph:
                finished, is_disturbed = self._measure_replays(order, cases, started=started)
            else:
                finished, is_disturbed = self._measure_calls(order, cases, started=started)
            if finished is not None:
                self._channel.send(finished)
            if is_disturbed:
                self._channel.leave()
        except SpoiledProcessError:
            self._channel.leave()
        except (RuntimeError, MemoryError) as error:
            # Checking holds copies of the inputs and several results; where those do not fit no case is to blame.
            if not is_out_of_memory(error):
                raise
            for number in order.cases.keys() - cases.ended:
                cases.end(
                    number, Status.OOM, Stage.VERIFY, f"checking needs more memory than there is: {describe(error)}"
                )
        cases.close_all()
        self._channel.idle()

    def _measure_calls(self, order: Measure, cases: Cases, *, started: float) -> tuple[WorkloadFinished | None, bool]:
        """Judge, time and judge again, then see what the cases cost; whether something still runs that one brought."""
        judge = Judge(cases, judged=self._judged)
        judge.before()
        self._end_mixed_up_sides(order, cases, Stage.VERIFY)
        timing = timing_of(order, cases) if cases.live else None
        finished = self._take_turns(order, cases, timing, setup_s=perf_counter() - started)
        self._end_mixed_up_sides(order, cases, Stage.TIMING)
        is_disturbed = cases.end_who_left_running(stage=Stage.TIMING)
        judge.after()
        is_first = self._setup.process == 0
        if timing is not None and timing.events is not None:
            profiler = TorchProfiler(timing.events.wait) if is_first else None
            measure_launching(cases, timing.events, phases=order.workload.phases, profiler=profiler)
        if is_first:  # it is the same every time
            measure_memory(cases)
        if order.energy:
            measure_energy_of(cases, planned=order.workload)
        return finished, is_disturbed

    def _measure_replays(self, order: Measure, cases: Cases, *, started: float) -> tuple[WorkloadFinished | None, bool]:
        """Capture, verify, time and verify again; another worker has judged the cases before."""
        timing = timing_of(order, cases) if cases.live else None
        finished = self._take_turns(order, cases, timing, setup_s=perf_counter() - started)
        is_disturbed = cases.end_who_left_running(stage=Stage.TIMING)
        check_replays(cases, "after")
        return finished, is_disturbed

    def _end_mixed_up_sides(self, order: Measure, cases: Cases, stage: Stage) -> None:
        """End the cases whose code was mixed up with another plug-in's.

        Modules and operators may come in late, with a build or a first call, so this is asked after each stage.
        """
        try:
            refuse_shared_modules()
        except PluginError as error:
            self._end_with(error, sorted(order.cases.keys() - cases.ended), cases, stage)
        for number in sorted(order.cases.keys() - cases.ended):
            mixed_up = cases.mixed_up(number)
            if mixed_up is not None:
                self._end_with(mixed_up, [number], cases, stage)

    def _end_with(self, error: PluginError, numbers: Iterable[int], cases: Cases, stage: Stage) -> None:
        for number in numbers:
            cases.end(number, Status.ERROR, stage, error.in_words)

    def _take_turns(
        self, order: Measure, cases: Cases, timing: Timing | None, *, setup_s: float
    ) -> WorkloadFinished | None:
        if timing is None:
            return None
        planned, workload, process = order.workload, order.workload.workload, self._setup.process
        if planned.clocks == (Clock.GRAPH,) and not order.on_graph:  # another worker takes all its rounds
            return WorkloadFinished(
                process=process,
                workload=order.index,
                rounds=0,
                stopped_by="nothing left",
                rounds_s=0.0,
                setup_s=setup_s,
            )
        # On a GPU the device's own clock decides, whatever the host's threads wait for.
        meter = NoMeter() if workload.is_cuda else ThreadMeter()
        return Rounds(
            self._channel,
            cases,
            timing.sampler,
            process=process,
            workload_number=order.index,
            references=_references(order, cases),
            phases=planned.phases,
            precision=order.precision,
            budget_s=order.budget_s,
            extra_s=order.extra_s,
            first_round=order.first_round,
            seed=order.seed + process,
            probe=ProbeTurns(timing.probe, timing.sampler, meter, wait=partial(wait_for_device, workload.device)),
            watch=Watch(cases, self._watcher(), workload_number=order.index),
            meter=meter,
            others=self._others,
            wakeup_s=self._wakeup_s,
            clock=timing.clock,
            until_hot=workload.cache == Cache.HOT and not workload.is_cuda,
        ).run(setup_s=setup_s, compiling_s=cases.compiling_s)

    def _watcher(self) -> Watcher:
        """Whatever this device's turns depend on: the host in any case."""
        if self._nvml is None:
            return HostWatcher()
        return Watchers([HostWatcher(), GpuWatcher(self._nvml, device_uuid(self._setup.device))])

    def _end_all(self, order: Measure, status: Status, reason: str) -> None:
        for number in order.cases:
            self._channel.send(
                Ended(
                    process=self._setup.process,
                    case=number,
                    status=status,
                    stage=Stage.START,
                    reason=reason,
                    clock=_clock_of(order),
                )
            )
        self._channel.idle()


def _clock_of(order: Measure) -> Clock | None:
    """The clock whose rows alone an end concerns."""
    return Clock.GRAPH if order.on_graph else None


def _references(order: Measure, cases: Cases) -> dict[int, int]:
    """Each live case's reference: in the same norm mode, else the first one of that name. References have none."""
    found = {}
    for number, case in cases.live.items():
        name = case.planned.reference or order.workload.reference
        named = [(other, it.planned.norm_mode) for other, it in cases.live.items() if it.planned.implementation == name]
        same_mode = [other for other, norm_mode in named if norm_mode == case.planned.norm_mode]
        partner = next(iter(same_mode or [other for other, _ in named]), None)
        if partner is not None and partner != number:
            found[number] = partner
    return found
