"""What is to be said of a run beside its rows, as plain values: how it was set up, where, and what was noticed."""

from collections.abc import Iterable
from typing import Any

from lnbench.evidence import Evidence
from lnbench.record import Run
from lnbench.row_summary import RowSummary

_OF_HEADER = {
    *("run_id", "created", "lnbench_version", "suite", "description", "seed", "sampling", "options", "plugins"),
    *("commit", "dirty", "environment"),
}


def run_facts(run: Run) -> dict[str, Any]:
    """The header without the plan, the devices that were found, and whether the run came to its end.

    Numbers are finite, text is as it was written.
    """
    evidence = Evidence(run)
    end = evidence.run_finished
    return {
        **run.header.model_dump(mode="json", include=_OF_HEADER),
        "devices": {worker.device: worker.device_name for worker in evidence.workers},
        "completed": end is not None and not end.interrupted,
        "resumed": [event.at for event in evidence.resumed],
        "is_check": run.header.check is not None,
        "notices": [notice.model_dump() for notice in evidence.workload_notices(None)],
    }


def told_notices(rows: Iterable[RowSummary]) -> list[dict[str, Any]]:
    """Every notice of these rows with its text, once for all phases of a case."""
    phases: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        for notice in row.notices:
            key = (row.workload, row.implementation, row.norm_mode, row.clock.value, notice.code, notice.text)
            phases.setdefault(key, []).append(row.phase.value)
    names = ("workload", "implementation", "norm_mode", "clock", "code", "text")
    return [{**dict(zip(names, key, strict=True)), "phases": found} for key, found in phases.items()]
