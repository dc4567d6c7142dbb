"""The report's page in a real browser: what is drawn, what the filters do, and that no name is taken for markup."""

import re

import pytest
from fabricate import batch_run, case, everything, noisy_turns, run, wide_run, workload

from lnbench.analysis.recommend import recommend
from lnbench.render.html.report import render_html
from lnbench.view import view_run

HOSTILE = '<script>window.broken = 1</script><img src=x onerror="window.broken = 2">{{7*7}}</textarea>'
WIDTHS = (360, 768, 1440)


def page_of(made):
    """The page of a run."""
    return render_html(made, view_run(made), recommend(view_run(made)))


def hostile_run():
    """A run whose names, labels and description try to be markup or script."""
    cases = [case("fused"), case(HOSTILE)]
    return run(
        [workload(label=HOSTILE)],
        cases,
        noisy_turns({0: 1e-4, 1: 2e-4}, copy_s=5e-5),
        suite=HOSTILE,
        description=HOSTILE,
    )


MADE = {"everything": everything, "batches": batch_run, "hostile": hostile_run, "empty": lambda: run([], [], [])}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages of all runs, by name."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in MADE}
    for name, make in MADE.items():
        found[name].write_text(page_of(make()), encoding="utf-8")
    return found


def texts(page, plot):
    """All texts of a drawing."""
    return page.locator(f'[data-plot="{plot}"] .drawing svg text').all_text_contents()


def choose(opened_page, name, value):
    """Choose a filter's value and wait until the plots are drawn again."""
    opened_page.page.locator(f'#choices select[name="{name}"]').select_option(value)
    return opened_page.drawn()


