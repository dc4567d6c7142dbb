"""What goes wrong on a GPU, in one run: each trap ends as it should, and nobody innocent is blamed."""

from collections.abc import Iterable

from tools.gpu_check.bench import PLUGINS, Bench
from tools.gpu_check.result_rows import Row, rows
from tools.gpu_check.summary import Outcome, passed_if

INNOCENT = ("fused", "innocent_a", "innocent_b", "innocent_c", "innocent_array")

EXPECTED = {
    "trap_host": {"wrong", "error"},
    "trap_oom": {"oom"},
    "trap_assert": {"error", "crash"},
    "trap_lost": {"error", "crash"},
    "trap_hang": {"timeout"},
    "trap_side": {"wrong", "error"},
}
"""How these may end."""

SLOW = ("trap_waits", "trap_many")
"""What is right, and hard to time; see what became of it in the summary."""

NEEDS_A_CARD = {"trap_side"}
"""On the pretended GPU every result is finished when its call returns."""

BLAMED = {"error", "crash", "wrong", "oom", "timeout"}

LEAST_ROUNDS = 6
"""Fewer say nothing; a case that waits for the device may not take the time of the others. A rehearsal computes on the
CPU, where few fit into the budget."""


def traps(bench: Bench, limit_s: float) -> Outcome:
    """Out of memory, an assert, an illegal access, a hang, waiting, many launches, another stream, the wrong device."""
    names = [*INNOCENT, *EXPECTED, *SLOW]
    if bench.rehearsal:
        names = [name for name in names if name not in NEEDS_A_CARD]
    text = f"""
name: traps
reference: fused
implementations: [{", ".join(names)}]
workloads: [{{shapes: [[64, 256]], devices: cuda}}]
sampling: {{processes: 1, precision: 0.01, budget_s: 2}}
"""
    plugins = [PLUGINS / "traps.py", *([PLUGINS / "pretended_traps.py"] if bench.rehearsal else [])]
    options = [word for plugin in plugins for word in ("--plugin", str(plugin))]
    file = bench.suite("traps", text)
    done = bench.commands.lnbench("run", file, *options, "--timeout", "12", "-o", "traps", limit_s=limit_s)
    table = [row for row in rows(bench.work / "traps") if row["phase"] == "inference"]
    ends = {f"{row['implementation']} {row['clock']}": [row["status"], row.get("reason", "")[:220]] for row in table}
    wrong = wrong_ends(table, least_rounds=0 if bench.rehearsal else LEAST_ROUNDS)
    return passed_if(bool(table) and not wrong, {"exit": done.code, "ends": ends, "wrong": wrong})


def wrong_ends(table: Iterable[Row], *, least_rounds: int = LEAST_ROUNDS) -> list[str]:
    """What ended otherwise than it should, and the innocent that were not measured, or hardly."""
    wrong = []
    for row in table:
        name, status, reason = row["implementation"], row["status"], row.get("reason", "")[:160]
        clock = "wall" if name == "innocent_array" else "device"  # its work is not on PyTorch's stream
        if row["clock"] != clock:
            continue
        if name in EXPECTED and status not in EXPECTED[name]:
            wrong.append(f"{name} ended as {status}: {reason}")
        if name in INNOCENT and status in BLAMED:
            wrong.append(f"{name} is innocent, and ended as {status}: {reason}")
        elif name in INNOCENT and int(row.get("rounds") or 0) < least_rounds:
            wrong.append(f"{name} had only {row.get('rounds') or 0} rounds: {reason}")
    return wrong
