"""One run at a time on a machine."""

import json
import os
import subprocess
import sys
from datetime import datetime

import psutil
import pytest

from lnbench.conductor.alone import alone_on_machine
from lnbench.errors import NothingMeasuredError

HOLDING = """
import sys
from pathlib import Path
from lnbench.conductor.alone import alone_on_machine
with alone_on_machine("lnbench run theirs", wait=True, say=print, lock=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
OTHERS = '{"process": 1, "started": 5.0, "what": "theirs", "since": "11:00"}'
"""The number of a process that lives, from a time when it was another's."""

NOON = datetime(2026, 11, 22, 12, 0)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock, and its lock."""
    lock = tmp_path / "lnbench.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process, lock
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_second_fails_at_once_where_it_must_not_wait_and_names_the_first(holder):
    process, lock = holder

    with pytest.raises(NothingMeasuredError) as caught, alone_on_machine("ours", wait=False, say=print, lock=lock):
        pass

    told = f"another lnbench measures on this machine: process {process.pid}, `lnbench run theirs` since "
    assert caught.value.message.startswith(told)


def test_the_second_waits_says_for_whom_and_goes_on_when_the_first_is_done(holder, monkeypatch):
    process, lock = holder
    said = []
    monkeypatch.setattr("lnbench.conductor.alone.LOOK_EVERY_S", 0.01)

    def say(text):
        said.append(text)
        process.stdin.close()

    with alone_on_machine("ours", wait=True, say=say, lock=lock, now=lambda: NOON):
        told = json.loads(lock.with_suffix(".json").read_text())

    who = f"process {process.pid}, `lnbench run theirs` since "
    assert said[0].startswith(f"waiting for another lnbench on this machine: {who}")
    assert told == {
        "process": os.getpid(),
        "started": psutil.Process().create_time(),
        "what": "ours",
        "since": "12:00",
    }


def test_the_lock_of_a_process_that_was_killed_is_taken_over_without_a_word(holder):
    process, lock = holder
    process.kill()
    process.wait()
    said = []

    with alone_on_machine("ours", wait=False, say=said.append, lock=lock):
        pass

    assert said == []


@pytest.mark.parametrize(
    "note", ["", "[]", '{"process": "x"}', OTHERS, '{"process": 1e99, "started": 0, "what": 2, "since": 3}', "\x00" * 9]
)
def test_a_note_that_makes_no_sense_is_left_out_of_the_message(holder, note):
    _, lock = holder
    lock.with_suffix(".json").write_text(note)

    with (
        pytest.raises(NothingMeasuredError, match="it does not say which"),
        alone_on_machine("ours", wait=False, say=print, lock=lock),
    ):
        pass


def test_where_no_lock_can_be_had_the_run_goes_on_and_that_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    said = []

    with alone_on_machine("ours", wait=False, say=said.append, lock=tmp_path / "file" / "lnbench.lock"):
        pass

    assert said[0].startswith("note: no other run on this machine would be noticed")
