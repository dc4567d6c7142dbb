"""The journal of a run and the folder that it lies in."""

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import get_args

import fabricate
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnbench.errors import JournalError, OutputError
from lnbench.events import PROBE_CASE, Built, Ended, Event, Noticed, RunFinished, Turn, Verified, WorkloadFinished
from lnbench.planned import Gpu, Notice, Stage, Status
from lnbench.record import READABLE_VERSIONS, SCHEMA_VERSION, Header, Run
from lnbench.store.folder import find_run, new_run_id, write_atomically
from lnbench.store.journal import Journal
from lnbench.store.reading import read_run
from lnbench.summaries import summarize

HEADER = fabricate.header(
    [fabricate.workload((64, width)) for width in (8, 16, 32)],
    [fabricate.case(name, of=of) for name in ("fused", "eager") for of in range(3)],
)
NOW = datetime(2026, 11, 22, 15, 45)

numbers = st.integers(0, 1000)
planned = st.integers(0, len(HEADER.cases) - 1)
workloads = st.integers(0, len(HEADER.workloads) - 1)
seconds = st.floats(0, 1e6)
samples = st.dictionaries(st.sampled_from(["inference", "forward", "backward", "copy"]), seconds)
turns = st.builds(
    lambda case, workload, **fields: Turn(
        case=case, workload=workload if case == PROBE_CASE else HEADER.cases[case].workload, **fields
    ),
    process=numbers,
    workload=workloads,
    round=numbers,
    case=st.just(PROBE_CASE) | planned,
    started_s=seconds,
    calls=st.dictionaries(st.sampled_from(["inference", "step"]), numbers),
    wall_s=samples,
    device_s=samples,
    faults=st.dictionaries(st.sampled_from(["inference", "step"]), seconds),
    sample=numbers,
    delay_s=st.dictionaries(st.sampled_from(["inference", "step"]), seconds),
    wakeups=st.dictionaries(st.sampled_from(["inference", "step"]), numbers),
    involuntary=st.dictionaries(st.sampled_from(["inference", "step"]), numbers),
    voluntary=st.dictionaries(st.sampled_from(["inference", "step"]), numbers),
    cpu_s=st.dictionaries(st.sampled_from(["inference", "step"]), seconds),
    steal_s=seconds,
    reach_s=seconds,
)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
others = st.one_of(
    st.builds(Ended, process=numbers, case=planned, status=st.sampled_from(Status), stage=st.sampled_from(Stage),
              reason=texts, detail=texts),
    st.builds(Noticed, notice=st.builds(Notice, code=texts, text=texts), workload=st.none() | workloads),
    st.builds(Built, process=numbers, case=planned, build_s=seconds, first_call_s=seconds,
              compiled_cold=st.none() | st.booleans()),
)  # fmt: skip
events = st.lists(turns | others, max_size=5)
own_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)


def written(folder: Path, found: list[Event], header: Header = HEADER) -> Path:
    """A run folder with these events in its journal."""
    with Journal.create(folder, header) as journal:
        for event in found:
            journal.append(event)
    return folder


def content(tmp_path_factory: pytest.TempPathFactory, found: list[Event]) -> bytes:
    """The bytes of a journal with these events."""
    return (written(tmp_path_factory.mktemp("run"), found) / "run.jsonl").read_bytes()


@own_folder
@given(events)
def test_what_is_written_is_read_back(tmp_path_factory, found):
    folder = written(tmp_path_factory.mktemp("run"), found)

    assert read_run(folder) == Run(header=HEADER, events=tuple(found))


@own_folder
@given(events, st.data())
def test_a_journal_cut_at_any_byte_loses_at_most_the_torn_line(tmp_path_factory, found, data):
    whole = content(tmp_path_factory, found)
    cut = data.draw(st.integers(whole.index(b"\n"), len(whole)))
    file = tmp_path_factory.mktemp("cut") / "run.jsonl"
    file.write_bytes(whole[:cut])
    complete = max(whole[:cut].count(b"\n") - 1, 0)
    rest = whole[:cut].split(b"\n")[-1]
    rest_is_whole = rest in whole.split(b"\n")

    run = read_run(file)

    assert list(run.events) in (found[:complete], found[: complete + 1])
    assert run.torn == (not rest_is_whole)


