"""What people see of the page, and what a screen reader says: names, contrast, skeletons, and cards not yet painted."""

import re
from pathlib import Path

import pandas as pd
import pytest

from pipeline import pages
from pipeline.files import write_table
from pipeline.review import decisions
from pipeline.review.page import app
from tests.review.page import made_up_workspace

LONG = "Lesser_spotted_northern_short-eared_woodland_antelope_of_the_upper_valley_with_a_very_long_name"
PALETTES = {"review": app.STATIC / "palette.css", "pages": Path(pages.__file__).parent / "base.html"}
UNNAMED = """() => [...document.querySelectorAll("button, a[href], input, select, [role=button], [role=checkbox]")]
  .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") || one.title || one.labels?.length
    || [...one.childNodes].map((part) => part.ariaHidden === "true" ? "" : part.textContent).join("").trim()))
  .map((one) => one.outerHTML)"""
CUT = """() => [...document.querySelectorAll(".candidates .name, .actions button, .asked h2, .reason, .bar button")]
  .filter((one) => one.checkVisibility() && (one.getBoundingClientRect().right > innerWidth
    || (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")))
  .map((one) => one.outerHTML)"""


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2."""
    lower, higher = sorted([luminance(one), luminance(other)])
    return (higher + 0.05) / (lower + 0.05)


@pytest.mark.parametrize("place", PALETTES)
@pytest.mark.parametrize("scheme", [0, 1])
def test_every_text_can_be_read(place, scheme):
    block = re.findall(r":root \{(.*?)\}", PALETTES[place].read_text(), flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    for text in {"ink", "quiet", "accent", "bad", "warn"} & set(colours):
        for ground in ("paper", "raised", "sunken"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_no_text_is_dimmed_by_making_it_transparent_or_faint():
    style = (app.STATIC / "review.css").read_text()
    dimmed = [
        rule
        for rule in re.findall(r"([^{}]+)\{[^}]*opacity: *0?\.", style)
        if not re.search("pic|disabled|keyframes|from", rule)
    ]
    assert dimmed == []
    assert re.findall(r"([^{}]+)\{[^}]*[^-]color: var\(--faint\)", style) == ["\nbutton:disabled "]


def test_everything_has_a_name_and_long_names_are_neither_cut_nor_overlap(tmp_path, serve, visit):
    workspace = made_up_workspace.build(tmp_path, classes=(LONG, "okapi"))
    queue = workspace / "data/queue/low-count.parquet"
    reason = "the model sees this, and that, and very much more than fits into two lines of the column; " * 3
    write_table(pd.read_parquet(queue).assign(reason=reason), queue)
    page = visit(serve(workspace).address + "queue/low-count", by="Ann-Kathrin von und zu Hohenstaufen-Wittelsbach")
    page.wait_for_selector('.stage[data-shown="0"]')
    assert page.evaluate(CUT) == []
    assert page.evaluate(UNNAMED) == []
    assert page.locator(".candidates").get_by_text("95 % sure").count() == 1
    assert page.locator(".candidates").get_by_text("3 of 5 groups").count() == 1
    reasoned = page.locator(".reason")
    assert reasoned.inner_text().strip() == reason.strip()
    below = page.locator(".candidates").bounding_box()["y"]
    assert reasoned.bounding_box()["y"] + reasoned.bounding_box()["height"] <= below
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.goto(page.url + "?mode=grid")
    page.wait_for_selector(".tiles[data-shown]")
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.goto(page.url.split("queue")[0])
    page.get_by_role("link", name="low-count").wait_for()
    assert page.evaluate(UNNAMED) == []


def test_a_key_that_is_pressed_before_the_card_is_painted_does_not_count_for_it(tmp_path, serve, visit):
    workspace = made_up_workspace.build(tmp_path)
    page = visit(serve(workspace).address + "queue/low-count")
    page.wait_for_selector('.stage[data-shown="0"]')
    page.evaluate("""() => {
      const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const real = window.requestAnimationFrame;
      window.requestAnimationFrame = (then) => setTimeout(() => real(then), 300);
      const asked = document.querySelector(".asked");
      new MutationObserver(() => press("b")).observe(asked, { childList: true }); // the next card's text is there
    }""")
    page.keyboard.press("Enter")
    page.wait_for_selector('.stage[data-shown="1"]')
    page.keyboard.press("u")
    page.wait_for_selector('.stage[data-shown="2"]')
    said = decisions.read_all(workspace / "data/reviews", ["library", "pool"])
    assert said["decision"].tolist() == ["label", "unknown"]


def test_the_grid_has_tiles_at_once_and_fills_a_large_window(tmp_path, serve, visit):
    workspace = made_up_workspace.build(tmp_path, cards=240, classes=("zebra",))
    page = visit(serve(workspace).address, width=2560, height=1440)
    page.get_by_role("link", name="low-count").wait_for()
    waiting: list = []

    def hold(route) -> None:
        waiting.append(route)

    page.route("**/deal", hold)
    page.goto(page.url + "queue/low-count?mode=grid")
    page.wait_for_selector(".tiles[aria-busy] .skeleton")
    assert page.locator(".skeleton").count() > 60
    waiting[0].continue_()
    page.wait_for_selector(".tiles[data-shown]")
    assert page.locator(".skeleton").count() == 0
    assert page.locator(".tile").last.bounding_box()["y"] > 1440 - 250


def test_two_tabs_of_one_person_show_two_cards_and_one_that_is_loaded_again_its_own(tmp_path, serve, visit):
    address = serve(made_up_workspace.build(tmp_path, cards=40)).address + "queue/low-count"
    first = visit(address)
    first.wait_for_selector('.stage[data-shown="0"]')
    second = first.context.new_page()
    second.goto(address)
    second.wait_for_selector(".stage[data-shown]")
    row = second.locator(".stage[data-shown]").get_attribute("data-shown")
    assert row != "0"
    second.reload()
    second.wait_for_selector(f'.stage[data-shown="{row}"]')
