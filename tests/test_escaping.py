"""Every text of a stranger's journal that tries to be more than text, in every output that shows it."""

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import fabricate
import pandas as pd
import pytest

from lnbench.cli.door import run_command_line
from lnbench.errors import ExitCode
from lnbench.render.outside import steers
from lnbench.store.reading import read_run

STEERING = "\x1b]0;t\x07\x1b[2J\x9b31m\x7f\u202egnp\u2066\ufeff\r\n"
HOSTILE = f'=1+1|<script>alert("x")</script><img src=x onerror=y>[bold]`{STEERING}::error::x%0A[a](javascript:x)]]>'
KNOWN = {
    "event",
    "status",
    "stage",
    "moment",
    "phase",
    "clock",
    "kind",
    "stopped_by",
    "dtype",
    "param_dtype",
    "device",
    "layout",
    "cache",
    "allocator",
    "affine",
    "gradients",
    "autocast",
    "norm_mode",
    "function",
    "phases",
    "clocks",
    "reference",
    "implementation",
    "allowed",
    "commit",
}
"""Fields that hold one of a few words, or a name by which lines find each other."""


def spoilt(value, name=""):
    """The same with hostile text wherever any text may stand, in front of what was there."""
    if isinstance(value, dict):
        maps = name in {"options", "plugins", "versions", "settings", "readings"}
        return {HOSTILE + key if maps else key: spoilt(child, key) for key, child in value.items()}
    if isinstance(value, list):
        return [spoilt(child, name) for child in value]
    if not isinstance(value, str) or name in KNOWN - {"implementation", "reference"} or value in {"Infinity", "NaN"}:
        return value
    return HOSTILE + value if value else value


@pytest.fixture
def lnbench(tmp_path, monkeypatch, capsys):
    """Runs a command beside two hostile journals, a check and another; gives code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    made = fabricate.every_event()
    for name, run_id in (("run.jsonl", "head"), ("base.jsonl", "base")):
        lines = [made.header.model_copy(update={"run_id": run_id}), *made.events]
        text = "".join(f"{json.dumps(spoilt(json.loads(line.model_dump_json())))}\n" for line in lines)
        (tmp_path / name).write_text(text)

    def run(*arguments):
        code = run_command_line([*arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        "report run.jsonl",
        "report run.jsonl --columns all",
        *(
            f"report run.jsonl -f {name}"
            for name in ("markdown", "csv", "json", "github", "junit", "gitlab", "csv --samples")
        ),
        "report run.jsonl -f svg --plot time",
        *(
            f"report run.jsonl -f {name}"
            for name in ("latex", "pytest-benchmark", "github-action-benchmark", "bencher")
        ),
        "report base.jsonl run.jsonl",
        *(f"report base.jsonl run.jsonl -f {name}" for name in ("markdown", "csv", "json", "latex", "csv --samples")),
        "recommend run.jsonl",
        *(f"recommend run.jsonl -f {name}" for name in ("markdown", "json")),
        "compare base.jsonl run.jsonl",
        *(f"compare base.jsonl run.jsonl -f {name}" for name in ("markdown", "csv", "json")),
        "history .",
        *(f"history . -f {name}" for name in ("markdown", "csv", "json")),
    ],
)
def test_no_output_lets_a_journal_steer_whoever_reads_it(lnbench, arguments):
    code, out, err = lnbench(*arguments.split())

    assert code in {ExitCode.FINE, ExitCode.NOTHING_MEASURED}, err
    assert "alert" in out
    assert {letter for letter in out + err if letter != "\n" and steers(letter)} == set()


@pytest.mark.parametrize(
    "command",
    ["report run.jsonl", "compare base.jsonl run.jsonl", "report base.jsonl run.jsonl", "history ."],
)
def test_markdown_has_no_markup_but_our_own(lnbench, command):
    _, out, _ = lnbench(*command.split(), "-f", "markdown")

    assert set(re.findall(r"</?([a-z]+)", out)) <= {"details", "summary", "sup", "br"}
    assert not re.search(r"(?<!\\)\]\(", out)
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= set(range(3, 12))


@pytest.mark.parametrize("command", ["report run.jsonl", "history ."])
def test_a_page_has_no_markup_but_our_own_and_no_letter_that_steers(lnbench, command):
    _, out, _ = lnbench(*command.split(), "-f", "html")
    body, _, rest = out.partition('<script type="application/json" id="plots">')
    records = rest.partition("</script>")[0]

    assert "alert" in body
    assert "alert" in records
    assert "<script" not in body
    assert "<img" not in body
    assert {letter for letter in body if letter != "\n" and steers(letter)} == set()
    assert records.isascii()
    assert "<" not in records


@pytest.mark.parametrize("command", ["report run.jsonl", "history ."])
def test_csv_has_no_formula_and_one_line_a_row(lnbench, command):
    _, out, _ = lnbench(*command.split(), "-f", "csv")

    rows = pd.read_csv(io.StringIO(out), dtype=str, keep_default_na=False)
    assert len(out.splitlines()) == len(rows) + 1
    assert not [text for text in rows.to_numpy().ravel() if text.startswith(("=", "+", "@"))]


def test_github_takes_no_command_from_a_journal(lnbench):
    _, out, _ = lnbench("report", "run.jsonl", "-f", "github")

    assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in out.splitlines())


def test_junit_and_json_stay_well_formed(lnbench):
    assert ElementTree.fromstring(lnbench("report", "run.jsonl", "-f", "junit")[1]).tag == "testsuites"
    compared = json.loads(lnbench("compare", "base.jsonl", "run.jsonl", "-f", "json")[1])
    # A reader of JSON gets the text as it was: it is escaped, not changed.
    assert any(HOSTILE in row["implementation"] for row in compared["rows"])


def test_an_error_that_quotes_a_file_or_the_command_line_is_one_plain_line(lnbench):
    name = f"no{STEERING.strip()}such"
    for arguments in (["report", name], ["run", f"{name}.yaml"], ["report", "run.jsonl", "-f", name], [name]):
        code, out, err = lnbench(*arguments)

        assert (code, out) == (ExitCode.USAGE, "")
        assert len(err.splitlines()) <= 2
        assert {letter for letter in err if letter != "\n" and steers(letter)} == set()


def test_a_traceback_that_was_asked_for_is_plain_too(lnbench, tmp_path):
    Path(tmp_path / "broken.jsonl").write_text('{"event":"\\u001b[2J"}\n{"event":"\\u202e"}\n')

    _, _, err = lnbench("report", f"bro{STEERING}ken.jsonl", "--debug")

    assert "Traceback" in err
    assert {letter for letter in err if letter != "\n" and steers(letter)} == set()


def test_a_message_about_a_line_that_quotes_it_is_plain(lnbench, tmp_path):
    line = json.dumps({"event": f"x{STEERING}"})
    header = (tmp_path / "run.jsonl").read_text().splitlines()[0]
    (tmp_path / "broken.jsonl").write_text(f"{header}\n{line}\n")

    code, _, err = lnbench("report", "broken.jsonl")

    assert code == ExitCode.USAGE
    assert err.startswith("error: broken.jsonl:2: ")
    assert {letter for letter in err if letter != "\n" and steers(letter)} == set()


def test_the_hostile_journals_are_read_as_they_are(lnbench, tmp_path):
    assert HOSTILE in read_run(tmp_path / "run.jsonl").header.environment.cpu
