"""`lnbench report` and `lnbench recommend` as a user types them, on journals that were made up."""

import re
import sys

import pytest
from fabricate import everything, run, wide_run
from markdown_it import MarkdownIt

from lnbench.cli.door import run_command_line
from lnbench.errors import ExitCode
from lnbench.render.html.page import environment
from lnbench.render.markdown import PlotFile, render_report
from lnbench.view import view_run


@pytest.fixture
def lnbench(tmp_path, monkeypatch, capfdbinary):
    """Runs a command in a folder with a run; gives its code, stdout as bytes, and stderr."""
    monkeypatch.chdir(tmp_path)
    made = everything()
    (tmp_path / "run.jsonl").write_text("".join(f"{line.model_dump_json()}\n" for line in (made.header, *made.events)))

    def command(*arguments):
        code = run_command_line([*arguments])
        shown = capfdbinary.readouterr()
        return code, shown.out, shown.err.decode()

    return command


def test_a_page_an_image_and_markdown_with_its_plots_are_written_by_one_command(lnbench, tmp_path):
    code, _, _ = lnbench(
        *("report", "run.jsonl", "-f", "html=a.html", "-f", "svg=b.svg", "-f", "png=c.png", "-f", "markdown=d.md")
    )

    assert code == ExitCode.FINE
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "b.svg").read_text().startswith("<svg")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    images = re.findall(r"!\[.*?\]\((.*?)\)", (tmp_path / "d.md").read_text())
    assert images == [f"d-plots/{name}.svg" for name in ("speedup", "time", "bandwidth", "memory")]
    assert all((tmp_path / image).read_text().startswith("<svg") for image in images)


def test_an_image_goes_to_a_pipe_as_it_is(lnbench):
    assert lnbench("report", "run.jsonl", "-f", "png", "--plot", "memory")[1].startswith(b"\x89PNG")
    assert lnbench("report", "run.jsonl", "-f", "svg")[1].startswith(b"<svg")


def test_only_shows_the_rows_that_match_in_every_format(lnbench):
    for format in ("terminal", "markdown", "csv", "json", "html", "svg"):
        code, out, _ = lnbench("report", "run.jsonl", "-f", format, "--only", "implementation=eager,dtype=float32")

        assert code == ExitCode.FINE
        assert b"eager" in out
        assert b"bfloat16" not in out


def test_figures_of_a_part_are_those_of_the_whole(lnbench):
    _, whole, _ = lnbench("report", "run.jsonl", "-f", "csv")
    _, part, _ = lnbench("report", "run.jsonl", "-f", "csv", "--only", "implementation=eager,phase=backward")

    assert set(part.splitlines()[1:]) < set(whole.splitlines()[1:])
    assert len(part.splitlines()) == 3


def test_samples_of_a_part_are_those_of_its_cases(lnbench):
    whole = lnbench("report", "run.jsonl", "-f", "csv", "--samples")[1].splitlines()
    part = lnbench("report", "run.jsonl", "-f", "csv", "--samples", "--only", "dtype=bfloat16,norm_dims=1")[1]

    assert 1 < len(part.splitlines()) < len(whole)
    assert set(part.splitlines()) < set(whole)
    assert all(b"bfloat16" in line for line in part.splitlines()[1:])


def test_the_caption_of_a_part_tells_of_the_whole_workload(lnbench):
    text = lnbench("report", "run.jsonl", "--only", "implementation=crashing")[1].decode()

    assert "40 rounds in 1 process" in text
    assert "nothing was measured" not in text


def test_a_plot_too_large_for_an_image_is_named_in_the_report(lnbench, tmp_path):
    made = wide_run(workloads=41, implementations=2, processes=1, rounds=3)
    (tmp_path / "wide.jsonl").write_text("".join(f"{it.model_dump_json()}\n" for it in (made.header, *made.events)))
    lnbench("report", "wide.jsonl", "-f", "markdown=wide.md")
    text = (tmp_path / "wide.md").read_text()

    assert "Left out: --plot speedup: 41 panels are too many for an image; choose with --only." in text
    assert "wide-plots/bandwidth.svg" in text


