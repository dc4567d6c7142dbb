"""A run as one of pytest-benchmark's files: `pytest-benchmark compare FILE` shows it, beside others.

Its statistics are plain ones of all samples, as that tool knows them: the minimum, mean and standard deviation of times
of one machine at one hour, with no intervals and nothing paired. Use them to look; `lnbench check` judges.

Source of the format: what pytest-benchmark 5.3 writes with --benchmark-json, and its stats.py.
"""

from typing import Any

from lnbench.exported import Export, ExportedRow
from lnbench.record import Header
from lnbench.render.exchange.names import row_name
from lnbench.render.json import json_text
from lnbench.render.outside import plain
from lnbench.sample_statistics import sample_statistics

LIKE_VERSION = "5.3.1"
"""The version whose files these are like."""


def render_benchmarks(export: Export) -> str:
    """The file: machine, no commit, and a benchmark per row, without the raw samples (`report --samples` has them)."""
    header = export.header
    return json_text(
        {
            "machine_info": _machine(header),
            "commit_info": _NO_COMMIT,
            "benchmarks": [_benchmark(row, busy=export.busy) for row in export.rows],
            "datetime": plain(header.created),
            "version": LIKE_VERSION,
        }
    )


_NO_COMMIT = {
    "id": "unversioned",
    "time": None,
    "author_time": None,
    "dirty": False,
    "project": "lnbench",
    "branch": "(unknown)",
}
"""What pytest-benchmark writes outside of a repository: a journal knows no commit."""


def _machine(header: Header) -> dict[str, Any]:
    """What the journal knows of the machine, and no name of a host."""
    environment = header.environment
    system, _, release = environment.system.partition(" ")
    return {
        "node": "",
        "processor": plain(environment.machine),
        "machine": plain(environment.machine),
        "python_version": plain(environment.python),
        "system": plain(system),
        "release": plain(release),
        "cpu": {
            "arch": plain(environment.machine),
            "brand_raw": plain(environment.cpu),
            "count": environment.logical_cores,
        },
    }


def _benchmark(row: ExportedRow, *, busy: str) -> dict[str, Any]:
    summary = row.summary
    workload, phase = plain(summary.workload), summary.phase.value
    return {
        "group": f"{workload} {phase}",
        "name": plain(row.title),
        "fullname": row_name(row),
        "params": {"workload": workload, "phase": phase},
        "param": phase,
        "extra_info": {
            "run_id": plain(summary.run_id),
            "status": summary.status.value,
            "processes": summary.processes,
            "reference": plain(row.reference),
            "speedup": summary.speedup,
            "speedup_low": summary.speedup_low,
            "speedup_high": summary.speedup_high,
            "samples": "medians of processes" if row.is_condensed else "means of calls",
            **({"busy_machine": plain(busy)} if busy else {}),
        },
        "options": {"timer": f"lnbench, {summary.clock.value} clock"},
        "stats": {**sample_statistics(row.samples_s)._asdict(), "iterations": row.calls},
    }
