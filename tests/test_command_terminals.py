"""What a terminal, or what stands for one, may be: sizes that are none, too narrow for a table, poor encodings."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import fabricate
import pytest
from command import run_lnbench
from rich.console import Console

from lnbench.render.cells import time_text
from lnbench.render.terminal import render_run
from lnbench.render.whole_table import WholeTable
from lnbench.view import view_run

SAMPLE = Path(__file__).parent / "samples" / "schema-3.jsonl"
WITHOUT_A_WIDTH = 120


@pytest.fixture(scope="module")
def as_without_columns(tmp_path_factory):
    """What a command shows where nothing is said of a width."""
    return run_lnbench(tmp_path_factory.mktemp("plain"), "list", "suites").stdout


@pytest.mark.parametrize("columns", ["0", "-80", "wide", "", "80.5", "٨٠", "²", "99999999999999999999", " 80", "00"])
@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
def test_what_is_no_width_is_as_if_it_were_not_there(tmp_path, as_without_columns, name, columns):
    done = run_lnbench(tmp_path, "list", "suites", env={name: columns})

    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == as_without_columns
    assert WITHOUT_A_WIDTH - 20 < max(map(len, done.stdout.splitlines())) <= WITHOUT_A_WIDTH


def test_a_width_that_is_one_is_taken(tmp_path):
    done = run_lnbench(tmp_path, "list", "suites", env={"COLUMNS": "60"})

    assert max(map(len, done.stdout.splitlines())) <= 60


def test_messages_and_progress_are_not_lost_either(tmp_path):
    """On a terminal whose COLUMNS is 0, as some CI systems start theirs."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lnbench", "report", str(SAMPLE)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "0", "LINES": "0"}
    ) as done:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # Linux's way to say that nobody writes there any more
                break
            if not data:
                break
            shown += data
    os.close(ours)

    assert done.returncode == 0
    assert b"fused" in shown


@pytest.mark.parametrize("width", [1, 10, 25, 40, 58, 79])
def test_no_cell_is_cut_however_narrow_the_terminal(width):
    view = view_run(fabricate.everything())
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(render_run(view, ("time", "traffic", "memory", "accuracy")), crop=False)
    shown = captured.get()

    times = {time_text(cell) for table in view.tables for row in table.rows for cell in row.cells if cell.median_s}
    assert times
    assert {time for time in times if time not in shown} == set()
    assert "…" not in shown


@pytest.mark.parametrize("width", [1, 20, 50])
def test_columns_that_may_wrap_give_way_before_numbers_run_past_the_width(width):
    table = WholeTable(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("text")
    table.add_column("number", no_wrap=True)
    table.add_row("words that may be broken anywhere, as long as all of them are there", "123.456 ms ±7.8 %")
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table, crop=False)
    lines = captured.get().splitlines()

    assert "123.456 ms ±7.8 %" in lines[1]
    assert max(len(line.rstrip()) for line in lines) <= max(width, 14 + 1 + 17)
    assert "there" in lines[-1]


@pytest.mark.parametrize(
    ("encoding", "has", "has_not"),
    [
        ("ascii", [r"\d us ~", "-{20}"], "[^\\x00-\\x7f]"),
        ("cp1252", [r"\d µs ±", "-{20}"], "[▉─]"),
        ("latin-1", [r"\d µs ±", "-{20}"], "[▉─]"),
        ("utf-8", [r"\d µs ±", "─{20}"], "-{20}"),
    ],
)
def test_signs_that_an_encoding_lacks_are_spelled(tmp_path, encoding, has, has_not):
    in_utf_8 = run_lnbench(tmp_path, "report", SAMPLE).stdout
    command = [sys.executable, "-m", "lnbench", "report", str(SAMPLE)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=True
    )

    shown = done.stdout.decode(encoding)
    for pattern in has:
        assert re.search(pattern, shown)
    assert not re.search(has_not, shown)
    assert shown.count("?") == in_utf_8.count("?")  # which stand for intervals that are not known


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    ("name", "read"),
    [("csv", str), ("json", json.loads), ("html", str), ("markdown", str), ("svg", ElementTree.fromstring)],
)
def test_what_a_program_reads_is_utf_8_in_every_locale(tmp_path, encoding, name, read):
    (tmp_path / "run.jsonl").write_text(SAMPLE.read_text().replace('"gpt2"', '"größe 日本 α"'), encoding="utf-8")
    command = [sys.executable, "-m", "lnbench", "report", "run.jsonl", "--format", name]
    outputs = [
        subprocess.run(command, cwd=tmp_path, capture_output=True, env={**os.environ, **more}, check=True).stdout
        for more in ({"PYTHONIOENCODING": encoding}, {"PYTHONIOENCODING": "utf-8"})
    ]

    assert outputs[0] == outputs[1]
    assert read(outputs[0].decode("utf-8"))


@pytest.mark.parametrize("arguments", [f"report {SAMPLE}", f"report {SAMPLE} -f csv", f"report {SAMPLE} -f png"])
def test_a_reader_that_goes_before_the_end_is_no_error(tmp_path, arguments):
    shell = f"{sys.executable} -m lnbench {arguments} | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("0\n", "")