@pytest.mark.parametrize("name", ["everything", "batches", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_draws_its_plots_without_a_complaint_and_asks_for_nothing_but_itself(opened, name, scheme):
    found = opened(name, color_scheme=scheme)
    page = found.drawn()

    assert page.locator(".drawing svg").count() >= 3
    assert found.told == []
    assert found.asked == [found.file.as_uri()]


@pytest.mark.parametrize("name", list(MADE))
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(opened, name, width):
    found = opened(name, viewport={"width": width, "height": 800})
    page = found.page if name == "empty" else found.drawn()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for drawing in page.locator(".drawing svg").all():
        box = drawing.bounding_box()
        assert box is None or box["x"] + box["width"] <= width


def test_names_full_of_markup_are_shown_as_text(opened):
    found = opened("hostile")
    page = found.drawn()

    assert page.evaluate("window.broken") is None
    assert page.locator("img, main script, textarea").count() == 0
    assert page.locator("h1").text_content() == HOSTILE
    assert page.title().startswith(HOSTILE)
    assert HOSTILE in page.locator(".workload tbody th").nth(1).text_content()
    assert any("<script>" in text for text in texts(page, "speedup"))


def test_the_tooltip_of_a_hostile_name_is_text_too(opened):
    found = opened("hostile")
    page = found.drawn()
    page.locator('[data-plot="speedup"] svg path[aria-roledescription="point"]').last.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible")

    assert HOSTILE in page.locator("#vg-tooltip-element").text_content()
    assert page.locator("#vg-tooltip-element img").count() == 0
    assert page.evaluate("window.broken") is None


def test_the_phase_filter_changes_what_is_drawn(opened):
    found = opened("everything")
    before = texts(found.drawn(), "time")
    after = texts(choose(found, "phase", "inference"), "time")

    assert before != after
    assert any("µs" in text for text in after)
    assert found.told == []


def test_the_dtype_filter_leaves_that_dtype_s_panels_and_tables(opened):
    found = opened("everything")
    assert any("bfloat16" in text for text in texts(found.drawn(), "speedup") + texts(found.page, "time"))
    page = choose(found, "dtype", "float32")

    assert not any("bfloat16" in text for text in texts(page, "time"))
    assert {it.get_attribute("data-dtype") for it in page.locator(".workload:visible").all()} == {"float32"}
    assert "float32" in page.locator("#said").text_content()


def test_the_device_filter_leaves_that_device_s_panels_and_tables(opened):
    page = choose(opened("everything"), "device", "cuda")

    assert all("gpt2" not in text for text in texts(page, "time"))
    assert {it.get_attribute("data-device") for it in page.locator(".workload:visible").all()} == {"cuda"}


def test_a_plot_that_a_choice_leaves_nothing_for_says_so(opened):
    page = choose(opened("everything"), "dtype", "bfloat16")

    assert page.locator('[data-plot="memory"] .nothing').is_visible()
    assert not page.locator('[data-plot="memory"] .drawing').is_visible()


def test_another_case_s_samples_are_drawn_beside_its_reference_s(opened):
    found = opened("everything")
    page = found.drawn()
    page.locator('#case select[name="implementation"]').select_option(label="compiled")
    found.drawn()

    assert {"fused", "compiled"} <= set(texts(page, "samples"))
    assert "eager" not in texts(page, "samples")


def test_a_case_that_failed_stands_in_the_plot_with_its_status(opened):
    found = texts(opened("everything").drawn(), "speedup")

    assert {"shifted", "wrong", "crash"} <= set(found)


def test_every_choice_can_be_made_by_keyboard_alone(opened):
    found = opened("everything")
    page = found.drawn()
    before = texts(page, "time")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "phase":
            break
    page.keyboard.press("ArrowUp")
    found.drawn()

    assert page.evaluate("document.activeElement.name") == "phase"
    assert page.evaluate("document.activeElement.value") != "forward_backward"
    page.wait_for_timeout(50)
    assert texts(found.drawn(), "time") != before


def test_every_plot_has_a_name_and_a_description_for_those_who_do_not_see_it(opened):
    page = opened("everything").drawn()
    drawings = page.locator(".drawing").all()

    assert drawings
    for drawing in drawings:
        assert drawing.get_attribute("role") == "img"
        for attribute in ("aria-labelledby", "aria-describedby"):
            for name in drawing.get_attribute(attribute).split():
                assert page.locator(f"#{name}").text_content().strip()


def test_all_figures_can_be_read_without_a_script(opened):
    found = opened("everything", java_script_enabled=False)

    assert found.page.locator("tbody tr:visible").count() > 8
    assert found.page.locator("noscript").count() == 1


def test_escape_puts_a_tooltip_away(opened):
    page = opened("everything").drawn()
    page.locator('[data-plot="speedup"] svg path[aria-roledescription="point"]').last.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible")
    page.keyboard.press("Escape")

    assert page.locator("#vg-tooltip-element.visible").count() == 0


def test_what_a_plot_shows_stands_above_it_also_on_paper(opened):
    found = opened("everything")
    page = choose(found, "dtype", "float32")
    page.emulate_media(media="print")

    shown = {plot: page.locator(f'[data-plot="{plot}"] .shown') for plot in ("speedup", "samples")}
    assert all(it.is_visible() for it in shown.values())
    assert shown["speedup"].text_content() == "forward_backward, every device, float32"
    assert shown["samples"].text_content() == "eager beside fused, forward_backward, 8x128x768/float32/cpu"


def test_a_phone_shows_the_status_of_a_failed_case_too(opened):
    found = texts(opened("everything", viewport={"width": 360, "height": 800}).drawn(), "speedup")

    assert {"wrong", "crash", "*"} <= set(found)


def test_the_theme_follows_the_system_until_the_button_says_otherwise(opened):
    page = opened("everything", color_scheme="dark").drawn()
    paper = "getComputedStyle(document.body).backgroundColor"

    assert page.evaluate(paper) == "rgb(20, 24, 29)"
    page.locator("#theme").click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


def test_what_is_printed_is_dark_on_white_without_controls_and_unfolded(opened):
    found = opened("everything", color_scheme="dark")
    page = found.drawn()
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#choices").is_visible()
    assert page.locator("details:not([open])").count() == 0
    assert page.pdf().startswith(b"%PDF")


def test_an_implementation_has_the_same_colour_in_its_key_and_in_every_plot(opened):
    page = opened("everything").drawn()
    key = dict(
        zip(
            page.locator(".marks li").all_text_contents(), page.locator(".marks li span:first-child").all(), strict=True
        )
    )
    colour = next(mark for name, mark in key.items() if "compiled" in name).evaluate("it => getComputedStyle(it).color")
    points = page.locator('[data-plot="speedup"] svg path[aria-label*="implementation: compiled;"]').all()

    assert points
    assert {point.evaluate("it => getComputedStyle(it).fill") for point in points} == {colour}


def test_a_run_of_200_cases_makes_a_page_of_less_than_5_mb():
    text = page_of(wide_run(workloads=25, implementations=8, processes=3, rounds=60))

    assert len(text.encode()) < 5_000_000
    assert re.search(r"<table>", text)
