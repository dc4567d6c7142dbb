"""A check as a metrics report for GitLab, in OpenMetrics text: slowdowns by row, and counts by verdict.

Source of the format: OpenMetrics 1.0, section "Text format".
"""

from collections.abc import Mapping

from lnbench.decision import Decision
from lnbench.render.outside import plain


def render_metrics(decision: Decision) -> str:
    """The text, ending in the mark of its end."""
    comparison = decision.comparison
    lines = [
        "# TYPE lnbench_slowdown gauge",
        "# HELP lnbench_slowdown Time of head over time of base; above 1 is slower.",
    ]
    for row in comparison.rows:
        if row.slowdown is not None:
            labels = {
                "workload": row.workload,
                "implementation": row.implementation,
                "norm_mode": row.norm_mode,
                "phase": row.phase,
                "clock": row.clock,
            }
            lines.append(f"lnbench_slowdown{_labels(labels)} {row.slowdown:.6g}")
    lines += ["# TYPE lnbench_rows gauge", "# HELP lnbench_rows Compared rows by verdict."]
    lines += [f"lnbench_rows{_labels({'verdict': verdict})} {count}" for verdict, count in comparison.counts.items()]
    lines += ["# TYPE lnbench_busy_machine gauge"]
    lines += ["# HELP lnbench_busy_machine Runs during which other processes kept their machine busy."]
    lines += [f"lnbench_busy_machine {len(comparison.busy)}"]
    lines += ["# TYPE lnbench_exit_code gauge", "# HELP lnbench_exit_code Exit code of the check."]
    lines += [f"lnbench_exit_code {int(decision.exit_code)}", "# EOF"]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    told = (f'{name}="{_escaped(value)}"' for name, value in labels.items() if value)
    return f"{{{','.join(told)}}}"


def _escaped(value: str) -> str:
    return plain(value).replace("\\", "\\\\").replace('"', '\\"')
