"""Workers that follow a script instead of measuring, and a run over them."""

from collections import deque
from itertools import count

import fabricate
import planning

from lnbench.conductor import runner
from lnbench.conductor.busy_watch import BusyWatch
from lnbench.conductor.interrupts import Interrupts
from lnbench.conductor.loaded import Loaded
from lnbench.conductor.processes import WorkerDiedError
from lnbench.conductor.runner import Habits
from lnbench.events import WorkerStarted, WorkloadFinished
from lnbench.measure.neighbours import Counters, MachineUse
from lnbench.planned import Stage
from lnbench.standing import Standing
from lnbench.store.journal import Journal
from lnbench.store.reading import read_run
from lnbench.worker.protocol import Announce, Idle, Progress

EAGER, FUSED, TUNED = range(3)
TIMEOUT_S = 7.0
STACKS = 'File "x/torch_adapter.py", line 3 in backward'


class Workers:
    """Stands in for WorkerProcess: each worker started follows the next script, the last script from then on."""

    def __init__(self, *scripts):
        self._scripts = deque(scripts)
        self.started = []

    def __call__(self, setup, *, turns, verbose, compile_cache):
        script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        self.started.append(Worker(setup, script))
        return self.started[-1]


class Worker:
    """One that answers an order with what its script gives, and raises the exceptions among that."""

    def __init__(self, setup, script):
        self.setup = setup
        self.orders = []
        self.patience = []
        self.ends = []
        self._script = script
        started = WorkerStarted(
            process=setup.process, worker=setup.worker, device=setup.device, device_name="a fake", import_s=0.1
        )
        self._messages = deque([started, Idle()])

    def send(self, order):
        self.orders.append(order)
        self._messages.extend([*self._script(self.setup, order), Idle()])

    def receive(self, *, timeout_s, while_waiting):
        self.patience.append(timeout_s)
        message = self._messages.popleft()
        if isinstance(message, BaseException):
            raise message
        if callable(message):
            message()
            while_waiting()
            return self.receive(timeout_s=timeout_s, while_waiting=while_waiting)
        return message

    def printed_tail(self):
        return "last words"

    def stacks(self):
        return STACKS

    def kill(self):
        self.ends.append("killed")

    def close(self):
        self.ends.append("closed")


class Watcher:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.told = []

    def workload_began(self, process, workload):
        self.told.append(("began", process, workload))

    def announced(self, case, stage):
        self.told.append(("announced", case, stage))

    def progressed(self, share):
        self.told.append(("progressed", share))

    def waited(self):
        pass

    def stopping(self):
        self.told.append("stopping")

    def more_to_do(self, workloads):
        self.told.append(("more", workloads))

    def looked(self, look):
        self.told.append(("looked", look.workload, look.load))

    def happened(self, event):
        self.told.append(("happened", event.event))


def honest(setup, order, *, rounds=3):
    """Every case takes its turns."""
    for number in range(order.first_round, order.first_round + rounds):
        for case in order.cases:
            yield Announce(case=case, stage=Stage.TIMING)
            yield fabricate.turn(
                case, 1e-4, of=order.index, process=setup.process, round=number, started_s=0.5 * number
            )
        yield Progress(share=number / 10)
    yield WorkloadFinished(
        process=setup.process, workload=order.index, rounds=rounds, stopped_by="budget", rounds_s=1.0
    )


def ending(case, stage, error):
    """A script that is honest for two rounds, in which then a case comes to an end of its process."""

    def script(setup, order):
        yield from list(honest(setup, order, rounds=2))[:-1]
        yield Announce(case=case, stage=stage)
        yield error

    return script


def never_starting(setup, order):
    yield WorkerDiedError("the process exited with 1")


class ScriptedMachineMeter:
    """Gives one usage after another, then that of an idle machine. `asked`: whether each reading was of all threads."""

    def __init__(self, *usages):
        self.usages = list(usages)
        self.asked = []

    def counters(self, *, of_all):
        self.asked.append(of_all)
        return Counters(float(len(self.asked)), 0.0, 0.0, None, None)

    def usage(self, before, after):
        idle = MachineUse(after.at_s - before.at_s, cores=2, others=0.0, load=0.1)
        return self.usages.pop(0) if self.usages else idle


class Theatre:
    """Runs plans over scripted workers. `kills`: how often the kernel says that it killed, asked once a look.

    `meter`, `clock`, `waits`: what the watch over the machine reads, its clock of a second a question, its pauses.
    """

    def __init__(self, folder, monkeypatch):
        self._folders = (folder / f"run{number}" for number in count())
        self._monkeypatch = monkeypatch
        self.interrupts = Interrupts()
        self.journal = Journal
        self.kills = [0]
        self.meter, self.waits, seconds = ScriptedMachineMeter(), [], count(0, 1.0)
        self.clock = lambda: next(seconds)
        monkeypatch.setattr(runner, "kernel_kills", lambda: self.kills.pop(0) if len(self.kills) > 1 else self.kills[0])

    def measure(self, planned, *scripts, plugins=None, standing=None):
        """Whether the run came to its end, the run read back, its workers and its watcher."""
        workers, watcher = Workers(*scripts), Watcher()
        self._monkeypatch.setattr(runner, "WorkerProcess", workers)
        folder = next(self._folders)
        with self.journal.create(folder, fabricate.header(planned.workloads, planned.cases)) as journal:
            made = self.runner(planned, journal, watcher, plugins=plugins, standing=standing)
            made.look_before()
            finished = made.measure()
            made.finish(interrupted=not finished)
        return finished, read_run(folder), workers.started, watcher

    def runner(self, planned, journal, watcher, *, plugins=None, standing=None):
        """A runner with all that it needs."""
        return runner.Runner(
            planned,
            journal,
            watcher,
            environment=fabricate.ENVIRONMENT,
            plugins=plugins or Loaded(),
            seed=5,
            interrupts=self.interrupts,
            standing=standing or Standing(planned.workloads, planned.cases),
            habits=Habits(timeout_s=TIMEOUT_S),
            busy_watch=BusyWatch(watcher.looked, meter=self.meter, now=self.clock, wait=self.waits.append),
        )


def plan(workload="shapes: [[8, 64]]", *, implementations="eager, fused", processes=1, **options):
    """A plan for one process, where nothing else is said."""
    return planning.plan(workload, implementations=implementations, options={"processes": processes, **options})


def three(**options):
    return plan(implementations="eager, fused, tuned", **options)


def of_kind(run, kind):
    return [event for event in run.events if isinstance(event, kind)]
