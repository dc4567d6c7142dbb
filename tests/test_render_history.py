"""A history in every output for people: whole outputs against golden files, widths, lines of blocks."""

import io
import json

import pandas as pd
import pytest
from golden_files import expected
from nights import nights, slower_from, with_versions
from rich.console import Console

from lnbench.analysis.history import make_history
from lnbench.analysis.history_tables import POINT_COLUMNS, points_table
from lnbench.analysis.run_points import points_of
from lnbench.render import history_markdown
from lnbench.render.csv import render_csv
from lnbench.render.history import render_history
from lnbench.render.history_json import render_history as render_json
from lnbench.render.sparkline import BLOCKS, GAP, sparkline
from lnbench.tables import READING


@pytest.fixture(scope="module")
def everything():
    """A history in which each thing that is shown happens once."""

    def nightly(night):
        found = slower_from(17, environment=with_versions(torch="2.14.0"))(night)
        failed = {5: ("module",), 6: ("module",), 29: ("eager",)}.get(night, ())
        return {**found, "failed": failed}

    runs = [
        *nights(30, nightly, label="gpt2"),
        *nights(20, slower_from(9, by=0.12), suite="uncertain", noise=0.04),
        *nights(12, slower_from(6, name="fused"), suite="moved"),
        *nights(4, suite="short"),
    ]
    return make_history(map(points_of, runs))


def shown(history, *, width):
    """A history as a terminal without colour shows it."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    console.print(render_history(history))
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_s_history_is_as_expected(everything, width):
    text = shown(everything, width=width)

    assert text == expected(f"history-{width}.txt", text)


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_no_line_of_a_history_is_wider_than_the_terminal_or_cut(everything, width):
    text = shown(everything, width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_the_markdown_of_a_history_is_as_expected(everything):
    text = history_markdown.render_history(everything)

    assert text == expected("history.md", text)


def test_a_history_s_csv_reads_back_with_its_dtypes(everything):
    table = points_table(everything)

    frame = pd.read_csv(io.StringIO(render_csv(table)), dtype=table.dtypes, **READING)

    assert list(frame.columns) == [column.name for column in POINT_COLUMNS]
    assert len(frame) == 12 * (30 + 20 + 12 + 4)
    assert set(frame["change"].dropna()) == {"slower", "reference"}
    assert frame["speedup"].isna().sum() == 12  # three nights in which a case of two workloads and two phases failed


def test_a_history_s_json_names_the_runs_of_a_change_by_their_place(everything):
    found = json.loads(render_json(everything))

    (nightly,) = [suite for suite in found["suites"] if suite["suite"] == "nightly"]
    changes = [(series["implementation"], change) for series in nightly["series"] for change in series["changes"]]
    assert {name for name, _ in changes} == {"compiled"}
    for _, change in changes:
        assert nightly["runs"][change["after"]]["created"].startswith("2026-10-18")
        assert (change["kind"], change["before"]) == ("slower", 16)
    assert nightly["markers"][0]["differences"] == [{"name": "torch", "base": "2.13.0", "head": "2.14.0"}]


def test_runs_without_a_commit_are_named_by_their_ids():
    history = make_history(map(points_of, nights(12, slower_from(6), fields={"commit": ""})))

    assert "runs 20261006-020000-nightly to 20261007-020000-nightly" in shown(history, width=120)


def test_a_workload_in_two_places_says_which():
    history = make_history(map(points_of, nights(8, lambda n: {"environment": named(f"CPU {n % 2}")})))

    text = shown(history, width=120)

    assert "256x768/float32/cpu on CPU 0 (x86_64), 2 cores" in text
    assert "256x768/float32/cpu on CPU 1 (x86_64), 2 cores" in text


def named(cpu):
    """The environment with another processor."""
    return with_versions().model_copy(update={"cpu": cpu})


@pytest.mark.parametrize(
    ("values", "width", "text"),
    [
        ([], 10, ""),
        ([1.0], 10, "▅"),
        ([None, None], 10, "··"),
        ([0.0, 1.0], 10, "▁█"),
        ([0.0, 0.01], 10, "▄▅"),
        ([0.0, None, 1.0, 1.0, 1.0, 1.0], 3, "▁██"),
        ([0.0] * 3 + [1.0] * 3, 2, "▁█"),
    ],
)
def test_a_line_has_a_block_for_each_value_or_several(values, width, text):
    assert sparkline(values, width=width, least_span=0.2) == text
    assert set(text) <= set(BLOCKS) | {GAP}
