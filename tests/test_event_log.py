"""A log of events: what it holds as columns comes back as the events that went in."""

import fabricate
from hypothesis import given
from hypothesis import strategies as st

from lnbench.event_log import EventLog
from lnbench.events import Noticed, RunFinished, Turn
from lnbench.planned import Notice
from lnbench.turns import TurnBlocks

turns = st.builds(
    lambda number, seconds, process, faults: fabricate.turn(number, seconds, process=process, faults=faults),
    st.integers(0, 3),
    st.floats(0, 10),
    st.integers(0, 4),
    st.sampled_from([{}, {"inference": 0.0, "step": 2.0}, {"step": 1.0}]),
)
others = st.builds(RunFinished, wall_s=st.floats(0, 10)) | st.just(Noticed(notice=Notice(code="a", text="b")))
events = st.lists(turns | others | st.just(fabricate.finished(process=2)), max_size=12)


@given(events)
def test_events_come_back_in_their_order(found):
    log = EventLog.of(found)

    assert list(log) == found
    assert [log[number] for number in range(-len(found), len(found))] == found * 2
    assert log[1:-1] == tuple(found[1:-1])
    assert log == tuple(found)
    assert EventLog.of(log) is log


@given(events, st.sets(st.integers(0, 4)))
def test_the_turns_of_some_processes_keep_their_places_among_the_rest(found, processes):
    def is_kept(event):
        return not isinstance(event, RunFinished)

    chosen = EventLog.of(found).chosen(processes, keep=is_kept)

    assert list(chosen) == [
        event for event in found if (event.process in processes if isinstance(event, Turn) else is_kept(event))
    ]


def test_turns_beyond_one_block_keep_their_order(monkeypatch):
    monkeypatch.setattr("lnbench.turns._MOST_SINGLE", 3)
    blocks = TurnBlocks()
    found = [fabricate.turn(number % 4, 1.0 + number) for number in range(10)]

    for place, turn in enumerate(found):
        blocks.add(turn, place=place)
    columns = blocks.columns()

    assert [columns.turn(number) for number in range(10)] == found


def test_logs_of_different_length_differ():
    assert EventLog.of([RunFinished(wall_s=1.0)]) != ()
    assert EventLog.of([]) != "text"
