"""Journals from strangers: whatever is in the file ends as a run that can be shown, or in one message with its line."""

import gzip
import json
import os
from pathlib import Path

import fabricate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.errors import JournalError
from lnbench.events import EVENT, PROBE_CASE, PROBED, SAMPLED
from lnbench.store import lines
from lnbench.store.reading import read_run
from lnbench.store.turn_lines import PlainTurns
from lnbench.turns import TurnColumns

MADE = fabricate.every_event()
HEADER = MADE.header.model_dump_json()
TURN = fabricate.turn(0, 1e-3).model_dump_json()


def refused(tmp_path, *content, name="run.jsonl"):
    """The message for a journal of these lines, or bytes."""
    file = tmp_path / name
    data = b"".join(part if isinstance(part, bytes) else f"{part}\n".encode() for part in content)
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(JournalError) as caught:
        read_run(file)
    return caught.value.message.removeprefix(f"{tmp_path}/")


def changed(text, **fields):
    """A line with other fields; a name with two underscores between leads into a map or a list."""
    found = json.loads(text)
    for path, value in fields.items():
        *steps, last = path.split("__")
        node = found
        for step in steps:
            node = node[int(step) if step.isdigit() else step]
        node[last] = value
    return json.dumps(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "run.jsonl:1: not a journal of lnbench"),
        (b"\n\n", "run.jsonl:1: not a journal of lnbench"),
        (b"\x00" * 5000, "run.jsonl:1: not a journal of lnbench"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "run.jsonl:1: not a journal of lnbench"),
        (b'{"event":"header","suite":"\xff\xfe"}\n', "run.jsonl:1: not a complete header"),
        (b'{"event":"header","suite":"\\ud800"}\n', "run.jsonl:1: not a complete header"),
        (b'{"event":' + b"[" * 100_000, "run.jsonl:1: not a complete header"),
        (b'{"event":"header","schema_version":' + b"9" * 5000 + b"}\n", "run.jsonl:1: "),
        (b'{"event":"header","schema_version":true}\n', "run.jsonl:1: unknown schema version True"),
    ],
    ids=["empty", "lines", "zeros", "binary", "latin", "surrogate", "deep", "huge number", "bool"],
)
def test_what_is_no_header_is_one_message(tmp_path, content, message):
    assert refused(tmp_path, content).startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\x00\n", "run.jsonl:2: "),
        (b"\xff\xfe\n", "run.jsonl:2: "),
        (b"[" * 100_000 + b"\n", "run.jsonl:2: "),
        (b"\n", "run.jsonl:2: "),
        (changed(TURN, case=99), "run.jsonl:2: turn: there is no case 99"),
        (changed(TURN, case=-2), "run.jsonl:2: turn.case: "),
        (changed(TURN, workload=99), "run.jsonl:2: turn: there is no workload 99"),
        (changed(TURN, workload=1), "run.jsonl:2: turn: case 0 belongs to workload 0, not to 1"),
        (changed(TURN, process=-1), "run.jsonl:2: turn.process: "),
        (changed(TURN, round=10**18), "run.jsonl:2: turn.round: "),
        (changed(TURN, started_s=float("nan")), "run.jsonl:2: turn.started_s: "),
        (changed(TURN, wall_s__forward=-1.0), "run.jsonl:2: turn.wall_s.forward: "),
        (changed(TURN, wall_s__forward=1e308), "run.jsonl:2: turn.wall_s.forward: "),
        (changed(TURN, device_s__sideways=1.0), "run.jsonl:2: turn.device_s.sideways.[key]: "),
        (changed(TURN, calls__step=-5), "run.jsonl:2: turn.calls.step: "),
        (changed(TURN, more=1), "run.jsonl:2: turn.more: "),
        ('{"event":"confirming","first_process":3,"cases":[0,99]}', "run.jsonl:2: confirming: there is no case 99"),
        ('{"event":"noticed","notice":{"code":"a","text":"b"},"workload":9}', "run.jsonl:2: noticed: there is no work"),
        ('{"event":"run_finished","wall_s":-1}', "run.jsonl:2: run_finished.wall_s: "),
    ],
)  # fmt: skip
def test_a_line_that_says_something_impossible_is_refused_by_its_number(tmp_path, line, message):
    assert refused(tmp_path, HEADER, line, TURN).startswith(message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workloads__0__workload__shape": [8, 0]}, "workloads.0.workload.shape.1: "),
        ({"workloads__0__workload__shape": [8, -4]}, "workloads.0.workload.shape.1: "),
        ({"workloads__0__workload__shape": [2**31, 2**31]}, "workloads.0: shape 2147483648x2147483648 has"),
        ({"workloads__0__workload__normalized_shape": [5]}, "workloads.0: 5 is not the end of shape 8x128"),
        ({"workloads__0__workload__dtype": "int4"}, "workloads.0.workload.dtype: unknown dtype 'int4'"),
        ({"workloads__0__workload__dtype": "\x1b[2J"}, "workloads.0.workload.dtype: unknown dtype '\\x1b[2J"),
        ({"workloads__0__workload__device": "tpu"}, "workloads.0.workload.device: "),
        ({"workloads__0__clocks": []}, "workloads.0.clocks: "),
        ({"workloads__0__phases": ["forward", "forward"]}, "workloads.0: a phase or a clock stands twice"),
        ({"workloads__1__id": MADE.header.workloads[0].id}, "cases.7: 'eager' is planned twice on '8x128x"),
        ({"cases__1__implementation": "eager"}, "cases.1: 'eager' is planned twice on '8x128x768/float32/cpu'"),
        ({"cases__0__workload": 99}, "cases.0: there is no workload 99"),
        ({"cases__0__function": "softmax"}, "cases.0.function: unknown function 'softmax'"),
        ({"cases__0__margin": 0}, "cases.0.margin: "),
        ({"cases__0__reference": 7}, "cases.0.reference: "),
        ({"sampling__processes": -1}, "sampling.processes: "),
        ({"environment__memory_b": 2**70}, "environment.memory_b: "),
        ({"check__baseline__header__check": json.loads(HEADER)["check"]}, "check.baseline: a baseline is a run"),
        ({"check__baseline__events__0__case": 77}, "check.baseline: events.0: there is no case 77"),
    ],
)  # fmt: skip
def test_a_header_that_plans_something_impossible_is_refused(tmp_path, fields, message):
    assert refused(tmp_path, changed(HEADER, **fields)).startswith(f"run.jsonl:1: {message}")


