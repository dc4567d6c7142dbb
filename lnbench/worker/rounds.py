"""The timed rounds of one workload: every live case takes its turn, until the speedups are known well enough."""

import gc
from collections.abc import Mapping
from time import perf_counter
from typing import Literal

from lnbench.events import OFF_STREAM, PROBE_CASE, WorkloadFinished
from lnbench.measure.placement import Placement
from lnbench.measure.sampler import Sampler
from lnbench.measure.scheduling import NoMeter, SchedulingMeter
from lnbench.planned import Stage
from lnbench.undisturbed import DEFAULT_WAKEUP_S
from lnbench.worker.calls import LONGEST_SAMPLE_S, Kind, phases_by, phases_of
from lnbench.worker.cases import Cases
from lnbench.worker.contenders import Contender, choose_warm_calls, shared_lengths, warmed_up
from lnbench.worker.others import Others
from lnbench.worker.pace import Pace
from lnbench.worker.probing import ProbeTurns
from lnbench.worker.protocol import Progress, WorkerChannel
from lnbench.worker.sample_check import SampleCheck
from lnbench.worker.stopping import StoppingRule
from lnbench.worker.turn_samples import TurnSamples
from lnbench.worker.turns import TurnOrder
from lnbench.worker.watching import Watch
from lnbench.workload import Clock, Phase

WANTED_ROUNDS = 40
"""Calls per sample are chosen so that at least about this many rounds fit into the budget."""

LEAST_ROUNDS = 3
"""Measured even where the budget does not suffice, because fewer have no interval at all."""

LEAST_BUDGET_S = 1e-3
"""Left for the rounds where the trials took more time than they should have."""

TELL_EVERY_S = 0.5
CHECK_EVERY_ROUNDS = 10
WANTED_LOOKS = 2
"""Successive looks that must find every interval narrow enough: a narrow one is lucky at times, and stopping at first
sight costs up to ten points of coverage where the machine switches between two speeds (simulated)."""

PROBE_EVERY_ROUNDS = 4
"""The probe needs no narrow interval, and its bytes push those of the cases out of the caches."""

OFF_STREAM_TEXT = (
    "its work is on a stream of its own framework, which PyTorch's events do not see: it has times on the host's clock"
)

UNPLACED_TURNS = 3
"""Turns of a case before its threads are kept on cores of their own."""

MOST_SPOILED_TURNS = 3
"""Turns in which something was compiled anew, before the case is given up."""