def test_a_journal_whose_header_is_torn_is_refused(tmp_path):
    file = tmp_path / "run.jsonl"
    file.write_bytes(HEADER.model_dump_json().encode()[:100])

    with pytest.raises(JournalError, match=r"run\.jsonl:1: not a complete header"):
        read_run(file)


def test_an_infinite_error_survives_the_journal(tmp_path):
    endless = {"y": float("inf")}
    event = Verified(process=0, case=0, moment="before", max_relative_error=endless, share_of_tolerance=endless)

    assert read_run(written(tmp_path / "run", [event])).events == (event,)


def test_events_are_in_the_file_before_the_journal_is_closed(tmp_path):
    journal = Journal.create(tmp_path / "run", HEADER)
    journal.append(RunFinished(wall_s=1.0))

    assert len(read_run(tmp_path / "run").events) == 1
    journal.close()


def test_a_packed_journal_reads_as_the_plain_one(tmp_path):
    plain = written(tmp_path / "plain", [RunFinished(wall_s=1.0)]) / "run.jsonl"
    packed = tmp_path / "packed" / "run.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert read_run(packed) == read_run(packed.parent) == read_run(plain)


def test_an_incomplete_packed_journal_is_refused_by_name(tmp_path):
    packed = tmp_path / "run.jsonl.gz"
    packed.write_bytes(gzip.compress(HEADER.model_dump_json().encode())[:-9])

    with pytest.raises(JournalError, match=r"run\.jsonl\.gz: the compressed file is damaged"):
        read_run(packed)


def test_an_unknown_schema_version_is_refused_by_name(tmp_path):
    newer = json.loads(HEADER.model_dump_json()) | {"schema_version": SCHEMA_VERSION + 1, "unheard_of": 1}
    file = tmp_path / "run.jsonl"
    file.write_text(json.dumps(newer) + "\n")

    with pytest.raises(JournalError, match=f"unknown schema version {SCHEMA_VERSION + 1}"):
        read_run(file)


@pytest.mark.parametrize("version", READABLE_VERSIONS)
def test_the_sample_of_every_schema_version_reads(version):
    run = read_run(Path(__file__).parent / "samples" / f"schema-{version}.jsonl")

    assert run.header.schema_version == version
    assert {type(event) for event in run.events} >= {Turn, WorkloadFinished, Ended}


def test_the_sample_of_this_schema_version_holds_every_kind_of_event():
    run = read_run(Path(__file__).parent / "samples" / f"schema-{SCHEMA_VERSION}.jsonl")

    assert {type(event) for event in run.events} == set(get_args(get_args(Event)[0]))
    assert not run.torn


def test_the_sample_of_this_schema_version_fills_every_field_of_a_turn():
    run = read_run(Path(__file__).parent / "samples" / f"schema-{SCHEMA_VERSION}.jsonl")
    turns = [event for event in run.events if isinstance(event, Turn)]

    assert {name for name in Turn.model_fields if any(getattr(turn, name) for turn in turns)} >= {
        *("sample", "delay_s", "wakeups", "involuntary", "voluntary", "cpu_s", "steal_s", "reach_s"),
        *("device_calls", "batch_s", "batch_calls", "graph_s", "graph_calls"),
    }


def test_the_sample_of_this_schema_version_fills_every_field_of_the_environment():
    environment = read_run(Path(__file__).parent / "samples" / f"schema-{SCHEMA_VERSION}.jsonl").header.environment

    assert [name for name in type(environment).model_fields if getattr(environment, name) in ("", None, (), {})] == []
    assert [name for name in Gpu.model_fields if getattr(environment.gpus[0], name) is None] == []


@pytest.mark.parametrize("version", [version for version in READABLE_VERSIONS if version < 7])
def test_of_a_version_before_samples_were_looked_at_no_row_says_what_disturbed_it(version):
    rows = summarize(read_run(Path(__file__).parent / "samples" / f"schema-{version}.jsonl"))

    assert any(row.median_s for row in rows)
    assert {(row.undisturbed_share, row.cpu_s, row.judged_by) for row in rows} == {(None, None, "")}


