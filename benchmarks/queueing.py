"""Are runs of two users that wait for the machine served in the order in which they came?

Six runs of two users, alternating, queue for the machine lock. The one that measures and one that waits are killed, and
all the while a newcomer asks for the lock twenty times a second. Shows what the runs say; exit code 0 when each run
that was not killed measured, in the order of arrival, and the newcomer never did. Needs root, and a Python that the
user `nobody` may run.

    sudo python benchmarks/queueing.py
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from lnbench.conductor.alone import alone_on_machine
from lnbench.errors import NothingMeasuredError

USERS = ("root", "nobody")
RUNS = 6
HOLDING, WAITING = 0, 3
"""The runs that are killed."""

BEGAN = monotonic()
SUITE = """name: tiny
reference: fused
implementations: [fused]
workloads: [{{shapes: [[8, 16]], threads: 1}}]
sampling: {{processes: 1, precision: 1.0e-6, budget_s: {budget_s}}}
"""


class Queued:
    """One `lnbench run`; what it says is printed with its number, its user and the time."""

    def __init__(self, number: int, folder: Path, order: list[int], *, budget_s: float) -> None:
        self.number, self.user = number, USERS[number % len(USERS)]
        self._order = order
        self.waits, self.measures = Event(), Event()
        own = folder / f"run-{number}"
        own.mkdir()
        (own / "tiny.yaml").write_text(SUITE.format(budget_s=budget_s))
        account = pwd.getpwnam(self.user)
        shutil.chown(own, account.pw_uid, account.pw_gid)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lnbench", "run", "tiny.yaml"],
            cwd=own,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            env={**os.environ, "HOME": str(own)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None  # it was asked for
        for line in self.process.stderr:
            if line.startswith("waiting"):
                self.waits.set()
                self.say(line.rstrip())
            elif line.startswith("[1/1]"):
                self.measures.set()
                self._order.append(self.number)
                self.say("measures")
            elif line.startswith(("error", "note")):
                self.say(line.rstrip())

    def say(self, text: str) -> None:
        print(f"{monotonic() - BEGAN:5.1f} s  run {self.number} of {self.user:6}  {text}", flush=True)

    def kill(self) -> None:
        self.say(f"killed while {'measuring' if self.measures.is_set() else 'waiting'}")
        self.process.kill()
        self.process.wait()


def main() -> int:
    """Queue, kill, and compare the order."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        order: list[int] = []
        runs = [Queued(HOLDING, folder, order, budget_s=600)]
        runs[0].measures.wait(60)
        over, outcomes = Event(), {"refused": 0, "passed": 0}
        newcomer = Thread(target=ask, args=(over, outcomes), daemon=True)
        newcomer.start()
        for number in range(1, RUNS):
            runs.append(Queued(number, folder, order, budget_s=1))
            runs[number].waits.wait(60)
        runs[WAITING].kill()
        over.wait(2.5)  # those behind it say that they have moved up
        runs[HOLDING].kill()
        codes = [run.process.wait(120) for run in runs[:-1]]
        over.set()
        newcomer.join()
        codes.append(runs[-1].process.wait(120))
    expected = [number for number in range(RUNS) if number != WAITING]
    print(f"measured in this order: {order}, of which {HOLDING} was killed; {WAITING} was killed in the queue")
    print(
        f"exit codes: {codes}; a newcomer was refused {outcomes['refused']} times and passed {outcomes['passed']} times"
    )
    served = [code for number, code in enumerate(codes) if number not in {HOLDING, WAITING}]
    return int(order != expected or any(served) or outcomes["passed"] > 0)


def ask(over: Event, outcomes: dict[str, int]) -> None:
    """Ask for the lock until it is over, without waiting for it."""
    while not over.wait(0.05):
        try:
            with alone_on_machine("newcomer", wait=False, say=print):
                outcomes["passed"] += 1
        except NothingMeasuredError:
            outcomes["refused"] += 1


if __name__ == "__main__":
    sys.exit(main())
