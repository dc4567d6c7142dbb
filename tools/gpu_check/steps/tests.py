"""The agreement with other tools' clocks, the tests that need a GPU, and what reads the runs."""

import json

from tools.gpu_check.bench import REPOSITORY, Bench
from tools.gpu_check.result_rows import rows
from tools.gpu_check.summary import Outcome, Result, passed_if

WITHOUT_A_CARD = "spin or nvml_sees or nvml_and_torch or planned"
"""The tests that ask for no times of a real card, by words of their names."""


NOTHING_RECOMMENDED = 5
"""Exit code of `lnbench recommend` where no row can be compared."""


def agreement(bench: Bench, limit_s: float) -> Outcome:
    """lnbench's clock beside CUPTI, do_bench, do_bench_cudagraph, known bandwidth, the allocator and NVML."""
    file = bench.out / "agreement.json"
    options = ["--limit", f"{limit_s - 15:g}", *(["--rehearsal"] if bench.rehearsal else [])]
    done = bench.commands.python("-m", "tools.gpu_check.agreement", file, *options, limit_s=limit_s)
    try:
        checks = json.loads(file.read_text(encoding="utf-8"))["checks"]
    except (OSError, ValueError):
        return Outcome(Result.FAIL, {"printed": done.text[-1500:]})
    found = {check["name"]: check["result"] for check in checks}
    return passed_if(done.code == 0, {"checks": found})


def gpu_tests(bench: Bench, limit_s: float) -> Outcome:
    """The tests that are marked for a GPU, except the slow one of energy."""
    return _pytest(bench, WITHOUT_A_CARD if bench.rehearsal else "not energy", limit_s=limit_s)


def energy(bench: Bench, limit_s: float) -> Outcome:
    """The test of energy: loops of two seconds between steps of the card's counter."""
    if bench.rehearsal:
        return Outcome(Result.SKIPPED, {"why": "energy needs a real counter"})
    return _pytest(bench, "energy", limit_s=limit_s)


def reports(bench: Bench, limit_s: float) -> Outcome:
    """A report, a comparison of a run with itself and a recommendation, of a run of this check."""
    names = ("gpu", "kernels", "identical", "small-gpu")
    run = next((name for name in names if rows(bench.work / name)), "")
    if not run:
        return Outcome(Result.SKIPPED, {"why": "no run of this check has results"})
    commands = (
        ("report", run, "--format", "csv=report.csv", "--format", "json=report.json"),
        ("report", run, "--format", "markdown"),
        ("compare", run, run),
        ("recommend", run),
    )
    # Of a rehearsal's few rounds nothing may be recommended.
    right = {0, NOTHING_RECOMMENDED} if bench.rehearsal else {0}
    codes = {
        " ".join(words): bench.commands.lnbench(*words, limit_s=limit_s / len(commands)).code for words in commands
    }
    return passed_if(set(codes.values()) <= right, {"exits": codes})


def _pytest(bench: Bench, chosen: str, *, limit_s: float) -> Outcome:
    options = ("-q", "-m", "gpu", "-k", chosen, "-rA", "-o", "addopts=", "-p", "no:cacheprovider")
    done = bench.commands.python("-m", "pytest", *options, "tests/test_gpu.py", limit_s=limit_s, folder=REPOSITORY)
    printed = done.text.splitlines()
    found = {
        "failed": [line[:300] for line in printed if line.startswith(("FAILED", "ERROR"))],
        "passed": sum(line.startswith("PASSED") for line in printed),
        "last": done.last_line[:300],
    }
    return passed_if(done.code == 0, found)
