"""A check for GitHub Actions: workflow commands, which it shows as annotations. The step summary is the markdown.

Source of the format: "Workflow commands for GitHub Actions", docs.github.com.
"""

from lnbench.compared import ComparedRow
from lnbench.decision import Decision
from lnbench.errors import ExitCode
from lnbench.render.comparison_cells import opened, reading
from lnbench.render.outside import plain
from lnbench.verdict import Verdict

MOST_ANNOTATIONS = 10
"""GitHub shows ten of a kind per step; the rest stands in the summary."""


def render_annotations(decision: Decision) -> str:
    """The headline, that a machine was busy, and the rows that need a look, a command a line."""
    kind = {ExitCode.FINE: "notice", ExitCode.UNFIT: "warning"}.get(decision.exit_code, "error")
    busy = decision.comparison.busy
    lines = [_command("warning", "busy machine", line) for line in busy]
    lines.append(_command(kind, "lnbench", decision.headline))
    rows = [row for row in opened(decision.comparison.rows) if row.verdict is not Verdict.FASTER]
    slower = [row for row in rows if row.verdict is Verdict.SLOWER]
    unknown = [row for row in rows if row.verdict is not Verdict.SLOWER]
    lines += [_command("error", _title(row), reading(row)) for row in slower[: MOST_ANNOTATIONS - 1]]
    for row in unknown[: MOST_ANNOTATIONS - 1 - len(busy)]:
        lines.append(_command("notice" if row.verdict.is_decided else "warning", _title(row), reading(row)))
    return "".join(f"{line}\n" for line in lines)


def _title(row: ComparedRow) -> str:
    return f"{row.verdict}: {row.title} {row.phase} on {row.workload}"


def _command(kind: str, title: str, text: str) -> str:
    return f"::{kind} title={_property(plain(title))}::{_data(plain(text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
