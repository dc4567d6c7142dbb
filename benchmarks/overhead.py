"""What the harness itself costs: the share of a run spent in counted calls, the start of the command, the parent's CPU.

1. Of a warm `quick` run's wall time, imports and compilation apart, how much is inside counted timed calls (from the
   journal). Wanted: at least 60 %.
2. `lnbench --help` against a hello-world Typer program, medians of alternating starts. Wanted: at most 1.5x.
3. The CPU time of the parent while its workers measure, as a share of one core. Wanted: under 2 %.

    python benchmarks/overhead.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from lnbench.events import RunFinished, Turn, WorkerStarted, WorkloadFinished
from lnbench.record import Run
from lnbench.store.reading import read_run

HELLO = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str = "world") -> None:
    "Say hello."
    print(f"hello {name}")

app()
"""
STARTS = 15


def main() -> None:
    """Print the three figures."""
    with tempfile.TemporaryDirectory() as folder:
        quick(Path(folder, "warm-up"))
        run, parent_s = quick(Path(folder, "run"))
        print(f"counted calls: {100 * counted_share(run):.0f} % of the run, imports and compilation apart")
        measuring_s = next(event.wall_s for event in run.events if isinstance(event, RunFinished))
        print(f"parent: {100 * parent_s / measuring_s:.2f} % of a core over {measuring_s:.0f} s of measuring")
        hello = Path(folder, "hello.py")
        hello.write_text(HELLO)
        ratio = start_ratio(["-m", "lnbench", "--help"], [str(hello), "--help"])
        print(f"lnbench --help: {ratio:.2f} x the start of a hello-world Typer program")


def quick(output: Path) -> tuple[Run, float]:
    """Run `quick`; gives the run and the CPU seconds of the lnbench process while its workers were alive."""
    command = [sys.executable, "-m", "lnbench", "run", "quick", "--output", str(output), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    first = last = None
    while process.poll() is None:
        has_turns = (output / "run.jsonl").exists()
        try:
            spent = cpu_seconds(process.pid)
        except (OSError, ValueError):
            break
        if has_turns:
            first = spent if first is None else first
            if not (output / "results.csv").exists() and not finished(output):
                last = spent
        try:
            process.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            continue
    if process.wait():
        raise SystemExit("the run failed")
    return read_run(output), (last or 0.0) - (first or 0.0)


def finished(output: Path) -> bool:
    """True when the journal has its last line."""
    with (output / "run.jsonl").open("rb") as file:
        file.seek(max(0, os.path.getsize(file.name) - 400))
        return b'"run_finished"' in file.read()


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counted_share(run: Run) -> float:
    """Seconds inside counted calls over the run's seconds without imports and compilation."""
    counted = apart = total = rounds = 0.0
    for event in run.events:
        match event:
            case Turn():
                wall, calls = event.wall_s, event.calls
                counted += calls.get("inference", 0) * wall.get("inference", 0.0)
                parts = ("forward", "backward", "disposal")
                counted += calls.get("step", 0) * sum(wall.get(name, 0.0) for name in parts)
                counted += calls.get("forward_backward", 0) * wall.get("forward_backward", 0.0)
                counted += sum(calls[name] * wall[name] for name in ("copy", "step_copy", "launch") if name in wall)
            case WorkerStarted():
                apart += event.import_s
            case WorkloadFinished():
                rounds += event.rounds_s
                apart += event.compiling_s
            case RunFinished():
                total = event.wall_s
            case _:
                pass
    print(f"  {counted:.1f} s counted, {rounds:.1f} s of rounds, {total:.1f} s in all, {apart:.1f} s of them apart")
    return counted / (total - apart)


def start_ratio(ours: list[str], theirs: list[str]) -> float:
    """The median ratio of wall times of alternating starts."""
    ratios = []
    for _ in range(STARTS):
        seconds = []
        for arguments in (ours, theirs):
            started = perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds.append(perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return median(ratios)


if __name__ == "__main__":
    main()