def test_lines_have_a_bound_packed_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINE_BYTES", 1 << 20)
    long = b'{"event":"resumed","at":"' + b"a" * (1 << 20)

    assert refused(tmp_path, HEADER, long) == "run.jsonl:2: the line has more than 1 MiB"
    assert refused(tmp_path, HEADER, long, name="a.jsonl.gz") == "a.jsonl.gz:2: the line has more than 1 MiB"


def test_a_header_and_a_whole_journal_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(lines, "MOST_HEADER_BYTES", 1 << 20)
    bomb = gzip.compress(b"{" + b" " * (1 << 22))
    (tmp_path / "bomb.jsonl.gz").write_bytes(bomb)

    with pytest.raises(JournalError, match=r"bomb\.jsonl\.gz:1: the header has more than 1 MiB"):
        read_run(tmp_path / "bomb.jsonl.gz")
    monkeypatch.setattr(lines, "MOST_BYTES", 1000)
    assert refused(tmp_path, HEADER, *[TURN] * 9).startswith("run.jsonl:2: the journal has more than ")


def test_events_beside_turns_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("lnbench.store.reading.MOST_OTHERS", 5)

    found = refused(tmp_path, HEADER, *['{"event":"run_finished","wall_s":1}'] * 6)

    assert found == "run.jsonl:7: more than 5 events beside turns"


def test_a_pipe_a_device_and_a_folder_in_the_place_of_a_journal_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "folder" / "run.jsonl").mkdir(parents=True)

    with pytest.raises(JournalError, match=r"pipe\.jsonl: is neither a file nor a folder"):
        read_run(tmp_path / "pipe.jsonl")
    with pytest.raises(JournalError, match="zero: is neither a file nor a folder"):
        read_run(Path("/dev/zero"))
    for name in ("folder", "loop.jsonl", "n" * 5000, "nul\0"):
        with pytest.raises(JournalError, match="holds no run"):
            read_run(tmp_path / name)


def test_a_pipe_that_took_the_place_of_a_file_meanwhile_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")

    with (
        pytest.raises(JournalError, match=r"pipe\.jsonl: can't be read: it is no regular file"),
        lines.opened(tmp_path / "pipe.jsonl") as stream,
    ):
        stream.read()


def test_only_an_incomplete_last_line_is_left_out(tmp_path):
    file = tmp_path / "run.jsonl"
    file.write_text(f"{HEADER}\n{TURN}\n{TURN[:40]}")

    assert (len(read_run(file).events), read_run(file).torn) == (1, True)
    assert refused(tmp_path, HEADER, TURN, TURN[:40]).startswith("run.jsonl:3: ")


odd_numbers = st.sampled_from(
    [0, 1, -1, -2, 3, 1.0, 0.5, -0.0, 1e-3, 1e9, 1e10, 1e300, 2**31 - 1, 2**31, 2**63, float("nan"), float("inf"), True,
     None, "1", "x", [], {}]
)  # fmt: skip
plain_numbers = st.sampled_from([0, 1, 2])
names = st.sampled_from([*SAMPLED, *PROBED])


def mostly(plain, odd):
    """Nearly always plain, so that not every line is refused for its first field."""
    return st.integers(0, 40).flatmap(lambda dice: odd if dice == 0 else plain)


def maps(values):
    return mostly(st.dictionaries(mostly(names, st.just("sideways")), values, max_size=3), odd_numbers)


