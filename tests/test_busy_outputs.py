"""A run on a busy machine says so on top of every output, and one on a quiet machine in none."""

import json
from xml.etree import ElementTree

import fabricate
import pytest
from condensed import check_of, found, suite
from condensed import run as condensed_run

from lnbench.comparison import compare_runs
from lnbench.conductor.beside import RUNS_FORMATS, ShownRuns
from lnbench.conductor.formats import CHECK_FORMATS, COMPARISON_FORMATS, RUN_FORMATS, recommendation_formats
from lnbench.conductor.shown_run import ShownRun
from lnbench.evidence import Evidence
from lnbench.record import Run
from lnbench.render.plots.image import SUBTITLE_WIDTH, Drawing
from lnbench.view import view_run

LINE = (
    "busy machine: other processes used up to 1.9 of 2 cores before the run and in 1 of 1 workload (load up to 4.1); "
    "rows with too few undisturbed samples are unstable"
)
NO_PLACE = {"csv", "bencher"}
"""Formats that hold rows and nothing else."""


def busy(run, **header):
    """The same run on a busy machine."""
    made = run.header.model_copy(update=header) if header else run.header
    return Run(header=made, events=(*fabricate.BUSY_LOOKS, *run.events))


def quiet_run(**fields):
    cases = [fabricate.case("fused"), fabricate.case("eager")]
    return fabricate.run([fabricate.workload()], cases, fabricate.noisy_turns({0: 1e-4, 1: 2e-4}, rounds=5), **fields)


def checked(*, base_is_busy=False, head_is_busy=True):
    """A check against a baseline, either of them on a busy machine."""
    cases = suite(1, ("mine",))
    rows = found(cases, {0: [0.0] * 3, 1: [0.1, 0.101, 0.102]})
    looks = list(fabricate.BUSY_LOOKS)
    base = condensed_run(cases, [*(looks if base_is_busy else []), *rows], run_id="base")
    return condensed_run(cases, [*(looks if head_is_busy else []), *rows], run_id="head", check=check_of(base))


def plain(text):
    """Without the marks of markdown, LaTeX and HTML, and in one line."""
    return " ".join(text.replace("\\", "").replace("**", "").split())


@pytest.mark.parametrize("name", sorted(set(RUN_FORMATS) - NO_PLACE))
def test_every_format_of_a_run_says_that_the_machine_was_busy(name):
    quiet = quiet_run()

    assert LINE[5:] in plain(RUN_FORMATS[name](ShownRun(busy(quiet))))
    assert "busy machine" not in plain(RUN_FORMATS[name](ShownRun(quiet))).lower()


@pytest.mark.parametrize("name", sorted(NO_PLACE))
def test_a_format_of_rows_alone_is_the_same_on_a_busy_machine(name):
    quiet = quiet_run()

    assert RUN_FORMATS[name](ShownRun(busy(quiet))) == RUN_FORMATS[name](ShownRun(quiet))


def test_an_image_names_the_busy_machine_below_its_title():
    def subtitle(run):
        return Drawing(run, view_run(run)).draw("speedup").specification["title"]["subtitle"]

    assert " ".join(subtitle(busy(quiet_run()))[1:]) == LINE
    assert max(map(len, subtitle(busy(quiet_run())))) <= SUBTITLE_WIDTH
    assert subtitle(quiet_run()) == "forward_backward; wall clock"


def test_the_busy_machine_line_comes_first_below_the_title():
    shown = ShownRun(busy(quiet_run()))

    assert shown.terminal().startswith("busy machine: ")
    assert shown.latex().startswith("% busy machine: ")
    assert next(iter(json.loads(shown.json()))) == "busy_machine"
    title, _, description, _, line, *_ = shown.markdown().splitlines()
    assert (title, description) == ("# made", "Numbers without a machine.")
    assert plain(line) == f"> ⚠️ B{LINE[1:]}"
    page = shown.html()
    assert page.index(LINE) < page.index("<main>")


@pytest.mark.parametrize("name", sorted(set(CHECK_FORMATS) - NO_PLACE))
def test_every_format_of_a_check_says_that_the_machine_was_busy(name):
    text = plain(CHECK_FORMATS[name](ShownRun(checked())))

    if name == "gitlab":
        assert "lnbench_busy_machine 1" in text
        assert "lnbench_busy_machine 0" in plain(CHECK_FORMATS[name](ShownRun(checked(head_is_busy=False))))
    else:
        assert LINE[5:] in text.replace("%25", "%")
        assert "other processes used" not in plain(CHECK_FORMATS[name](ShownRun(checked(head_is_busy=False))))


@pytest.mark.parametrize("name", ["terminal", "markdown"])
def test_a_check_says_it_once_for_each_run_that_it_compares(name):
    shown = ShownRun(checked(base_is_busy=True))
    text = plain(shown.terminal() if name == "terminal" else shown.markdown())

    assert text.count(f"ase: {LINE}") == text.count(f"ead: {LINE}") == 1
    assert text.count("other processes used") == 2


def test_a_check_is_busy_although_only_its_confirmation_was():
    made = checked(head_is_busy=False)
    look = fabricate.machine_look(of=0, process=4, others=1.9)
    late = Run(header=made.header, events=(*made.events, look))

    assert len(ShownRun(late).busy) == 1


def test_github_shows_it_as_the_first_warning_and_keeps_to_its_limit():
    lines = CHECK_FORMATS["github"](ShownRun(checked())).splitlines()

    assert lines[0].startswith("::warning title=busy machine::head: busy machine: other processes used")


def test_junit_has_it_among_the_properties_of_the_suite():
    tree = ElementTree.fromstring(CHECK_FORMATS["junit"](ShownRun(checked())))

    (found,) = tree.findall("testsuite/properties/property")
    assert (found.get("name"), found.get("value")) == ("busy_machine", f"head: {LINE}")


@pytest.mark.parametrize("name", ["terminal", "markdown", "json"])
def test_a_comparison_names_the_run_whose_machine_was_busy(name):
    base, head = quiet_run(run_id="base"), busy(quiet_run(run_id="head"))

    text = plain(COMPARISON_FORMATS[name](compare_runs(base, head)))

    assert f"ead: {LINE}" in text
    assert "ase: busy machine" not in text


@pytest.mark.parametrize("name", ["terminal", "markdown", "latex", "json"])
def test_runs_side_by_side_name_the_one_whose_machine_was_busy(name):
    runs = [quiet_run(run_id="one"), busy(quiet_run(run_id="two"))]

    text = plain(RUNS_FORMATS[name](ShownRuns(runs)))

    assert f"B: {LINE}" in text
    assert "A: busy machine" not in text


@pytest.mark.parametrize("name", ["terminal", "markdown", "json"])
def test_recommendations_from_a_busy_machine_say_so(name):
    shown = ShownRun(busy(quiet_run()))

    assert LINE[5:] in plain(recommendation_formats(shown.view.busy)[name](shown.recommendations))
    assert "busy machine" not in plain(recommendation_formats("")[name](shown.recommendations)).lower()


def test_a_journal_from_before_looks_were_kept_says_nothing():
    assert Evidence(fabricate.everything()).busy_line == ""
