"""The parts of a worker without a process: cases from planted builders, judged, or timed by a scripted sampler."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import torch
from fake_clocks import OneCopy
from torch.utils._python_dispatch import TorchDispatchMode

from lnbench.events import Ended, Noticed, Turn, Verified
from lnbench.implementations.contract import Prepared, Registration, builder_options
from lnbench.implementations.preparing import prepare
from lnbench.implementations.registry import BUILT_IN, Registry
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.measure.sampler import Sample, step_phases
from lnbench.measure.watch import Look
from lnbench.planned import PlannedCase, Status
from lnbench.undisturbed import ThreadUse
from lnbench.worker.cases import Cases
from lnbench.worker.judging import Judge
from lnbench.worker.probing import ProbeTurns
from lnbench.worker.rounds import PROBE_EVERY_ROUNDS, Rounds
from lnbench.worker.watching import LOOK_EVERY_S, Watch
from lnbench.workload import Clock, Phase, Workload


def workload(*shape: int, norm_dims=1, norm_axes=(), dtype="float32", **axes) -> Workload:
    """A workload whose parameters have x's dtype unless said otherwise."""
    return Workload(
        shape=shape,
        normalized_shape=tuple(shape[axis] for axis in norm_axes) or shape[len(shape) - norm_dims :],
        norm_axes=norm_axes,
        **{"dtype": dtype, "param_dtype": dtype, "threads": torch.get_num_threads(), **axes},
    )


@dataclass
class Heard:
    """A worker's channel that keeps everything."""

    messages: list[Any] = field(default_factory=list)

    def send(self, message):
        self.messages.append(message)

    def announce(self, case, stage, phase=""):
        pass

    def idle(self):
        pass

    def flush(self):
        pass

    def of(self, kind):
        """The messages of one kind."""
        return [message for message in self.messages if isinstance(message, kind)]

    def ends(self) -> dict[int, Ended]:
        """How cases ended, by number."""
        return {message.case: message for message in self.of(Ended)}

    def notices(self, case=0) -> dict[str, str]:
        """The texts of a case's notices, by code."""
        return {message.notice.code: message.notice.text for message in self.of(Noticed) if message.case == case}


Entry = str | Callable[..., Any] | Registration
"""A built-in's name, a planted builder, or a whole registration."""


def cases(
    entries: Mapping[str, Entry],
    on: Workload,
    *,
    function="layer_norm",
    norm_mode="",
    groups=None,
    pairs=1,
    clock=None,
) -> tuple[Cases, Heard]:
    """The cases of a workload, not yet built, numbered in order; planted builders are of `function`."""
    heard, planned, planted = Heard(), {}, []
    for number, (name, entry) in enumerate(entries.items()):
        row = BUILT_IN.get(entry) if isinstance(entry, str) else None
        if row is None:
            planted.append(_planted(name, function, entry))
        planned[number] = PlannedCase(
            workload=0,
            implementation=name,
            use=entry if row else name,
            function=row.function if row else function,
            norm_mode=norm_mode,
            groups=groups,
        )
    made = Cases(
        heard,
        Registry(planted),
        process=0,
        workload_number=0,
        workload=on,
        planned=planned,
        seed=11,
        pairs=pairs,
        clock=clock,
    )
    return made, heard


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    status: Status
    reason: str
    notices: Mapping[str, str]
    repeats: bool | None = None


def judged(entry: Entry, *shape: int, function="layer_norm", norm_mode="", groups=None, **axes) -> Outcome:
    """Build a case, judge it, and judge it again, as a worker does around the timing."""
    on = workload(*shape, **axes)
    made, heard = cases({"it": entry}, on, function=function, norm_mode=norm_mode, groups=groups)
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    judge.after()
    end = heard.ends().get(0)
    repeats = next((event.repeats for event in heard.of(Verified)), None)
    return Outcome(end.status if end else Status.OK, end.reason if end else "", heard.notices(), repeats)


def prepared(entry: Entry, on: Workload) -> tuple[Prepared, TorchArrays]:
    """One built case on buffers of its own."""
    registration = BUILT_IN[entry].load() if isinstance(entry, str) else _planted("it", "layer_norm", entry)
    arrays = TorchArrays(on, seed=11)
    return prepare(registration, on, {}, arrays), arrays


def _planted(name: str, function: str, entry: Callable[..., Any] | Registration) -> Registration:
    if isinstance(entry, Registration):
        return replace(entry, name=name, function=function)
    return Registration(name, function, "", entry, builder_options(entry))