any_turns = st.fixed_dictionaries(
    {
        "event": mostly(st.just("turn"), st.just("built")),
        **{name: mostly(plain_numbers, odd_numbers) for name in ("process", "workload", "round")},
        "case": mostly(st.sampled_from([PROBE_CASE, 0, 1, 7, 8, 10]), odd_numbers),
        "started_s": mostly(st.floats(0, 100), odd_numbers),
        "calls": maps(mostly(plain_numbers, odd_numbers)),
        "uncounted": mostly(plain_numbers, odd_numbers),
        **{name: maps(mostly(st.floats(0, 1), odd_numbers)) for name in ("wall_s", "device_s", "faults")},
    },
    optional={"more": odd_numbers},
)
added = st.fixed_dictionaries(
    {
        "sample": mostly(plain_numbers, odd_numbers),
        **{name: maps(mostly(st.floats(0, 1), odd_numbers)) for name in ("delay_s", "cpu_s")},
        **{name: maps(mostly(plain_numbers, odd_numbers)) for name in ("wakeups", "involuntary", "voluntary")},
        **{name: mostly(st.floats(0, 1), odd_numbers) for name in ("steal_s", "reach_s")},
    },
    optional={
        **{name: maps(mostly(plain_numbers, odd_numbers)) for name in ("device_calls", "batch_calls", "graph_calls")},
        **{name: maps(mostly(st.floats(0, 1), odd_numbers)) for name in ("batch_s", "graph_s")},
    },
)
ADDED = ("sample", "delay_s", "wakeups", "involuntary", "voluntary", "cpu_s", "steal_s", "reach_s")
"""The fields of a turn that version 7 brought."""

ADDED_LATER = ("device_calls", "batch_s", "batch_calls", "graph_s", "graph_calls")
"""And version 8."""


@given(any_turns | st.builds(lambda turn, more: turn | more, any_turns, added))
def test_turns_that_are_read_many_at_a_time_are_those_that_the_model_accepts(fields):
    line = json.dumps(fields).replace(", ", ",").replace(": ", ":").encode()

    found = PlainTurns(MADE.header.cases, workloads=len(MADE.header.workloads)).read([(2, line)])

    if found is not None and found[0]:
        assert TurnColumns(found[0]).turn(0) == EVENT.validate_json(line)


@given(st.builds(fabricate.turn, st.integers(0, 6), st.floats(1e-9, 1.0), started_s=st.floats(0, 1e3)))
def test_turns_as_they_are_written_need_no_second_reading(turn):
    line = turn.model_dump_json().encode()

    blocks, odd = PlainTurns(MADE.header.cases, workloads=len(MADE.header.workloads)).read([(2, line)])

    assert TurnColumns(blocks).turn(0) == turn
    assert not odd


usages = st.builds(
    fabricate.looked_at,
    delay_s=st.floats(0, 1),
    wakeups=st.integers(0, 99),
    sample=st.integers(0, 9),
    **{
        name: st.dictionaries(st.sampled_from(["inference", "step"]), st.integers(0, 999))
        for name in ("device_calls", "batch_calls", "graph_calls")
    },
    **{name: st.dictionaries(st.sampled_from(SAMPLED), st.floats(0, 1)) for name in ("batch_s", "graph_s")},
)


@given(
    st.builds(lambda usage: fabricate.turn(0, 1e-3, **usage), usages),
    st.sampled_from([(), ADDED_LATER, ADDED + ADDED_LATER]),
)
def test_turns_of_this_version_and_of_those_before_read_as_the_model_reads_them(turn, lacking):
    line = turn.model_dump_json(exclude=set(lacking)).encode()

    blocks, odd = PlainTurns(MADE.header.cases, workloads=len(MADE.header.workloads)).read([(2, line)])

    assert TurnColumns(blocks).turn(0) == EVENT.validate_json(line)
    assert not odd


@pytest.mark.parametrize("missing", ADDED + ADDED_LATER)
def test_a_turn_that_has_some_of_what_a_version_added_is_left_to_the_model(missing):
    line = fabricate.turn(0, 1e-3, **fabricate.looked_at()).model_dump_json(exclude={missing}).encode()

    blocks, odd = PlainTurns(MADE.header.cases, workloads=len(MADE.header.workloads)).read([(2, line)])

    assert (blocks, odd) == ({}, [(2, line)])


@pytest.mark.parametrize("value", [[], [1], [[1]]])
@pytest.mark.parametrize("field", ["round", "started_s", "steal_s", "calls", "wall_s", "graph_s"])
def test_a_list_in_the_place_of_a_number_of_a_turn_is_no_number(field, value):
    turn = json.loads(fabricate.turn(0, 1e-3, **fabricate.looked_at()).model_dump_json())
    is_map = isinstance(turn[field], dict)
    line = json.dumps(turn | {field: {"inference": value} if is_map else value}).replace(", ", ",").replace(": ", ":")

    assert PlainTurns(MADE.header.cases, workloads=len(MADE.header.workloads)).read([(2, line.encode())]) is None
