"""Mutated suites, journals, baselines and command lines, driven through the real command line in this process.

Nothing is ever measured. Every input must end with a documented exit code, without a traceback, without a character
that steers a terminal; the slowest and the largest are told, and one past the limits fails.

    python tests/fuzz.py --inputs 20000
    python tests/fuzz.py --inputs 2000 --seed 7
"""

import argparse
import contextlib
import io
import os
import resource
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from hypothesis import HealthCheck, Phase, given, seed, settings
from mutants import Input, inputs
from specimens import SAMPLES

from lnbench.cli.door import run_command_line
from lnbench.errors import ExitCode
from lnbench.render.outside import steers

MOST_SECONDS = 2.0
MOST_BYTES = 500 << 20

DOCUMENTED = {int(code) for code in ExitCode} - {ExitCode.BUG, ExitCode.INTERRUPTED}


@dataclass(frozen=True)
class Outcome:
    """What one input came to."""

    code: int
    shown: str
    seconds: float
    grown_bytes: int


def run_input(given_input: Input, folder: Path) -> Outcome:
    """Run a command line in a folder of its own; `grown_bytes`: by how much the process' largest size grew."""
    before = Path.cwd()
    out, err = io.StringIO(), io.StringIO()
    for name, data in given_input.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    os.chdir(folder)
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = perf_counter()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_command_line([*given_input.arguments])
    finally:
        os.chdir(before)
    seconds = perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size
    return Outcome(code, out.getvalue() + err.getvalue(), seconds, grown << (0 if sys.platform == "darwin" else 10))


def check(given_input: Input, outcome: Outcome) -> None:
    """Raise AssertionError, with the input, for an outcome that no input may have."""
    told = f"{given_input.arguments}: {outcome.code}: {outcome.shown[-2000:]}"
    assert outcome.code in DOCUMENTED, told
    assert "Traceback" not in outcome.shown or "--debug" in " ".join(given_input.arguments), told
    harmless = "\n\t" if "html" in given_input.arguments else "\n"  # the library inside a page holds a tab
    steering = {letter for letter in outcome.shown if letter not in harmless and steers(letter)}
    assert not steering, f"{steering} in {told}"


def try_input(given_input: Input) -> Outcome:
    """Run and check one input in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_input(given_input, Path(folder))
    check(given_input, outcome)
    return outcome


def main() -> None:
    """Try as many inputs as asked for; say which was the slowest and which the largest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    slowest = largest = (0.0, Input(()))
    count, codes, started = 0, dict.fromkeys(sorted(DOCUMENTED), 0), perf_counter()

    @seed(asked.seed)
    @settings(
        max_examples=asked.inputs,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def try_all(given_input: Input) -> None:
        nonlocal slowest, largest, count
        outcome = try_input(given_input)
        count += 1
        codes[outcome.code] += 1
        slowest = max(slowest, (outcome.seconds, given_input), key=lambda found: found[0])
        largest = max(largest, (float(outcome.grown_bytes), given_input), key=lambda found: found[0])
        assert outcome.seconds <= MOST_SECONDS, f"{outcome.seconds:.1f} s: {given_input}"
        assert outcome.grown_bytes <= MOST_BYTES, f"{outcome.grown_bytes >> 20} MiB: {given_input}"

    for arguments in (("report", "run.jsonl"), ("list", "cases", "quick")):  # what is imported on first use
        try_input(Input(arguments, {"run.jsonl": (SAMPLES / "schema-4.jsonl").read_bytes()}))
    try_all()
    told = ", ".join(f"{code}: {found}" for code, found in codes.items())
    print(f"{count} inputs in {perf_counter() - started:.0f} s; exit codes {told}")
    print(f"slowest: {slowest[0]:.2f} s: {_short(slowest[1])}")
    print(f"largest: {int(largest[0]) >> 20} MiB more: {_short(largest[1])}")


def _short(found: Input) -> str:
    return f"{found.arguments} with { ({name: len(data) for name, data in found.files.items()}) } bytes"


if __name__ == "__main__":
    main()
