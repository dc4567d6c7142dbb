"""The page of a history in a real browser: what is drawn, what the choices do, and that no name is taken for markup."""

import pytest
from fabricate import case, run, turn, workload
from nights import nights, slower_from

from lnbench.analysis.history import make_history
from lnbench.analysis.run_points import points_of
from lnbench.render.html.history import render_html
from lnbench.render.plots.histories import history_records

HOSTILE = '<script>window.broken = 1</script><img src=x onerror="window.broken = 2">{{7*7}}</textarea>'
HOSTILE_TIMES = {"fused": 1e-4, HOSTILE: 2e-4}
MADE = {
    "nightly": lambda: [
        *nights(30, lambda n: slower_from(17)(n) | ({"failed": ("module",)} if n == 5 else {}), label="gpt2"),
        *nights(12, slower_from(6, name="fused"), suite="other"),
        *nights(4, suite="short"),
    ],
    "hostile": lambda: nights(
        20, slower_from(11, name=HOSTILE), suite=HOSTILE, times=HOSTILE_TIMES, label=HOSTILE, fields={"commit": ""}
    ),
    "timeless": lambda: nights(8, lambda n: {"fields": {"created": f"night {n}"}}),
    "one": lambda: nights(1),
    "bare": lambda: [
        run([workload()], [case("fused"), case("eager")], [turn(0, 1e-4), turn(1, 2e-4)], run_id=f"night-{number}")
        for number in range(3)
    ],
}


def history(name):
    """A history by its name."""
    return make_history(map(points_of, MADE[name]()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages of all histories, by name."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in MADE}
    for name in MADE:
        found[name].write_text(render_html(history(name)), encoding="utf-8")
    return found


def texts(page):
    """All texts of the drawing."""
    return page.locator(".drawing svg text").all_text_contents()


def choose(opened_page, name, value):
    """Choose a value and wait until the lines are drawn again."""
    opened_page.page.locator(f'#choices select[name="{name}"]').select_option(value)
    return opened_page.drawn()


@pytest.mark.parametrize("name", list(MADE))
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_drawn_without_a_complaint_asks_for_nothing_and_does_not_scroll_sideways(opened, name, width, scheme):
    found = opened(name, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = found.drawn()

    assert found.told == []
    assert found.asked == [found.file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_panel_stands_for_each_row_of_the_chosen_workload_and_a_change_has_its_commits(opened):
    page = opened("nightly").drawn()

    shown = texts(page)
    assert [text for text in shown if text.endswith("forward")] == [
        "eager forward",
        "compiled forward",
        "module forward",
    ]
    assert sum("commits 1574bddb75..0716d9708d" in text for text in shown) == 1
    assert page.locator("tbody strong.slower").count() == 4


def test_choices_follow_each_other_from_the_suite_to_the_implementation(opened):
    found = opened("nightly")
    found.drawn()

    page = choose(found, "suite", "other")
    assert page.locator("#choices select[name=workload] option").all_text_contents()[0] == "256x768/float32/cpu"
    assert sum("commits ac3478d69a..c1dfd96eea" in text for text in texts(page)) == 3
    page = choose(found, "implementation", "eager")
    assert [text for text in texts(page) if text.endswith("forward")] == ["eager forward"]
    page = choose(found, "phase", "backward")
    assert [text for text in texts(page) if text.endswith("ward")] == ["eager backward"]
    assert page.locator(".track:visible").count() == 1
    assert page.locator(".track:visible tbody tr:visible").count() == 2


def test_names_full_of_markup_are_shown_as_text(opened):
    found = opened("hostile")
    page = found.drawn()

    assert page.evaluate("window.broken") is None
    assert page.locator("img, main script, textarea").count() == 0
    assert HOSTILE in page.locator("h1").text_content()
    assert HOSTILE in page.locator(".track tbody th").first.text_content()
    assert any(text.startswith("<script>") for text in texts(page))


def test_what_changed_stands_on_the_page_without_a_script(opened):
    page = opened("nightly", java_script_enabled=False).page

    assert page.locator("tbody strong.slower").count() == 4
    assert page.locator(".track tbody tr").count() == 36
    assert page.locator("noscript").is_visible()


def test_the_records_hold_every_point_with_gaps_where_there_is_no_ratio():
    records = history_records(history("nightly"))

    gaps = [record for record in records if record["speedup"] is None]
    assert len(records) == 12 * (30 + 12 + 4)
    assert {(record["row"], record["low"], record["speedup_text"]) for record in gaps} == {
        ("module forward", None, ""),
        ("module backward", None, ""),
    }
    assert all(record["floor"] < record["ceiling"] for record in records)


def test_a_run_without_a_time_has_no_place_on_the_axis_and_stays_in_the_tables():
    made = history("timeless")

    assert {record["at"] for record in history_records(made)} == {None}
    assert "8 runs" in render_html(made)