def test_footnotes_of_a_part_are_its_own(lnbench):
    text = lnbench("report", "run.jsonl", "--only", "implementation=batch_norm")[1].decode()

    assert "[1] computes batch_norm, the reference layer_norm" in text
    assert "[2]" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("report run.jsonl --only dtype=bf16", "--only: no row of the run matches"),
        ("report run.jsonl --format csv --only dtype=bf16", "--only: no row of the run matches"),
        ("report run.jsonl --only colour=red", '--only: unknown column "colour"'),
        ("report run.jsonl --plot speedup", "--plot goes with --format svg or png"),
        ("report run.jsonl --format png=x.png --plot speed", '--plot: unknown plot "speed"'),
        ("report run.jsonl --format svg --plot batch", "--plot batch: the run has nothing for it"),
        ("report run.jsonl --format svg --plot samples", "shows one case beside its reference"),
        ("report run.jsonl --format github", "is no check"),
        ("recommend run.jsonl --phase forwards", '--phase: unknown phase "forwards"'),
        ("recommend run.jsonl --only dtype=bf16", "--only: no workload of the run matches"),
        ("report run.jsonl -f csv --samples --only dtype=bf16", "--only: no row of the run matches"),
    ],
)
def test_what_can_not_be_done_is_one_message(lnbench, arguments, message):
    code, out, err = lnbench(*arguments.split())

    assert code == ExitCode.USAGE
    assert out == b""
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("library", "format", "package"),
    [
        ("altair", "html", "altair"),
        ("jinja2", "html", "jinja2"),
        ("vl_convert", "html", "vl-convert-python"),
        ("altair", "svg", "altair"),
        ("vl_convert", "png", "vl-convert-python"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_installs_it(lnbench, monkeypatch, library, format, package):
    environment.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    code, out, err = lnbench("report", "run.jsonl", "-f", format)

    assert code == ExitCode.USAGE
    assert out == b""
    assert f"need {package}, which is not installed" in err
    assert f"pip install {package}" in err


def test_recommend_prints_what_to_use(lnbench):
    code, out, _ = lnbench("recommend", "run.jsonl", "--only", "device=cuda", "--phase", "inference")

    assert code == ExitCode.FINE
    assert "compiled_max_autotune is the fastest layer_norm on 4096x4096/float32/cuda" in " ".join(out.decode().split())


def test_recommend_ends_with_5_when_there_is_nothing_to_recommend(lnbench, tmp_path):
    (tmp_path / "empty.jsonl").write_text(f"{run([], [], []).header.model_dump_json()}\n")

    assert lnbench("recommend", "empty.jsonl")[0] == ExitCode.NOTHING_MEASURED


def test_a_folder_for_plots_that_can_not_be_made_is_one_message(lnbench, tmp_path):
    (tmp_path / "d-plots").write_text("a file is in the way")
    code, _, err = lnbench("report", "run.jsonl", "-f", "markdown=d.md")

    assert code == ExitCode.USAGE
    assert "d-plots: can't make the folder" in err


def test_the_links_of_a_long_report_lead_to_anchors_that_are_there():
    text = render_report(view_run(wide_run(workloads=9, implementations=2, processes=1, rounds=3)))
    links = re.findall(r"^- \[.*\]\(#(.*)\)$", text, re.MULTILINE)

    assert len(links) == 9
    assert links == re.findall(r'^<a id="(.*)"></a>$', text, re.MULTILINE)


def test_a_short_report_has_no_list_of_links():
    assert "](#" not in render_report(view_run(everything()))


def test_a_plot_s_name_and_path_can_not_break_the_markdown():
    plot = PlotFile("a](x)<b>", "my plots/a b(1).svg", "what [it] shows")
    parsed = MarkdownIt().parse(render_report(view_run(run([], [], [])), (), [plot]))
    images = [child for token in parsed for child in token.children or () if child.type == "image"]

    assert [(image.attrs["src"], image.content) for image in images] == [
        ("my%20plots/a%20b%281%29.svg", r"what \[it\] shows")
    ]