def test_damage_inside_a_journal_names_file_and_line(tmp_path):
    file = written(tmp_path / "run", [RunFinished(wall_s=1.0), RunFinished(wall_s=2.0)]) / "run.jsonl"
    file.write_text(file.read_text().replace('"wall_s":1.0', '"wall_s":"soon"'))

    with pytest.raises(JournalError, match=r"run\.jsonl:2: run_finished\.wall_s: "):
        read_run(file)


@pytest.mark.parametrize("text", ["[1, 2]\n", '{"event": "turn"}\n', "time,name\n"])
def test_a_file_that_is_no_journal_is_refused(tmp_path, text):
    file = tmp_path / "other.jsonl"
    file.write_text(text)

    with pytest.raises(JournalError, match=r"other\.jsonl:1: not a "):
        read_run(file)


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz", "results.csv", "report.md"])
def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("precious")

    with pytest.raises(OutputError, match=f"already holds {name}"):
        Journal.create(tmp_path, HEADER)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_file_in_the_folders_place_is_one_clear_error(tmp_path):
    (tmp_path / "taken").write_text("")

    with pytest.raises(OutputError, match="a file stands where the run's folder should be"):
        Journal.create(tmp_path / "taken", HEADER)
    with pytest.raises(OutputError, match="can't write a run here"):
        Journal.create(tmp_path / "taken" / "below", HEADER)


def test_run_ids_sort_by_time_read_well_and_are_unique(tmp_path):
    first = new_run_id("quick", NOW, reports=tmp_path)
    (tmp_path / first).mkdir()
    second = new_run_id("quick", NOW, reports=tmp_path)

    assert (first, second) == ("20261122-154500-quick", "20261122-154500-quick-2")
    assert new_run_id("../my suite", NOW, reports=tmp_path) == "20261122-154500-my-suite"


@pytest.fixture
def reports(tmp_path):
    """Three runs; the newest is not the last by name."""
    made = tmp_path / "reports"
    for name, day in (("a-late", 3), ("b-early", 1), ("c-middle", 2)):
        header = HEADER.model_copy(update={"run_id": f"2026112{day}-quick", "created": f"2026-11-2{day}T10:00:00"})
        written(made / name, [], header)
    (made / "notes").mkdir()
    return made


def test_latest_is_the_newest_run_by_its_header(reports):
    assert find_run("latest", reports) == reports / "a-late"


@pytest.mark.parametrize("text", ["c-middle", "20261122-quick"])
def test_a_run_is_found_by_its_id_and_by_its_folders_name(reports, text):
    assert find_run(text, reports) == reports / "c-middle"


def test_a_run_is_found_by_its_path(reports):
    journal = reports / "b-early" / "run.jsonl"

    assert find_run(str(journal.parent), reports) == journal.parent
    assert find_run(str(journal), reports) == journal


def test_an_unreadable_run_does_not_hide_the_others_and_keeps_its_own_error(reports):
    (reports / "broken").mkdir()
    (reports / "broken" / "run.jsonl").write_text("not json\n")

    assert find_run("latest", reports) == reports / "a-late"
    with pytest.raises(JournalError, match=r"broken/run\.jsonl:1"):
        read_run(find_run("broken", reports))


def test_an_unknown_run_names_the_nearest_ids(reports):
    with pytest.raises(JournalError, match='no run "20261121-quik"') as caught:
        find_run("20261121-quik", reports)

    assert 'did you mean "20261121-quick"?' in caught.value.hint


def test_without_any_run_the_error_says_how_to_make_one(tmp_path):
    with pytest.raises(JournalError) as caught:
        find_run("latest", tmp_path / "none")

    assert "lnbench run quick" in caught.value.hint


def test_a_folder_without_a_journal_is_no_run(reports):
    with pytest.raises(JournalError, match="holds no run"):
        find_run(str(reports / "notes"), reports)


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "report.md"
    write_atomically(file, "old\n")
    write_atomically(file, "µs\n")

    assert file.read_bytes() == "µs\n".encode()
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_can_not_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "report.md").mkdir()

    with pytest.raises(OutputError, match="can't write"):
        write_atomically(tmp_path / "report.md", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["report.md"]
