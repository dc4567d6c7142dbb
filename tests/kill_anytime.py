"""Kill a run at any moment, and see that resuming it gives what an uninterrupted one gives.

python tests/kill_anytime.py [--moments 50] [--seed 1]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from command import journal, results, run_lnbench, write_suite

Victim = Literal["conductor", "worker", "both"]
VICTIMS: tuple[Victim, ...] = ("conductor", "worker", "both")
PROCESSES = 2
LOOK_EVERY_S = 1e-3
LONGEST_S = 60.0


@dataclass(frozen=True)
class Moment:
    """When who is killed: once the journal has so many bytes, and then so long after."""

    victim: Victim
    journal_b: int
    after_s: float = 0.0


@dataclass(frozen=True)
class Found:
    """What a killed run left, and what resuming it made of that. Turns are told by all that tells them apart."""

    on_disk: Counter[tuple[Any, ...]]
    in_the_end: Counter[tuple[Any, ...]]
    statuses: dict[tuple[Any, ...], str]
    finished: Counter[tuple[int, int]]
    codes: tuple[int, ...]
    said: str


def suite_in(folder: Path) -> Path:
    """A suite of two workloads that takes a few seconds."""
    return write_suite(folder, "short", shapes="[[8, 16], [32, 64]]", budget_s=0.5)


def uninterrupted(folder: Path) -> Found:
    """The same suite, left alone."""
    suite_in(folder)
    done = run_lnbench(folder, *_arguments())
    return _found(folder, Counter(), (done.code,), done.stderr)


def killed_and_resumed(folder: Path, moment: Moment) -> Found:
    """Start a run, kill at a moment, and resume what is left until it is complete."""
    suite_in(folder)
    with (folder / "said").open("wb") as said:
        command = [sys.executable, "-m", "lnbench", *_arguments()]
        conductor = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    workers = _kill(conductor, folder / "run" / "run.jsonl", moment)
    codes = [conductor.wait(timeout=LONGEST_S)]
    assert not psutil.wait_procs(workers, timeout=LONGEST_S)[1], "a worker outlived its conductor"
    on_disk = Counter(_turns(folder))
    if not (folder / "run" / "run.jsonl").exists():  # killed before there was anything to lose
        return _found(folder, on_disk, (run_lnbench(folder, *_arguments()).code,), "")
    done = run_lnbench(folder, "run", "--resume", "run")
    return _found(folder, on_disk, (*codes, done.code), done.stderr)


def flaws(found: Found, whole: Found) -> list[str]:
    """In what a killed and resumed run differs from one that was left alone."""
    told = []
    if found.codes[-1] != 0:
        told.append(f"the last command ended with {found.codes[-1]}: {found.said}")
    if any(count > 1 for count in found.in_the_end.values()):
        told.append("a turn stands twice in the journal")
    if found.on_disk - found.in_the_end:
        told.append(f"{len(found.on_disk - found.in_the_end)} turns that were on disk are lost")
    if found.statuses != whole.statuses:
        told.append(f"the rows differ: {found.statuses} instead of {whole.statuses}")
    if found.finished != whole.finished:
        told.append(f"workloads were finished {dict(found.finished)} times")
    return told


def _arguments() -> list[str]:
    return ["run", "short.yaml", "--output", "run", "--seed", "7", "--processes", str(PROCESSES), "--quiet"]


def _kill(conductor: subprocess.Popen[bytes], file: Path, moment: Moment) -> list[psutil.Process]:
    """Wait for the moment, and kill; gives the workers of then. A run that was over before is left alone."""
    ends = time.monotonic() + LONGEST_S
    while conductor.poll() is None and time.monotonic() < ends:
        if not moment.journal_b or (file.exists() and file.stat().st_size >= moment.journal_b):
            break
        time.sleep(LOOK_EVERY_S)
    time.sleep(moment.after_s)
    if conductor.poll() is not None:
        return []
    workers = [child for child in psutil.Process(conductor.pid).children() if "lnbench.worker" in child.cmdline()]
    if moment.victim != "worker":
        os.kill(conductor.pid, signal.SIGKILL)
    if moment.victim != "conductor":
        for worker in workers:
            worker.kill()
    return workers if moment.victim != "worker" else []


def _turns(folder: Path) -> Iterator[tuple[Any, ...]]:
    """The turns that are on disk, in the journal or beside it, each once."""
    seen = set()
    for name in ("run.jsonl", "run.jsonl.turns"):
        file = folder / "run" / name
        for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else ():
            event = json.loads(line)
            if event["event"] == "turn" and _key(event) not in seen:
                seen.add(_key(event))
                yield _key(event)


def _key(turn: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(turn[name] for name in ("process", "workload", "round", "case", "started_s", "sample"))


def _found(folder: Path, on_disk: Counter[tuple[Any, ...]], codes: tuple[int, ...], said: str) -> Found:
    lines, rows = journal(folder / "run"), results(folder / "run")
    keys = ["workload", "implementation", "norm_mode", "phase", "clock"]
    return Found(
        on_disk=on_disk,
        in_the_end=Counter(_key(line) for line in lines if line["event"] == "turn"),
        # On a machine that other work uses, too little of a row may be undisturbed.
        statuses={
            tuple(map(str, key)): status.replace("unstable", "ok")
            for *key, status in rows[[*keys, "status"]].itertuples(index=False)
        },
        finished=Counter((line["process"], line["workload"]) for line in lines if line["event"] == "workload_finished"),
        codes=codes,
        said=said,
    )


def main() -> int:
    """Try random moments, and print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="lnbench-kill-") as name:
        (Path(name) / "whole").mkdir()
        whole = uninterrupted(Path(name) / "whole")
        size = (Path(name) / "whole" / "run" / "run.jsonl").stat().st_size
        for number in range(asked.moments):
            folder = Path(name) / str(number)
            folder.mkdir()
            journal_b = draw.choice([0, draw.randrange(size), draw.randrange(size), draw.randrange(size)])
            moment = Moment(VICTIMS[number % len(VICTIMS)], journal_b, draw.uniform(0, 0.05 if journal_b else 4.0))
            found = killed_and_resumed(folder, moment)
            told = flaws(found, whole)
            wrong += bool(told)
            kept = f"{sum(found.on_disk.values())} turns on disk, {sum(found.in_the_end.values())} in the end"
            print(f"{number}: {moment}: {kept}: {'; '.join(told) or 'fine'}", flush=True)  # noqa: T201
    print(f"{asked.moments - wrong} of {asked.moments} killed runs came out like the one that was left alone")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
