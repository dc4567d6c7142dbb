"""Whole outputs against golden files, and hostile text in each of them."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from fabricate import case, ended, everything, finished, noisy_turns, run, turn, workload
from golden_files import expected
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lnbench.planned import Status
from lnbench.render import outside
from lnbench.render.cells import short_speedup_text, speedup_text, time_text
from lnbench.render.csv import render_csv, to_frame
from lnbench.render.markdown import render_report
from lnbench.render.terminal import render_run
from lnbench.summaries import summarize
from lnbench.tables import READING, RESULT_DTYPES, results_table, samples_table
from lnbench.view import view_run

HOSTILE = "[bold red]|<b>*x*\x1b[2J\n=SUM(A1)"


def shown(made, *, width):
    """A run as a terminal without colour shows it."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    console.print(render_run(view_run(made)))
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def hostile_run():
    """A run in which every text from outside tries to be more than text."""
    cases = [case("fused"), case(HOSTILE), case("-1+1")]
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), ended(2, Status.ERROR, HOSTILE)]
    return run([workload(label=HOSTILE)], cases, events, suite="=1+1", description=HOSTILE)


def summary(**fields):
    """A summary with these times and speedups."""
    (found, *_) = summarize(run([workload()], [case("fused")], [turn(0, 1.0)]))
    return type(found)(**{name: getattr(found, name) for name in found.__dataclass_fields__} | fields)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_terminal_table_is_as_expected(width):
    text = shown(everything(), width=width)

    assert text == expected(f"terminal-{width}.txt", text)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_no_line_of_the_terminal_table_is_wider_than_the_terminal_or_cut(width):
    text = shown(everything(), width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_a_wide_terminal_shows_time_and_speedup_side_by_side_and_a_narrow_one_stacked():
    made = run(
        [workload(phases=("forward", "backward"))], [case("fused"), case("eager")], noisy_turns({0: 1e-4, 1: 2e-4})
    )

    assert re.search(r"µs ±\S+ % +0\.\d+ \[0\.\d+, 0\.\d+\]", shown(made, width=120))
    assert re.search(r"µs ±\S+ %.*\n.* 0\.\d+x ±\S+ %", shown(made, width=50))


def test_the_report_is_as_expected():
    text = render_report(view_run(everything()))

    assert text == expected("report.md", text)


def test_the_results_are_as_expected():
    text = render_csv(results_table(everything()))
    golden = expected("results.csv", text)

    assert text.splitlines()[0] == golden.splitlines()[0]
    # The last bits of exp and log differ from one C library to another.
    pd.testing.assert_frame_equal(read(text), read(golden), rtol=1e-9)


def read(text, dtype=None):
    """A CSV as the README says to read it."""
    return pd.read_csv(io.StringIO(text), dtype=dtype or dict(RESULT_DTYPES), **READING)


def test_results_are_read_back_by_pandas_with_the_dtype_map():
    table = results_table(everything())

    found = read(render_csv(table))

    # Before version 3, pandas reads a number to within one unit in the last place, 2.2e-16 of it.
    pd.testing.assert_frame_equal(found, to_frame(table), rtol=4e-16, atol=0)
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == dict(RESULT_DTYPES)


LIKE_MISSING = ["NA", "None", "null", "nan", "NaN", "NULL"]
"""Names and labels that readers of CSV take for missing values."""


@pytest.mark.parametrize("name", [*LIKE_MISSING, "n/a", "<NA>", "#N/A", "N/A"])
def test_the_readme_s_way_to_read_results_takes_no_label_and_no_name_for_missing(tmp_path, monkeypatch, name):
    implementation = name if name in LIKE_MISSING else "fused"
    made = run([workload(label=name), workload((8, 64))], [case(implementation), case("fused", of=1)], [])
    (tmp_path / "results.csv").write_text(render_csv(results_table(made)))
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = readme.partition("<!-- dtypes -->\n```python\n")[2].partition("```")[0]
    found = {}
    monkeypatch.chdir(tmp_path)

    exec(code, found)

    results = found["results"]
    assert set(results.label.dropna()) == {name}
    assert set(results.implementation) == {implementation, "fused"}
    assert results.median_s.isna().all()
    assert dict(results.groupby("label").size()) == {name: len(results) // 2}


@pytest.mark.parametrize("name", LIKE_MISSING)
def test_samples_of_an_implementation_called_so_are_kept_apart_too(name):
    table = samples_table(run([workload()], [case(name)], noisy_turns({0: 1e-4}, rounds=3)))

    frame = pd.read_csv(io.StringIO(render_csv(table)), dtype=table.dtypes, **READING)

    assert set(frame.implementation) == {name}


def test_numbers_are_written_to_the_last_bit():
    table = samples_table(run([workload()], [case("fused")], noisy_turns({0: 1e-4}, rounds=3)))
    place = list(table.dtypes).index("sample_s")
    lines = render_csv(table).splitlines()[1:]

    assert [float(line.split(",")[place]) for line in lines] == [row[place] for row in table.rows]


def test_what_was_not_measured_is_empty_in_the_csv():
    made = run([workload(phases=("forward",))], [case("fused")], [ended(0, Status.CRASH, "died")])
    head, line = render_csv(results_table(made)).splitlines()
    values = dict(zip(head.split(","), line.split(","), strict=True))

    assert values["median_s"] == values["speedup"] == values["energy_per_call_j"] == values["label"] == ""
    assert (values["status"], values["reason"], values["samples"]) == ("crash", "died", "0")


def test_a_run_without_any_case_renders_everywhere():
    made = run([], [], [])

    assert "interrupted" in shown(made, width=80)
    assert "# made" in render_report(view_run(made))
    assert render_csv(results_table(made)).startswith("run_id,suite,")


def test_no_text_from_outside_is_a_formula_in_a_spreadsheet():
    frame = read(render_csv(results_table(hostile_run())))
    texts = [value for name in frame.columns for value in frame[name].dropna() if isinstance(value, str)]

    assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]
    assert set(frame["implementation"]) == {"fused", outside.plain(HOSTILE), "'-1+1"}


def test_tables_still_join_by_their_keys_when_names_look_like_formulas():
    table = results_table(hostile_run())
    key = ["workload", "implementation", "norm_mode", "phase", "clock"]
    left, right = read(render_csv(table)), read(render_csv(table))

    assert len(left.merge(right, on=key)) == len(table.rows)
    assert left["workload"].str.match(r"\d").all()


def test_text_from_outside_neither_steers_the_terminal_nor_becomes_markup():
    text = shown(hostile_run(), width=160)

    assert "\x1b" not in text
    assert "error: [bold red]|<b>*x* [2J =SUM(A1)" in text


def test_text_from_outside_can_not_break_the_markdown():
    text = render_report(view_run(hostile_run()))
    blocks = (block.splitlines() for block in text.split("\n\n"))
    tables = [[line for line in block if line.startswith("|")] for block in blocks if block and block[0][:1] == "|"]

    assert "<b>" not in text
    assert len(tables) > 1
    assert all(len({line.replace(r"\|", "").count("|") for line in rows}) == 1 for rows in tables)
    assert r"\[bold red\]\|&lt;b&gt;\*x\* \[2J =SUM(A1)" in text


@given(st.text())
def test_plain_text_is_one_printable_line(text):
    found = outside.plain(text)

    assert len(found) == len(text)
    assert len(found.splitlines()) <= 1
    assert all(letter == " " or letter.isprintable() or ord(letter) > 127 for letter in found)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("batch_norm", "batch_norm"),
        ("__init__", r"\_\_init\_\_"),
        ("- item", r"\- item"),
        ("-1 is odd", "-1 is odd"),
        ("12. twelve", r"12\. twelve"),
        ("1.5 times", "1.5 times"),
        ("# head", r"\# head"),
        ("a\\b", r"a\\b"),
    ],
)
def test_markdown_escapes_what_would_be_markup_and_leaves_the_rest_readable(text, safe):
    assert outside.markdown(text) == safe


