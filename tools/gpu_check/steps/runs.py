"""Runs of lnbench on the card: shipped suites, identical work, libraries of kernels, other frameworks."""

from collections.abc import Iterable
from typing import Any

from tools.gpu_check.bench import PLUGINS, Bench
from tools.gpu_check.result_rows import Row, counts, lines, number, reasons, rows
from tools.gpu_check.summary import Outcome, Result, passed_if

MEASURED = {"ok", "unstable"}

MOST_DEVIATION = 0.015
"""Identical work may differ by so much: what one process's memory layout is worth."""

OPTIONAL = {"unsupported", "skipped"}
"""How a row may end that needs a library which is not there."""


def suites(bench: Bench, limit_s: float) -> Outcome:
    """Every shipped suite that names `cuda`, with small shapes: does each block of workloads get through?"""
    written = bench.commands.python("-m", "tools.gpu_check.small_suites", bench.work, limit_s=limit_s)
    names = written.text.split() if written.code == 0 else []
    found: dict[str, Any] = {} if names else {"printed": written.text[-1500:]}
    failed = []
    for name in names:
        done = bench.commands.lnbench("run", f"{name}.yaml", "-o", f"small-{name}", limit_s=limit_s)
        table = rows(bench.work / f"small-{name}")
        found[name] = {"exit": done.code, "statuses": counts(table)}
        failed += _unexpected(table) or ([] if table else [f"{name}: no rows, exit {done.code}: {done.last_line}"])
    return passed_if(bool(names) and not failed, {**found, "failed": failed})


def identical(bench: Bench, limit_s: float) -> Outcome:
    """Twins of `fused` beside it, in three processes: every speedup is 1 but for the measurement's error."""
    shapes = "[[8, 64], [16, 64]]" if bench.rehearsal else "[[16, 4096], [4096, 1024], [16384, 768]]"
    text = f"""
name: identical
reference: fused
implementations: [fused, twin_a, twin_b]
workloads: [{{shapes: {shapes}, dtypes: bfloat16, devices: cuda}}]
sampling: {{processes: {1 if bench.rehearsal else 3}, precision: 0.002, budget_s: {0.3 if bench.rehearsal else 1.0}}}
"""
    file, plugin = bench.suite("identical", text), PLUGINS / "twins.py"
    done = bench.commands.lnbench("run", file, "--plugin", plugin, "-o", "identical", limit_s=limit_s)
    table = [row for row in rows(bench.work / "identical") if row["implementation"].startswith("twin")]
    timed = [row for row in table if row["clock"] == "device" and number(row["speedup"]) is not None]
    deviations = {
        f"{row['workload']} {row['implementation']} {row['phase']}": (number(row["speedup"]) or 0.0) - 1
        for row in timed
    }
    holding = [row for row in timed if _holds_one(row)]
    found = {
        "exit": done.code,
        "worst": max(deviations.items(), key=lambda item: abs(item[1]), default=None),
        "intervals_that_hold_1": f"{len(holding)} of {len(timed)}",
    }
    if bench.rehearsal:  # times of a pretended GPU mean nothing
        return passed_if(bool(timed), found)
    return passed_if(bool(timed) and all(abs(off) < MOST_DEVIATION for off in deviations.values()), found)


def gpu_suite(bench: Bench, limit_s: float) -> Outcome:
    """The shipped suite `gpu` at a few of its shapes, in one process."""
    shapes = ("16384x768", "16x4096", "6272x256", "256x256x14x14", "512x65536")
    return _shipped(bench, "gpu", shapes, needed=set(), limit_s=limit_s)


def kernels(bench: Bench, limit_s: float) -> Outcome:
    """The shipped suite `kernels` at two of its shapes, with whatever libraries are there."""
    needed = {"fused", "compiled", "rms_norm"}
    return _shipped(bench, "kernels", ("16384x768", "8192x4096"), needed=needed, limit_s=limit_s)


def frameworks(bench: Bench, limit_s: float) -> Outcome:
    """JAX and Equinox on the GPU, on streams of their own, and PyTorch's CUDA graphs through torch.compile."""
    if bench.rehearsal:
        return Outcome(Result.SKIPPED, {"why": "other frameworks need a real GPU"})
    text = """
name: frameworks
reference: fused
implementations: [fused, jax, equinox, trap_graphs]
workloads: [{shapes: [[4096, 1024]], devices: cuda}]
sampling: {processes: 1, precision: 0.01, budget_s: 2}
"""
    file, plugin = bench.suite("frameworks", text), PLUGINS / "traps.py"
    arguments = ("--plugin", plugin, "--timeout", "60", "-o", "frameworks")
    done = bench.commands.lnbench("run", file, *arguments, limit_s=limit_s)
    table = rows(bench.work / "frameworks")
    jax = [row for row in table if row["implementation"] in {"jax", "equinox"} and row["clock"] == "wall"]
    found = {"exit": done.code, "statuses": counts(table), "reasons": reasons(table), "rows": lines(table)}
    if jax and all(row["status"] in OPTIONAL for row in jax):
        return Outcome(Result.NOTE, found)
    return passed_if(any(row["status"] in MEASURED for row in jax) and not _unexpected(jax), found)


def _shipped(bench: Bench, name: str, shapes: Iterable[str], *, needed: set[str], limit_s: float) -> Outcome:
    """A shipped suite at some of its shapes. needed: what has to be measured; () for all that is not optional."""
    if bench.rehearsal:
        return Outcome(Result.SKIPPED, {"why": "its shapes are for a real GPU; the step suites has them small"})
    only = ",".join(f"input_shape={shape}" for shape in shapes)
    options = ("--only", only, "--processes", "1", "--budget", "1", "-o", name)
    done = bench.commands.lnbench("run", name, *options, limit_s=limit_s)
    table = rows(bench.work / name)
    on_device = [row for row in table if row["clock"] == "device"]
    measured = {row["implementation"] for row in on_device if row["status"] in MEASURED}
    failed = _unexpected(on_device) + [f"{it}: not measured" for it in sorted(needed - measured)]
    found = {"exit": done.code, "statuses": counts(table), "reasons": reasons(table), "rows": lines(table)}
    return passed_if(done.code == 0 and bool(measured) and not failed, {**found, "failed": failed})


def _unexpected(table: Iterable[Row]) -> list[str]:
    """The rows that neither were measured nor miss a library, each once."""
    odd = (row for row in table if row["status"] not in MEASURED | OPTIONAL)
    return sorted({f"{row['implementation']}: {row['status']}: {row.get('reason', '')[:160]}" for row in odd})


def _holds_one(row: Row) -> bool:
    low, high = number(row.get("speedup_low")), number(row.get("speedup_high"))
    return low is not None and high is not None and low <= 1 <= high