class Rounds:
    """Runs the rounds of a workload and reports every turn.

    `clock`: the one that decides when to stop. `until_hot`: find out how many calls each case
    takes until it is hot. Not where each call is to find its caches cold; and not on a GPU, where a single call is
    timed only by waiting for it, which is another thing than the queue that is measured.
    """

    def __init__(
        self,
        channel: WorkerChannel,
        cases: Cases,
        sampler: Sampler,
        *,
        process: int,
        workload_number: int,
        references: Mapping[int, int],
        phases: tuple[Phase, ...],
        precision: float,
        budget_s: float,
        first_round: int,
        seed: int,
        probe: ProbeTurns,
        watch: Watch,
        meter: SchedulingMeter,
        others: Others,
        clock: Clock,
        until_hot: bool,
        extra_s: float = 0.0,
        wakeup_s: float = DEFAULT_WAKEUP_S,
    ) -> None:
        self._channel = channel
        self._cases = cases
        self._sampler = sampler
        self._process = process
        self._workload = workload_number
        self._references = dict(references)
        self._phases = phases
        self._precision = precision
        self._budget_s = budget_s
        self._round = first_round
        self._probe = probe
        self._watch = watch
        self._clock = clock
        self._on_device = clock is not Clock.WALL
        self._until_hot = until_hot
        self._extra_s = extra_s
        self._meter = meter
        self._others = others
        self._wakeup_s = wakeup_s
        self._placement = Placement()
        self._contenders: dict[int, Contender] = {}
        self._pace = Pace(LONGEST_SAMPLE_S)
        self._check = SampleCheck(others, clock=clock, wakeup_s=wakeup_s)
        self._lengths: dict[int, dict[Kind, float]] = {}
        self._seed = seed
        self._order = TurnOrder([], references={}, seed=seed)
        self._stopping = StoppingRule({}, references={}, precision=precision)

    def run(self, *, setup_s: float, compiling_s: float) -> WorkloadFinished:
        """Warm up, then take turns; gives the event that is due when all else is done with the workload too."""
        begun = perf_counter()
        self._check.look()
        self._choose_calls()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._cases.keep_settings()
        first, told, looks = self._round, 0.0, 0
        stopped_by: Literal["precision", "budget", "nothing left"] = "nothing left"
        try:
            trying = perf_counter()
            if self._until_hot:
                self._choose_warm_calls()
            started = perf_counter()
            budget_s = max(self._budget_s - (started - trying), LEAST_BUDGET_S)
            while self._contenders:
                self._one_round(started)
                elapsed = perf_counter() - started
                done = self._round - first
                if elapsed >= budget_s and done >= LEAST_ROUNDS and not self._needs_more_time(elapsed - budget_s):
                    stopped_by = "budget"
                    break
                if done % CHECK_EVERY_ROUNDS == 0:
                    looks = looks + 1 if self._stopping.is_precise() else 0
                    if looks == WANTED_LOOKS:
                        stopped_by = "precision"
                        break
                if elapsed - told >= TELL_EVERY_S:
                    told = elapsed
                    self._channel.send(Progress(share=min(elapsed / budget_s, 1.0)))
        finally:
            gc.enable()
            gc.unfreeze()
            self._cases.keep_settings()
        self._watch.finish(self._round - 1)
        for number, contender in self._contenders.items():
            for notice in contender.device_times.notices():
                self._cases.notice(number, notice.code, notice.text)
        finished = WorkloadFinished(
            process=self._process,
            workload=self._workload,
            rounds=self._round - first,
            stopped_by=stopped_by,
            rounds_s=perf_counter() - started,
            setup_s=setup_s + started - begun,
            compiling_s=compiling_s,
            on_graph=self._clock is Clock.GRAPH,
        )
        self._channel.flush()
        return finished

    def _needs_more_time(self, over_s: float) -> bool:
        """True where a busy machine disturbed a good part of the samples, rows are not known yet, and time is left."""
        return over_s < self._extra_s and self._check.is_busy and not self._stopping.is_settled()

    def _one_round(self, started: float) -> None:
        expected = {number: contender.turn_s for number, contender in self._contenders.items()}
        before, begun_round = (self._check.taken, self._check.undisturbed), perf_counter()
        self._lengths = shared_lengths(self._contenders)
        for number in self._order.next_round(expected | {PROBE_CASE: self._probe.turn_s}):
            self._stopping.forget_rounds(self._watch.before_turn(self._round))
            if number == PROBE_CASE:
                if self._round % PROBE_EVERY_ROUNDS == 0:
                    self._channel.announce(PROBE_CASE, Stage.TIMING)
                    begun = perf_counter()
                    self._report(PROBE_CASE, self._probe.take(self._pace), started_s=begun - started)
            elif number in self._contenders:
                self._turn(self._contenders[number], started)
        self._round += 1
        self._check.look()
        self._pace.note(
            taken=self._check.taken - before[0],
            kept=self._check.undisturbed - before[1],
            seconds=perf_counter() - begun_round,
        )
        gc.collect()  # cheap, for what is frozen is not walked; an implementation may leave cycles that hold memory

    def _turn(self, contender: Contender, started: float) -> None:
        """One case's samples, some of each kind; a turn in which something was compiled is not reported."""
        case = contender.case
        with self._cases.attempt(case.number, Stage.TIMING):
            compiled = case.prepared.compilations()
            begun = perf_counter()
            taken = self._take_turn(contender)
            contender.turn_s = perf_counter() - begun
            if case.prepared.compilations() != compiled:
                self._spoiled(contender)
            else:
                self._keep(contender, taken, started_s=begun - started)
        if case.number not in self._cases.live:
            self._drop(case.number)

    def _take_turn(self, contender: Contender) -> TurnSamples:
        """Beside others that want the cores, its threads stay on cores of their own meanwhile.

        Not in its first turns: a pool that starts then would count the cores of one thread.
        """
        length_s = self._lengths[contender.case.number]
        if not self._pace.is_crowded or contender.turns < UNPLACED_TURNS:
            return contender.take_turn(self._sampler, self._meter, self._pace, length_s=length_s)
        self._placement.spread(contender.threads)
        try:
            return contender.take_turn(self._sampler, self._meter, self._pace, length_s=length_s)
        finally:
            self._placement.set_back()

    def _keep(self, contender: Contender, taken: TurnSamples, *, started_s: float) -> None:
        number = contender.case.number
        self._report(number, taken, started_s=started_s)
        means = self._check.means(taken, contender.wakeup_costs)
        self._stopping.keep(number, self._round, started_s=started_s, seconds=means)
        for kind in contender.device_times.hopeless:
            self._stopping.leave_out(number, phases_by(kind, contender.case.prepared))

    def _report(self, number: int, taken: TurnSamples, *, started_s: float) -> None:
        for event in taken.events(
            process=self._process,
            workload=self._workload,
            number=self._round,
            case=number,
            started_s=started_s,
            with_faults=number != PROBE_CASE and not self._on_device,
        ):
            self._channel.send(event)

    def _spoiled(self, contender: Contender) -> None:
        contender.spoiled += 1
        case = contender.case
        if contender.spoiled == 1:
            self._cases.notice(
                case.number,
                "compiled-while-timed",
                "torch.compile compiled anew during a turn; that turn is left out; static shapes and a fixed number of "
                "threads avoid it",
            )
        if contender.spoiled >= MOST_SPOILED_TURNS:
            raise RuntimeError(f"it compiled anew in {contender.spoiled} of its turns, so it has no steady time")

    def _choose_calls(self) -> None:
        """Warm everything up, choose how long samples are, and line up who takes turns and who decides when to stop."""
        live = self._contenders = warmed_up(self._cases, self._phases)
        samples = sum(len(contender.call_s) for contender in live.values()) + 1
        self._pace = Pace(min(self._budget_s / WANTED_ROUNDS / samples, LONGEST_SAMPLE_S))
        if not self._on_device and self._others.want_cores_of(self._cases.workload.threads):
            self._pace.begin_crowded()
        if live:
            self._probe.choose_calls()
        references = {case: of for case, of in self._references.items() if case in live and of in live}
        families = set(references.values())
        # Within the only family the probe has a place among the others, not always at an end.
        probe = {PROBE_CASE: families.pop()} if len(families) == 1 else {}
        self._order = TurnOrder([*live, PROBE_CASE], references=references | probe, seed=self._seed)
        # Times that the device's clock can't have are not waited for.
        unseen = [number for number, it in live.items() if self._on_device and not it.case.prepared.on_torch_stream]
        deciding = {
            number: phases_of(self._phases, it.case.prepared) for number, it in live.items() if number not in unseen
        }
        self._stopping = StoppingRule(deciding, references=references, precision=self._precision)
        for number in unseen:
            self._cases.notice(number, OFF_STREAM, OFF_STREAM_TEXT)

    def _choose_warm_calls(self) -> None:
        choose_warm_calls(
            self._cases,
            self._contenders,
            lambda: self._order.next_round({}),
            meter=NoMeter() if self._check.is_quiet else self._meter,  # a look lets threads fall asleep that spin
            sample_s=self._pace.sample_s,
            budget_s=self._budget_s,
            wakeup_s=self._wakeup_s,
        )
        for number in self._contenders.keys() - self._cases.live.keys():
            self._drop(number)

    def _drop(self, number: int) -> None:
        del self._contenders[number]
        self._order.drop(number)
        self._stopping.drop(number)
