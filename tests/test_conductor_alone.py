"""The machine lock: one measurement at a time, first come, first served."""

import json
import os
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lnbench.conductor.alone import LOOK_EVERY_S, QUIET_S, alone_on_machine
from lnbench.errors import NothingMeasuredError, StoppedAtOnce

PARTICIPANT = """
import os, sys
from pathlib import Path
import lnbench.conductor.alone as queue
what, file, user = sys.argv[1:]
queue.LOOK_EVERY_S = 0.02
if user:
    os.setgid(int(user))
    os.setuid(int(user))
with queue.alone_on_machine(what, wait=True, say=lambda text: print(text, flush=True), file=Path(file)):
    print("held", flush=True)
    sys.stdin.read()
"""
NOBODY = 65534
NOON = datetime(2026, 11, 22, 12, 0)
SLOT_B = 1024
WAITING = "waiting for another lnbench on this machine: "


class Participant:
    """A process that takes the machine lock, holds it until `finish`, and prints what it says."""

    def __init__(self, file, what, user=""):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARTICIPANT, what, str(file), str(user)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self):
        return self.process.stdout.readline().rstrip()

    def says(self):
        """The next thing that it says about its wait, without the words that are always the same."""
        said = self.line()
        assert said.startswith(WAITING), said
        return said.removeprefix(WAITING).split(" since ")[0], said.rpartition("; ")[2]

    def finish(self):
        self.process.stdin.close()
        assert self.process.wait() == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def named(self, what, user="root"):
        return f"process {self.process.pid} of {user}, `{what}`"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "lnbench.queue"


@pytest.fixture
def join(file):
    """Starts participants; they are ended with the test."""
    with ExitStack() as stack:

        def start(what, user="", file=file):
            found = Participant(file, what, user)
            stack.callback(found.process.stdout.close)
            stack.callback(found.kill)
            stack.callback(found.process.stdin.close)
            return found

        yield start


@pytest.fixture
def holder(join):
    """Another process that measures."""
    found = join("lnbench run theirs")
    assert found.line() == "held"
    return found


def own_name():
    import psutil

    return psutil.Process().username()


def test_runs_that_wait_are_served_in_the_order_in_which_they_came(join, holder):
    waiting = []
    for number in range(1, 5):
        waiting.append(join(f"run {number}"))
        assert waiting[-1].says() == (holder.named("lnbench run theirs", own_name()), f"place {number} in the queue")

    for number, following in enumerate(waiting):
        (waiting[number - 1] if number else holder).finish()
        assert following.line() == "held"
        for place, later in enumerate(waiting[number + 1 :], 1):
            assert later.says() == (following.named(f"run {number + 1}", own_name()), f"place {place} in the queue")


def test_a_newcomer_does_not_pass_those_who_wait_however_often_it_asks(join, holder, file):
    first = join("first")
    first.says()
    first.process.send_signal(signal.SIGSTOP)
    holder.finish()

    for _ in range(3):
        with (
            pytest.raises(NothingMeasuredError, match="which is next and has not started yet"),
            alone_on_machine("newcomer", wait=False, say=print, file=file),
        ):
            pass

    first.process.send_signal(signal.SIGCONT)
    assert first.line() == "held"


def test_those_behind_a_killed_waiter_move_up_and_say_so(join, holder):
    second, third = join("second"), None
    second.says()
    third = join("third")
    assert third.says()[1] == "place 2 in the queue"

    second.kill()

    assert third.says() == (holder.named("lnbench run theirs", own_name()), "place 1 in the queue")
    holder.finish()
    assert third.line() == "held"


def test_a_killed_holder_gives_the_machine_to_the_next_in_the_queue(join, holder):
    second = join("second")
    second.says()
    third = join("third")
    third.says()

    holder.kill()

    assert second.line() == "held"
    assert third.says() == (second.named("second", own_name()), "place 1 in the queue")