@pytest.mark.parametrize(
    ("median_s", "relative", "text"),
    [
        (103.4e-6, 0.01, "103 µs ±1 %"),
        (103.4e-6, 0.12, "100 µs ±12 %"),
        (103.4e-6, 0.004, "103.4 µs ±0.4 %"),
        (1.2345e-3, 0.00001, "1.234 ms ±0.001 %"),
        (5e-9, 0.5, "5 ns ±50 %"),
        (5e-9, 30.0, "5 ns ±>100 %"),
    ],
)
def test_a_time_has_no_more_digits_than_its_interval_supports(median_s, relative, text):
    row = summary(median_s=median_s, low_s=median_s / (1 + relative), high_s=median_s * (1 + relative))

    assert time_text(row) == text


@pytest.mark.parametrize(
    ("low", "speedup", "high", "text", "short"),
    [
        (0.299, 0.302, 0.305, "0.302 [0.299, 0.305]", "0.302x ±1 %"),
        (1.0, 1.0, 1.0, "1 [1, 1]", "1x"),
        (8.0, 10.0, 12.5, "10 [8, 12]", "10x ±25 %"),
        (90.0, 120.0, 160.0, "120 [90, 160]", "120x ±33 %"),
        (0.99996, 0.99999, 1.00002, "1.000 [1.000, 1.000]", "1.000x ±0.003 %"),
    ],
)
def test_a_speedup_and_its_bounds_share_their_decimals(low, speedup, high, text, short):
    row = summary(speedup=speedup, speedup_low=low, speedup_high=high)

    assert speedup_text(row) == (text if speedup != 1.0 else "1")
    assert short_speedup_text(row) == short


def test_an_interval_that_is_not_known_is_shown_as_not_known():
    row = summary(median_s=103e-6, low_s=None, high_s=None, speedup=0.3021, speedup_low=None, speedup_high=None)

    assert (time_text(row), speedup_text(row), short_speedup_text(row)) == ("100 µs ±?", "0.30 [?]", "0.30x ±?")


def test_an_unstable_case_shows_its_times_and_its_status():
    events = [*noisy_turns({0: 1e-4}), ended(0, Status.UNSTABLE, "half of the rounds were spoiled"), finished()]
    made = run([workload()], [case("fused")], events)

    assert "fused unstable [1]" in shown(made, width=120)
    assert "| fused (unstable) <sup>1</sup> | 90" in render_report(view_run(made))
