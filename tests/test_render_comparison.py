"""Comparisons and checks in every output: whole expected texts, and names full of markup shown as themselves."""

import csv
import io
import json
import math
from html import escape
from xml.etree import ElementTree

import condensed
import fabricate
import pytest
from golden_files import expected
from rich.console import Console

from lnbench.comparison import compare_runs
from lnbench.conductor.formats import CHECK_FORMATS, COMPARISON_FORMATS
from lnbench.conductor.shown_run import ShownRun
from lnbench.decision import decide
from lnbench.planned import Status
from lnbench.render.comparison import render_comparison
from lnbench.stages import baseline_run

HOSTILE = "<script>|`a`|::error::\x1b[31m,%=1+1"


def near(value, *, spread=0.001):
    return [value - spread, value, value + spread]


def every_verdict(*, name="mine"):
    """A check against a baseline in which each verdict happens."""
    names = (name, "quick", "steady", "shaky", "broken", "retuned")
    cases = condensed.suite(2, names)
    count = len(names) + 1
    base = {number: near(0.1) for number in range(2 * count) if number % count}
    base[4] = base[4 + count] = [-0.2, 0.1, 0.4]
    head = base | {
        1: near(0.1 - math.log(1.08)),
        2: near(0.1 + math.log(1.2)),
        1 + count: near(0.1 - math.log(1.05)),
    }
    end = fabricate.ended(5, Status.WRONG, "dx is 40 times its tolerance off")
    retuned = [
        case.model_copy(update={"options": {"block": 256}}) if case.implementation == "retuned" else case
        for case in cases
    ]
    again = condensed.found(retuned, {1: near(0.1 - math.log(1.075)), 1 + count: near(0.1)}, first_process=3)
    again = [event for event in again if event.case in (0, 1, count, count + 1)]
    return condensed.run(
        retuned,
        [*condensed.found(retuned, head), end, condensed.confirming([0, 1, count, count + 1]), *again],
        run_id="head",
        check=condensed.check_of(condensed.run(cases, condensed.found(cases, base), run_id="base")),
        environment=fabricate.ENVIRONMENT.model_copy(update={"python": "3.12.1"}),
    )


CHECK = every_verdict()
DECISION = decide(CHECK)


def at_width(width, comparison, decision=None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(render_comparison(comparison, decision))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def test_every_verdict_happens_in_the_check_that_is_shown():
    assert min(DECISION.comparison.counts.values()) >= 1


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_check_on_the_terminal(width):
    text = at_width(width, DECISION.comparison, DECISION)

    assert text == expected(f"check-{width}.txt", text)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("markdown", "check.md"),
        ("json", "check.json"),
        ("github", "check-annotations.txt"),
        ("junit", "check.xml"),
        ("gitlab", "check-metrics.txt"),
    ],
)
def test_a_check_in_each_format(name, file):
    text = CHECK_FORMATS[name](ShownRun(CHECK))

    assert text == expected(file, text)


@pytest.mark.parametrize(("name", "file"), [("markdown", "comparison.md"), ("csv", "comparison.csv")])
def test_a_comparison_in_each_format(name, file):
    base = baseline_run(CHECK.header.check)

    text = COMPARISON_FORMATS[name](compare_runs(base, CHECK))

    assert text == expected(file, text)


def test_the_page_of_a_check_begins_with_what_it_comes_to_and_has_every_row():
    text = CHECK_FORMATS["html"](ShownRun(CHECK))
    section = text.partition('aria-labelledby="check"')[2].partition("</section>")[0]

    assert escape(DECISION.headline) in section
    assert section.count('<th scope="row">') == len(DECISION.comparison.rows)
    assert text.index('id="check"') < text.index('id="results"')


def test_the_page_of_a_run_that_is_no_check_has_no_verdict():
    assert 'id="check"' not in CHECK_FORMATS["html"](ShownRun(fabricate.everything()))


HOSTILE_CHECK = ShownRun(every_verdict(name=HOSTILE))


def test_terminal_escapes_of_names_steer_no_terminal():
    assert "\x1b" not in at_width(120, HOSTILE_CHECK.checked.comparison, HOSTILE_CHECK.checked)


def test_names_full_of_markup_are_text_in_markdown():
    text = HOSTILE_CHECK.summary()

    assert "<script>" not in text
    assert "&lt;script&gt;\\|\\`a\\`\\|" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} <= {7, 6, 4}


def test_names_end_no_workflow_command_and_start_none():
    lines = CHECK_FORMATS["github"](HOSTILE_CHECK).splitlines()

    assert all(line.startswith("::") and line.count("::") >= 2 for line in lines)
    for line in lines:
        properties = line.removeprefix("::").partition("::")[0]
        assert properties.partition(" title=")[2].count(":") == 0
        assert "," not in properties


def test_the_xml_is_whole_and_shows_names_as_they_are():
    root = ElementTree.fromstring(CHECK_FORMATS["junit"](HOSTILE_CHECK))

    assert any("<script>" in (case.get("name") or "") for case in root.iter("testcase"))
    (suite,) = root
    assert int(suite.get("failures")) == len(list(root.iter("failure")))
    assert int(suite.get("skipped")) == len(list(root.iter("skipped")))
    assert int(suite.get("errors")) == len(list(root.iter("error")))
    assert int(suite.get("tests")) == len(list(root.iter("testcase")))


def test_the_json_is_strict():
    def refuse(constant):
        raise AssertionError(constant)

    told = json.loads(CHECK_FORMATS["json"](HOSTILE_CHECK), parse_constant=refuse)

    assert HOSTILE in {row["implementation"] for row in told["rows"]}


def test_metrics_escape_what_ends_a_label():
    run = every_verdict(name='a"b\\c')
    lines = CHECK_FORMATS["gitlab"](ShownRun(run)).splitlines()

    assert any('implementation="a\\"b\\\\c"' in line for line in lines)
    assert lines[-1] == "# EOF"


def test_no_cell_of_the_csv_is_a_formula():
    comparison = ShownRun(every_verdict(name="=1+1")).checked.comparison

    found = list(csv.DictReader(io.StringIO(COMPARISON_FORMATS["csv"](comparison))))

    assert {row["implementation"] for row in found} >= {"'=1+1"}


def test_a_comparison_of_nothing_says_so_in_every_format():
    cases = condensed.suite(1)
    empty = condensed.run(cases, [], run_id="empty")

    for render in COMPARISON_FORMATS.values():
        assert render(compare_runs(empty, empty))
    assert "none compared" in COMPARISON_FORMATS["terminal"](compare_runs(empty, empty))
