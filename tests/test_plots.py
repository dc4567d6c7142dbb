"""Plots: colours that every eye tells apart, and charts that become images of what they should show."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from fabricate import batch_run, case, ended, everything, noisy_turns, run, workload
from hypothesis import given
from hypothesis import strategies as st

from lnbench.cli.report import PLOT_NAMES
from lnbench.errors import UsageError
from lnbench.planned import Status
from lnbench.render.plots.catalogue import PLOTS
from lnbench.render.plots.image import Drawing, image
from lnbench.render.plots.palette import COLOURS, DARK, FIRST, LIGHT, base_name, looks
from lnbench.view import view_run

HOSTILE = "<script>x</script>&\"'"


def svg_of(made, name, only=()):
    """A plot of a run as SVG."""
    return image(Drawing(made, view_run(made, dict(only))).draw(name), "svg").decode()


def texts(svg):
    """All texts in an SVG, which has to be well-formed."""
    return ["".join(it.itertext()) for it in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def luminance(colour):
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """The contrast ratio of two colours as WCAG 2.2 defines it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_marks_have_the_contrast_that_wcag_asks_for(theme):
    assert all(contrast(theme[name], theme["paper"]) >= 4.5 for name in ("ink", "faint"))
    assert all(contrast(theme[name], theme["paper"]) >= 3 for name in (*COLOURS, "output", "saved", "temporary"))


def test_both_themes_name_the_same_colours():
    assert set(LIGHT) == set(DARK)


def test_an_implementation_looks_the_same_in_every_run_that_it_stands_in():
    one, other = looks(["fused", "compiled", "mine"]), looks(["x", "compiled", "fused", "eager"])

    for name in ("fused", "compiled"):
        places = [found.titles.index(name) for found in (one, other)]
        assert len({(found.tokens[at], found.shapes[at]) for found, at in zip((one, other), places, strict=True)}) == 1


def test_the_modes_of_a_norm_share_a_colour_and_differ_in_shape():
    found = looks(["fused", "batch_norm (train)", "batch_norm (eval)"])

    assert found.tokens[1] == found.tokens[2] != found.tokens[0]
    assert found.shapes[1] != found.shapes[2]


@given(st.lists(st.sampled_from([*FIRST, *(f"mine_{number}" for number in range(35))]), unique=True, max_size=42))
def test_no_two_of_42_implementations_look_the_same(titles):
    found = looks(titles)

    assert len(set(zip(found.tokens, found.shapes, strict=True))) == len(titles)


def test_another_mode_does_not_look_like_another_implementation():
    titles = [f"mine_{number}" for number in range(20)]
    found = looks([*titles, *(f"{title} (eval)" for title in ("batch_norm", *titles)), "batch_norm (train)"])

    assert len(set(zip(found.tokens, found.shapes, strict=True))) == len(found.titles)


def test_a_title_s_mode_is_no_part_of_its_name():
    assert [base_name(title) for title in ("a (train)", "a (eval)", "a (b)")] == ["a", "a", "a (b)"]


def test_the_command_line_knows_every_plot():
    assert tuple(PLOTS) == PLOT_NAMES


@pytest.mark.parametrize("name", ["speedup", "time", "bandwidth", "memory"])
def test_a_plot_shows_each_case_and_its_figures(name):
    found = texts(svg_of(everything(), name))

    assert {"eager", "fused"} <= {text.removeprefix("■ ").removeprefix("● ") for text in found}
    if name in {"speedup", "time"}:
        assert {"shifted", "wrong", "gpt2: 8x128x768 float32 cpu"} <= set(found)


def test_an_image_tells_its_phase_its_clock_and_who_computes_something_else():
    found = texts(svg_of(everything(), "time", {"device": ("cpu",)}.items()))

    assert "forward_backward; wall clock" in found
    assert next(text for text in found if "†" in text).startswith("633")
    assert "forward_backward; on the CPU the wall clock, on CUDA the device's" in texts(svg_of(everything(), "time"))


def test_an_unstable_row_says_so_beside_its_time_and_in_place_of_its_speedup():
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), ended(1, Status.UNSTABLE, "half of the rounds were spoiled")]
    made = run([workload()], [case("fused"), case("a")], events)

    assert any(text.endswith(" unstable") for text in texts(svg_of(made, "time")))
    assert "unstable" in texts(svg_of(made, "speedup"))


def test_the_batch_plot_names_each_line_at_its_end():
    found = texts(svg_of(batch_run(), "batch"))

    assert [name for name in found if name.endswith(("fused", ")"))][-3:] == [
        "● fused",
        "◆ batch_norm (train)",
        "▼ batch_norm (eval)",
    ]
    assert {"1", "64", "Nx1024"} <= set(found)


def test_samples_of_one_case_stand_beside_its_reference_s_by_process():
    turns = noisy_turns({0: 1e-4, 1: 2e-4, 2: 3e-4}, processes=2)
    found = texts(
        svg_of(
            run([workload()], [case("fused"), case("a"), case("b")], turns),
            "samples",
            {"implementation": ("a",)}.items(),
        )
    )

    assert {"fused", "a", "process 0", "process 1"} <= set(found)
    assert "b" not in found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("samples", "shows one case beside its reference, and 7 cases match"),
        ("batch", "the run has nothing for it"),
        ("speedups", 'unknown plot "speedups"'),
    ],
)
def test_a_plot_that_can_not_be_drawn_says_why(name, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        Drawing(everything(), view_run(everything())).draw(name)


def test_too_many_panels_for_an_image_are_refused_with_what_to_do():
    workloads = [workload((64 * (number + 1), 64)) for number in range(50)]
    cases = [case("fused", of=number) for number in range(50)]
    turns = [made for number in range(50) for made in noisy_turns({number: 1e-4}, of=number, rounds=3)]
    made = run(workloads, cases, turns)

    with pytest.raises(UsageError, match="50 panels are too many") as caught:
        Drawing(made, view_run(made)).draw("time")
    assert "--only" in caught.value.hint


def test_names_full_of_markup_are_text_in_an_image():
    made = run([workload(label=HOSTILE)], [case("fused"), case(HOSTILE)], noisy_turns({0: 1e-4, 1: 2e-4}))
    found = texts(svg_of(made, "speedup"))

    assert HOSTILE in found
    assert f"{HOSTILE}: 256x768" in found


def test_a_png_has_two_dots_a_pixel():
    made = everything()
    drawn = Drawing(made, view_run(made)).draw("speedup")
    content = image(drawn, "png")
    svg = ElementTree.fromstring(image(drawn, "svg"))

    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20]) == pytest.approx(2 * float(svg.attrib["width"]), abs=2)


SEEN_AS = {
    "by most": np.eye(3),
    "with protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "with deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "with tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Linear RGB as it is seen (Machado, Oliveira, Fernandes 2009, severity 1)."""

TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colour, seen):
    """A colour in CIELAB (D65), as it is seen."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    found = TO_XYZ @ np.clip(np.asarray(seen) @ linear, 0, 1) / WHITE
    x, y, z = np.where(found > 216 / 24389, np.cbrt(found), (24389 / 27 * found + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN_AS.values(), ids=SEEN_AS)
@pytest.mark.parametrize(("theme", "least"), [(LIGHT, 18), (DARK, 19.5)], ids=["light", "dark"])
def test_colours_lie_apart_for_every_eye(theme, least, seen):
    found = [lab(theme[name], seen) for name in COLOURS]

    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(found, 2)) >= least
