"""A journal that is gone on with after a kill, and one that its disk takes no more of."""

import errno
import os

import fabricate
import pytest

from lnbench.errors import OutputError
from lnbench.events import Noticed, Resumed, RunFinished
from lnbench.planned import Notice
from lnbench.store.journal import Journal
from lnbench.store.place import TURNS_NAME
from lnbench.store.reading import read_run

HEADER = fabricate.header([fabricate.workload()], [fabricate.case("fused"), fabricate.case("eager")])
TURNS = [fabricate.turn(case, 1e-4, round=number, started_s=0.1 * number) for number in range(3) for case in (0, 1)]
RESUMED = Resumed(at="2026-11-22T18:00:00+00:00")


def lines(events):
    return "".join(f"{event.model_dump_json()}\n" for event in events)


@pytest.fixture
def killed(tmp_path):
    """A run folder with so many turns in the journal and so many in the file beside it, each from the first on."""

    def leave(in_journal, beside, *, torn=""):
        folder = tmp_path / "run"
        journal = Journal.create(folder, HEADER)
        for turn in TURNS[:in_journal]:
            journal.append(turn)
        os.write(journal.turns_fd, lines(TURNS[:beside]).encode())
        journal.close()
        with (folder / "run.jsonl").open("a") as file:
            file.write(torn)
        return folder

    return leave


def test_turns_that_stand_only_beside_the_journal_are_read_once(killed):
    run = read_run(killed(2, 5))

    assert list(run.events) == TURNS[:5]
    assert run.beside == tuple(TURNS[2:5])


def test_a_journal_gone_on_with_holds_them_and_the_file_beside_it_is_empty(killed):
    folder = killed(2, 5)
    with Journal.reopen(folder / "run.jsonl", read_run(folder)) as journal:
        journal.append(RESUMED)

    run = read_run(folder)
    assert list(run.events) == [*TURNS[:5], RESUMED]
    assert run.beside == ()
    assert not (folder / TURNS_NAME).exists()


@pytest.mark.parametrize("torn", ['{"event":"turn","proc', "x", '{"event":"run_fin'])
def test_an_incomplete_last_line_is_cut_off_before_the_journal_goes_on(killed, torn):
    folder = killed(2, 0, torn=torn)
    with Journal.reopen(folder / "run.jsonl", read_run(folder)) as journal:
        journal.append(RESUMED)

    run = read_run(folder)
    assert list(run.events) == [*TURNS[:2], RESUMED]
    assert not run.torn


def test_a_last_line_that_lacks_only_its_end_is_kept(killed):
    folder = killed(2, 0, torn=TURNS[2].model_dump_json())
    with Journal.reopen(folder / "run.jsonl", read_run(folder)) as journal:
        journal.append(RESUMED)

    assert list(read_run(folder).events) == [*TURNS[:3], RESUMED]


@pytest.mark.parametrize("nonsense", [b"\x00\xff", b'{"event":"run_finished","wall_s":1}\n', b'{"event":"turn"}\n'])
def test_the_file_beside_a_journal_is_read_as_far_as_it_makes_sense(killed, nonsense):
    folder = killed(1, 2)
    with (folder / TURNS_NAME).open("ab") as file:
        file.write(nonsense + lines(TURNS[2:4]).encode())

    assert list(read_run(folder).events) == TURNS[:2]


def test_a_file_beside_a_journal_of_another_name_is_nobody_s(killed):
    folder = killed(1, 3)
    (folder / "run.jsonl").rename(folder / "kept.jsonl")

    assert list(read_run(folder / "kept.jsonl").events) == TURNS[:1]


@pytest.mark.parametrize("room_b", [0, 1, 50])
def test_a_line_that_does_not_fit_is_left_out_whole_and_said(tmp_path, monkeypatch, room_b):
    journal = Journal.create(tmp_path / "run", HEADER)
    journal.append(TURNS[0])
    write, left = os.write, [room_b]

    def full(descriptor, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, data[: left[0]])
        left[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OutputError, match=r"run\.jsonl: can't write: No space left on device") as caught:
            journal.append(TURNS[1])
    journal.append(RunFinished(wall_s=1.0))
    journal.close()

    assert "lnbench run --resume" in caught.value.hint
    assert list(read_run(tmp_path / "run").events) == [TURNS[0], RunFinished(wall_s=1.0)]


def test_a_journal_behind_a_link_is_not_gone_on_with(killed, tmp_path):
    folder = killed(1, 0)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "run.jsonl").symlink_to(folder / "run.jsonl")

    with pytest.raises(OutputError, match="can't write"):
        Journal.reopen(tmp_path / "linked" / "run.jsonl", read_run(tmp_path / "linked"))


def test_the_home_folder_never_reaches_the_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/data/somebody")
    with Journal.create(tmp_path / "run", HEADER) as journal:
        journal.append(Noticed(notice=Notice(code="x", text="no file /data/somebody/norms.py")))

    assert read_run(tmp_path / "run").events[0].notice.text == "no file ~/norms.py"