def test_a_child_that_outlives_its_killed_run_does_not_hold_the_lock(tmp_path, file):
    leaving = (
        "import os, sys, time\nfrom pathlib import Path\nfrom lnbench.conductor.alone import alone_on_machine\n"
        "with alone_on_machine('ours', wait=True, say=print, file=Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if not child:\n        time.sleep(600)\n"
        "    print(child, flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen([sys.executable, "-c", leaving, str(file)], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.wait()
    said = []

    with alone_on_machine("ours", wait=False, say=said.append, file=file):
        os.kill(child, signal.SIGKILL)  # it was alive all the while

    assert said == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_two_users_share_the_queue_whoever_made_the_file(join):
    with TemporaryDirectory(dir="/tmp") as folder:  # its parents have to be open to the other user
        Path(folder).chmod(0o1777)
        file = Path(folder, "lnbench.queue")
        theirs = join("theirs", NOBODY, file)
        assert theirs.line() == "held"
        ours = join("ours", file=file)

        assert ours.says() == (theirs.named("theirs", "nobody"), "place 1 in the queue")
        again = join("again", NOBODY, file)
        assert again.says()[1] == "place 2 in the queue"
        assert (file.owner(), stat.S_IMODE(file.stat().st_mode)) == ("nobody", 0o666)
        theirs.finish()
        assert ours.line() == "held"
        assert again.says() == (ours.named("ours"), "place 1 in the queue")
        ours.kill()
        assert again.line() == "held"


def test_with_no_wait_the_second_fails_at_once_and_names_the_first(holder, file):
    with (
        pytest.raises(NothingMeasuredError) as caught,
        alone_on_machine("ours", wait=False, say=print, file=file),
    ):
        pass

    who = holder.named("lnbench run theirs", own_name())
    assert caught.value.message.startswith(f"another lnbench measures on this machine: {who} since ")


def test_the_file_does_not_grow_with_the_number_of_runs(file):
    for _ in range(5):
        with alone_on_machine("ours", wait=False, say=print, file=file, now=lambda: NOON):
            pass

    first = json.loads(file.read_bytes()[SLOT_B:].rstrip(b"\0"))
    assert file.stat().st_size == 2 * SLOT_B
    assert first == {"process": os.getpid(), "user": own_name(), "what": "ours", "since": NOON.timestamp()}


def test_a_file_that_was_deleted_is_made_again(file):
    with alone_on_machine("ours", wait=False, say=print, file=file):
        pass
    file.unlink()
    said = []

    with alone_on_machine("ours", wait=False, say=said.append, file=file):
        assert file.exists()

    assert said == []


def wait_for(holder, file, *, looks, quiet=False, at_look=lambda _: None):
    """What this process says while it waits; `holder` ends after so many looks, each LOOK_EVERY_S after the last."""
    said, passed = [], []

    def pause(seconds):
        passed.append(seconds)
        at_look(len(passed))
        if len(passed) == looks:
            holder.finish()

    with alone_on_machine(
        "ours",
        wait=True,
        say=said.append,
        quiet=quiet,
        file=file,
        now=lambda: NOON,
        clock=lambda: sum(passed),
        pause=pause,
    ):
        pass
    assert set(passed) == {LOOK_EVERY_S}
    return said


def note(file, text, slot=1):
    """Put a text into a slot."""
    with file.open("r+b") as shared:
        shared.seek(slot * SLOT_B)
        shared.write(text.encode().ljust(SLOT_B, b"\0"))


def record(**changes):
    return json.dumps({"process": 7, "user": "else", "what": "theirs", "since": NOON.timestamp(), **changes})


def test_a_wait_of_many_looks_without_a_change_is_mentioned_once(holder, file):
    assert len(wait_for(holder, file, looks=20)) == 1


def test_a_quiet_wait_is_mentioned_once_after_ten_seconds(holder, file):
    seconds = 2 * QUIET_S
    changing = {QUIET_S - 1: "early", QUIET_S + 2: "late"}

    def at_look(look):
        if look in changing:
            note(file, record(what=changing[look]))

    said = wait_for(holder, file, looks=int(seconds), quiet=True, at_look=at_look)

    assert said == [f"{WAITING}process 7 of else, `early` since 12:00; place 1 in the queue"]


def test_a_quiet_wait_of_less_than_ten_seconds_is_not_mentioned(holder, file):
    assert wait_for(holder, file, looks=int(QUIET_S) - 1, quiet=True) == []


def test_the_next_in_the_queue_has_two_looks_to_start_before_others_hear_of_it(holder, file):
    note(file, record(since=None))
    started = wait_for(holder, file, looks=3, at_look=lambda look: look == 2 and note(file, record()))

    assert started == [f"{WAITING}process 7 of else, `theirs` since 12:00; place 1 in the queue"]


def test_a_process_that_is_next_and_does_not_start_is_named(holder, file):
    note(file, record(since=None))

    said = wait_for(holder, file, looks=4)

    who = "process 7 of else, `theirs` which is next and has not started yet"
    assert said == [f"{WAITING}{who}; place 1 in the queue"]


def test_since_another_day_has_its_date(holder, file):
    note(file, record(since=datetime(2026, 11, 21, 23, 5).timestamp()))

    (said,) = wait_for(holder, file, looks=1)

    assert "`theirs` since 2026-11-21 23:05; place 1" in said


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", '{"process": "x"}', record(process="x"), record(since="x"), record(since=1e99), "[" * 1000, "\xff"],
)
def test_a_text_that_makes_no_sense_is_left_out_of_the_message(holder, file, text):
    note(file, text)

    assert wait_for(holder, file, looks=1) == [f"{WAITING}process unknown; place 1 in the queue"]


def test_a_text_of_another_user_can_not_steer_a_terminal(holder, file):
    note(file, record(what="\x1b[2J"))

    (said,) = wait_for(holder, file, looks=1)

    assert "\x1b" not in said


def test_a_long_command_line_fits_into_a_slot(file):
    with alone_on_machine("\x01" * 5000, wait=False, say=print, file=file, now=lambda: NOON):
        pass

    assert file.stat().st_size == 2 * SLOT_B
    assert json.loads(file.read_bytes()[SLOT_B:].rstrip(b"\0"))["since"] == NOON.timestamp()


def test_an_interrupted_wait_says_that_it_was_one_and_leaves_the_queue(join, holder, file):
    def interrupt(_):
        raise KeyboardInterrupt

    with (
        pytest.raises(StoppedAtOnce, match="interrupted while waiting for another lnbench on this machine"),
        alone_on_machine("ours", wait=True, say=lambda _: None, file=file, pause=interrupt),
    ):
        pass

    assert join("next").says()[1] == "place 1 in the queue"


@pytest.mark.parametrize("kind", ["no folder", "link", "folder", "pipe", "second name"])
def test_where_no_lock_can_be_had_the_run_goes_on_and_that_is_said(tmp_path, kind):
    file, said = tmp_path / "lnbench.queue", []
    (tmp_path / "other").write_text("kept")
    made = {
        "no folder": lambda: None,
        "link": lambda: file.symlink_to(tmp_path / "other"),
        "folder": file.mkdir,
        "pipe": lambda: os.mkfifo(file),
        "second name": lambda: file.hardlink_to(tmp_path / "other"),
    }
    made[kind]()
    file = tmp_path / "other" / "lnbench.queue" if kind == "no folder" else file

    with alone_on_machine("ours", wait=False, say=said.append, file=file):
        pass

    assert said[0].startswith(f"note: measuring without the machine lock ({file}: ")
    assert (tmp_path / "other").read_text() == "kept"