class ScriptedSampler:
    """Calls the work once per sample and says a time; `before_sample` can do something first."""

    def __init__(self, before_sample: Callable[[], None] = lambda: None):
        self._before_sample = before_sample

    def sample_inference(self, work, calls):
        self._before_sample()
        work.inference()
        return Sample(wall_s={"inference": 1e-4})

    def sample_step(self, work, calls):
        self._before_sample()
        work.backward(work.forward())
        return Sample(wall_s=step_phases(1e-4, 2e-4) | {"disposal": 1e-6})

    def sample_one_piece(self, work, calls):
        self._before_sample()
        work.forward_backward()
        return Sample(wall_s={"forward_backward": 2.5e-4, "disposal": 1e-6})

    def sample_copy(self, copies, name, calls):
        return Sample(wall_s={name: 5e-5})


class ScriptedMeter:
    """Gives the usages of a script, one a look, and then those of a quiet machine. Its CPU and steal clocks stand still
    unless a test sets them.
    """

    def __init__(self, looks: Iterable[ThreadUse] = (), *, cpu_by_thread_s: Mapping[int, float] | None = None) -> None:
        self._looks = iter(looks)
        self._cpu_by_thread_s = cpu_by_thread_s or {}
        self.stolen_s: float | None = None
        self.looks = 0

    def look(self) -> ThreadUse:
        self.looks += 1
        return next(self._looks, QUIET)

    def cpu_s(self) -> float:
        return 0.0

    def steal_s(self) -> float | None:
        return self.stolen_s

    def cpu_by_thread_s(self) -> Mapping[int, float]:
        return self._cpu_by_thread_s


QUIET = ThreadUse(delay_s=0.0)
"""What a look reads where every thread had its core."""


def timed(
    made: Cases,
    heard: Heard,
    sampler,
    *,
    meter=None,
    rounds=4,
    reference=None,
    phases=tuple(Phase),
    watcher=None,
    clock=Clock.WALL,
    until_hot=False,
) -> list[Turn]:
    """Run rounds over built cases until no case is left or the budget of calls is spent; gives the turns reported."""
    counting = _CountingRounds(sampler, rounds)
    meter = meter or ScriptedMeter()
    running = Rounds(
        heard,
        made,
        counting,
        process=0,
        workload_number=0,
        references={} if reference is None else {case: reference for case in made.live if case != reference},
        phases=phases,
        precision=1e-12,
        budget_s=1e9,
        first_round=0,
        seed=5,
        probe=ProbeTurns(OneCopy(lambda: None), counting, meter),
        meter=meter,
        others=ScriptedOthers(),
        watch=Watch(made, watcher or Unwatched(), workload_number=0, now=count(0, LOOK_EVERY_S).__next__),
        clock=clock,
        until_hot=until_hot,
    )
    with suppress(_EnoughError):
        running.run(setup_s=0.0, compiling_s=0.0)
    # The probe's place in its round is drawn: others may have taken their turns before it ended everything.
    whole = -(-rounds // PROBE_EVERY_ROUNDS) * PROBE_EVERY_ROUNDS
    return [turn for turn in heard.of(Turn) if turn.round < whole]


@dataclass
class ScriptedOthers:
    """Other processes, which use the machine or do not."""

    away: bool = False

    def are_away(self):
        return self.away

    def want_cores_of(self, threads):
        return False


class Unwatched:
    """A watcher that finds nothing and has nothing to say."""

    def look(self):
        return Look()

    def notices(self):
        return []


class _EnoughError(Exception):
    """The rounds asked for are over."""


class _CountingRounds:
    """A sampler that ends the run after so many copies of the probe, one of which stands in every fourth round."""

    def __init__(self, sampler, rounds):
        self._sampler, self._left = sampler, -(-rounds // PROBE_EVERY_ROUNDS)
        self.sample_inference, self.sample_step = sampler.sample_inference, sampler.sample_step
        self.sample_one_piece = sampler.sample_one_piece

    def sample_copy(self, copies, name, calls):
        if not self._left:
            raise _EnoughError
        self._left -= 1
        return self._sampler.sample_copy(copies, name, calls)


class OperationLog(TorchDispatchMode):
    """Writes the name of every operation that reaches a kernel into a list, with what it took and gave."""

    def __init__(self, log: list[Any]):
        super().__init__()
        self._log = log
        self.seen: list[tuple[str, list[torch.Tensor], list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.name().removeprefix("aten::").partition(".")[0]
        self._log.append(name)
        given = [value for value in args if isinstance(value, torch.Tensor)]
        made = [value for value in (result if isinstance(result, tuple) else (result,)) if torch.is_tensor(value)]
        self.seen.append((name, given, made))
        return result
