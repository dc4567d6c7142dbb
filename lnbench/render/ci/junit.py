"""A check as JUnit XML: a test case per row; confirmed slower rows are failures, unknown ones are skipped."""

from xml.etree import ElementTree

from lnbench.compared import ComparedRow
from lnbench.decision import Decision
from lnbench.errors import ExitCode
from lnbench.render.comparison_cells import reading
from lnbench.render.outside import plain
from lnbench.verdict import Verdict

_SKIPPED = {Verdict.INCONCLUSIVE, Verdict.MISSING, Verdict.NOT_COMPARABLE}


def render_junit(decision: Decision) -> str:
    """The XML text. Failed cases and a check that compared nothing are errors, in a test case of their own."""
    rows = decision.comparison.rows
    errors = [text for code, text in decision.findings if code in {ExitCode.CASE_FAILED, ExitCode.NOTHING_MEASURED}]
    suite = ElementTree.Element(
        "testsuite",
        name="lnbench check",
        tests=str(len(rows) + len(errors)),
        failures=str(sum(row.verdict is Verdict.SLOWER for row in rows)),
        skipped=str(sum(row.verdict in _SKIPPED for row in rows)),
        errors=str(len(errors)),
        time="0",
    )
    if decision.comparison.busy:
        properties = ElementTree.SubElement(suite, "properties")
        for line in decision.comparison.busy:
            ElementTree.SubElement(properties, "property", name="busy_machine", value=plain(line))
    for row in rows:
        _add_row(suite, row)
    for text in errors:
        case = ElementTree.SubElement(suite, "testcase", classname="lnbench", name="check", time="0")
        ElementTree.SubElement(case, "error", message=plain(text))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add_row(suite: ElementTree.Element, row: ComparedRow) -> None:
    name = plain(f"{row.title} {row.phase} ({row.clock})")
    time = "0" if row.head_median_s is None else f"{row.head_median_s:.9f}"
    case = ElementTree.SubElement(suite, "testcase", classname=plain(row.workload), name=name, time=time)
    if row.verdict is Verdict.SLOWER:
        ElementTree.SubElement(case, "failure", message=plain(reading(row)), type="slower").text = plain(reading(row))
    elif row.verdict in _SKIPPED:
        ElementTree.SubElement(case, "skipped", message=plain(f"{row.verdict}: {reading(row)}"))
    else:
        ElementTree.SubElement(case, "system-out").text = plain(f"{row.verdict}: {reading(row)}")
