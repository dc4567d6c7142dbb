"""Suites and plug-ins that are anything but what they should be: one message at once, whatever stands in the file."""

import os
import sys

import pytest

from lnbench.cli.door import run_command_line
from lnbench.conductor import calling, describing, loaded
from lnbench.errors import ExitCode

PLUGIN = """from lnbench import implementation


@implementation("mine", function="layer_norm")
def mine(workload):
    return None
"""


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; gives the message with which it was refused."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = run_command_line([*arguments])
        shown = capsys.readouterr()
        assert (code, shown.out) == (ExitCode.USAGE, ""), shown.err
        message, *hint = shown.err.splitlines()
        assert message.startswith("error: ")
        assert len(hint) <= 1
        return message.removeprefix("error: ")

    return run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "mine.yaml:1: the file is empty"),
        (b"\x00" * 100, "mine.yaml:1: this is not YAML text"),
        (b"\x89PNG\xff", "mine.yaml:1: not UTF-8 text"),
        (b"a: " + b"[" * 5000, "mine.yaml:1: lists and maps nest deeper than 32"),
        (
            b"a: &a [1]\nb: &b [*a, *a]\n" + b"c: [" + b"*b, " * 200_000 + b"*b]",
            "mine.yaml:1: aliases make the file grow",
        ),
        (b"x" * (1 << 21), "mine.yaml: a suite file has at most 1 MiB"),
        (b"name: !!python/object/apply:os.system [id]\n", "mine.yaml:1: tag"),
        (b"name: a\nname: b\n", 'mine.yaml:2: key "name" stands twice'),
        (b"workloads: [{shapes: [[1000000000000000000]]}]\n", "mine.yaml:1: "),
    ],
    ids=["empty", "zeros", "binary", "deep", "bomb", "huge", "tag", "repeated", "size"],
)
def test_a_suite_that_is_none_is_refused_in_one_message(refused, tmp_path, content, message):
    (tmp_path / "mine.yaml").write_bytes(content)

    assert refused("run", "mine.yaml", "--dry-run").startswith(message)


@pytest.mark.parametrize(("name", "option"), [("mine.yaml", None), ("mine.py", "--plugin")])
def test_a_pipe_a_folder_and_a_link_to_itself_are_refused_without_waiting(refused, tmp_path, name, option):
    command = ("run", name, "--dry-run") if option is None else ("run", "quick", "--dry-run", option, name)

    os.mkfifo(tmp_path / name)
    assert refused(*command).endswith("it is no regular file")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(name)
    assert refused(*command).startswith(f"{name}: ")
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "folder" in refused(*command)


def test_a_suite_on_a_device_without_an_end_is_refused(refused, tmp_path):
    (tmp_path / "mine.yaml").symlink_to("/dev/zero")

    assert refused("list", "cases", "mine.yaml") == "mine.yaml: it is no regular file"


def test_a_plugin_file_has_a_bound(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(loaded, "_MOST_PLUGIN_BYTES", 1 << 20)
    (tmp_path / "mine.py").write_bytes(b"#" * (1 << 20) + b"\n")

    assert refused("run", "quick", "--dry-run", "--plugin", "mine.py") == "mine.py: a plug-in file has at most 1 MiB"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "mine.py: registers no implementation"),
        (b"x = 1\x00\n", "mine.py: "),
        (b"\xff\xfe", "mine.py:1: SyntaxError: "),
        (b"x = " + b"(" * 5000 + b")" * 5000, "mine.py:1: SyntaxError: too many nested parentheses"),
        (b"x = " + b"-" * 100_000 + b"1", "mine.py: "),
        (
            PLUGIN.replace('"mine"', "'a' * 100_000").encode(),
            "mine.py:4: implementation name 'aaaaaaaaaaaaaaaa'...: 100000",
        ),
        (PLUGIN.replace('"mine"', "'\\x1b[2J'").encode(), "mine.py:4: implementation name '\\x1b[2J' is not usable"),
        (PLUGIN.replace('"layer_norm"', "[]").encode(), 'mine.py:4: implementation "mine": unknown function'),
        (
            b"from lnbench import implementation\nfor i in range(10**6):\n"
            b"    implementation(f'n{i}', function='layer_norm')(lambda workload: None)\n",
            "mine.py:3: a plug-in file registers at most 10000 implementations",
        ),
        (b"raise OSError('\\ud800' + 'a' * 10**8)\n", "mine.py:1: OSError: \\ud800aaa"),
        (
            b"import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "mine.py: loading it failed: it was ended by S",
        ),
        (
            b"import os, sys\nos.write(int(sys.argv[2]), b'{]')\nos._exit(0)\n",
            "mine.py: loading it wrote something else",
        ),
    ],
    ids=[
        "empty",
        "null",
        "latin",
        "parentheses",
        "deep",
        "name",
        "escape",
        "function",
        "many",
        "message",
        "signal",
        "answer",
    ],
)
def test_a_plugin_that_is_none_is_refused_in_one_message(refused, tmp_path, content, message):
    (tmp_path / "mine.py").write_bytes(content)

    found = refused("run", "quick", "--dry-run", "--plugin", "mine.py")

    assert found.startswith(message)
    assert len(found) < 3000


def test_a_plugin_that_hangs_is_ended_when_its_time_is_up(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "PLUGIN_TIMEOUT_S", 1.0)
    (tmp_path / "mine.py").write_text("import time\nwhile True:\n    time.sleep(60)\n")

    assert refused("list", "implementations", "--plugin", "mine.py").endswith(
        "it did not finish within 1 s: mine.py:3 (<module>)"
    )


def test_a_long_summary_is_cut_and_shows_as_plain_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PLUGIN.replace('"layer_norm"', "'layer_norm', summary='\\x1b[2J[bold]' + '\\ud800 b' * 10**6")
    (tmp_path / "mine.py").write_text(text)

    code = run_command_line(["list", "implementations", "--plugin", "mine.py"])

    shown = capsys.readouterr().out
    assert code == 0
    assert "[bold]" in shown
    assert "\x1b" not in shown
    assert len(shown) < 20_000


def test_of_what_a_worker_prints_only_the_end_is_kept(monkeypatch):
    printing = "import sys\nfor _ in range(10**5): print('x' * 99, file=sys.stderr)\nprint('the end', file=sys.stderr)"
    monkeypatch.setattr(calling, "worker_command", lambda *_: [sys.executable, "-c", printing])

    kept = bytearray()
    monkeypatch.setattr(calling, "bytearray", lambda: kept, raising=False)

    assert calling.call_worker(["--describe"], timeout_s=60) == calling.Answer(b"", "the end")
    assert len(kept) <= 1 << 14
