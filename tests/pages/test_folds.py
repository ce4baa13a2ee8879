"""Sections fold, the news first; terms are explained where they stand; every text can be read."""

import re

import numpy as np
import pandas as pd
import pytest

from pipeline import pages
from pipeline.pages import curves, glossary, rendering
from tests.pages.browser import CHROMIUM, Elements, in_a_browser, uri
from tests.pages.test_gate_page import runs_page
from tests.pages.test_pages import THRESHOLD, cards, history, mistakes, report, unknown_classes

TALLEST = 6000  # pixels of a page as first opened, at a width of 1280


def queue(number: int) -> str:
    """A page with many cards in each of several recipes, and one without any."""
    rows = [(f"pool/{name}.jpg", f"g{name}", name, "gnu", 0.5, "few images") for name in range(number)]
    recipes = [pages.Recipe(name, "Look at it.", cards(*rows)) for name in ("low-count", "unknown", "look-alike")]
    return pages.queue(title="Queue", recipes=[pages.Recipe("disagree", "", cards()), *recipes], picture=uri)


def test_of_a_queue_the_first_recipe_with_images_is_open_and_empty_ones_come_last():
    page = queue(3)
    assert re.findall(r'<section id="([a-z-]+)"', page) == ["low-count", "unknown", "look-alike", "disagree"]
    assert re.findall(r'<details class="fold"( open)?>', page) == [" open", "", "", ""]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_a_long_page_is_short_when_it_opens_and_a_link_opens_what_is_folded(tmp_path):
    script = """
      const note = document.documentElement.dataset, part = document.querySelector("#look-alike details");
      note.tall = document.documentElement.scrollHeight;
      note.before = part.open;
      location.hash = "#look-alike";
      addEventListener("hashchange", () => {
        note.after = part.open;
        note.cards = part.querySelectorAll("li:not([hidden]) > .tile").length;
      });
    """
    dom = in_a_browser(queue(300), script, tmp_path)
    assert int(re.search(r'data-tall="([0-9]+)"', dom)[1]) <= TALLEST
    assert 'data-before="false"' in dom
    assert 'data-after="true"' in dom
    assert f'data-cards="{rendering.FIRST_CARDS}"' in dom
    assert "data-error" not in dom


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_a_report_with_much_in_it_is_short_and_a_term_is_explained_to_the_keyboard(tmp_path):
    many = mistakes(*[(f"library/{n}.jpg", "test", "gnu", "lion", 0.97, 0.02) for n in range(100)])
    script = """
      const note = document.documentElement.dataset, box = document.getElementById("tip");
      note.tall = document.documentElement.scrollHeight;
      const term = [...document.querySelectorAll(".term")].find((one) => one.textContent === "temperature");
      term.focus();
      note.says = box.textContent;
      note.shown = box.matches(":popover-open");
      const head = [...document.querySelectorAll("th button.term")].find((one) => one.textContent === "log loss");
      head.focus();
      note.head = box.textContent;
      head.blur();
      note.hidden = !box.matches(":popover-open");
    """
    dom = in_a_browser(report(mistakes=many, facts={"temperature": "0.70"}), script, tmp_path)
    assert int(re.search(r'data-tall="([0-9]+)"', dom)[1]) <= TALLEST
    assert "divided before they become scores" in re.search(r'data-says="([^"]+)"', dom)[1]
    assert "punishes confident errors" in re.search(r'data-head="([^"]+)"', dom)[1]
    assert 'data-shown="true"' in dom
    assert 'data-hidden="true"' in dom


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
def test_when_a_round_started_can_be_read_on_a_screen_of_1280_pixels(tmp_path):
    page = runs_page(*[(str(number), 0.8, "a") for number in range(1, 13)], started="2026-03-01", model="35f4d3efc790")
    script = """
      const part = document.querySelector("#versions .scroll");
      document.documentElement.dataset.cut = part.scrollWidth > part.clientWidth;
      document.documentElement.dataset.width = innerWidth;
    """
    dom = in_a_browser(page, script, tmp_path)
    assert 'data-cut="false"' in dom
    assert 1200 < int(re.search(r'data-width="([0-9]+)"', dom)[1]) <= 1280
    assert "2026-03-01" in page


def test_a_term_is_explained_and_any_other_name_is_plain():
    assert str(rendering.term("open:below-cutoff")).startswith(
        '<abbr class="term" tabindex="0" title="Labelled images of'
    )
    assert str(rendering.term("benchmark:field")) == "benchmark:<wbr>field"
    assert "<script>" not in str(rendering.term("<script>"))
    for term in ("temperature", "adjusted p", "negative flips", "open:below-cutoff"):
        assert glossary.TERMS[term].endswith(".")


def test_classes_that_are_refused_wholly_stand_behind_those_that_are_not():
    rows = [("open:below-cutoff", f"rare {n}", 10, 1.0) for n in range(50)]
    page = report(outside=unknown_classes(*rows, ("benchmark:field", "emu", 12, 0.75), ("open:unknown", "", 9, 0.5)))
    shown, _, behind = page.split('id="outside"')[1].split('id="training"')[0].partition("classes are refused wholly")
    assert re.findall(r'class="key">([a-z0-9 ]+)</th>', shown) == ["none", "emu"]
    assert behind.count("</th><td") == 50
    assert "50 of 52 classes wholly" in shown


def test_a_schedule_that_lowers_the_rate_in_every_epoch_draws_no_line_each():
    long = pd.concat([history(*np.linspace(2, 1, 60))], ignore_index=True)
    falling = long.assign(learning_rate=np.linspace(1e-3, 1e-5, 60))
    assert [rule.kind for plot in curves.learning(falling) for rule in plot.rules].count("break") == 0
    page = report(history=falling)
    assert "The learning rate falls steadily, from 1.0e-03 to 1.0e-05" in " ".join(Elements(page).text.split())
    stepped = long.assign(learning_rate=[1e-3] * 30 + [1e-4] * 30)
    assert [rule.kind for plot in curves.learning(stepped) for rule in plot.rules].count("break") == 2  # one per plot


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("assured", "of all answers that are shown, 95% are right"),
        ("estimated", "none. There are too few images to assure"),
        ("unreached", "no answer is shown where 95% cannot be reached"),
    ],
)
def test_the_report_says_what_it_promises_and_what_not(rule, sentence):
    part = report(threshold=THRESHOLD | {"rule": rule}).split('id="promises"')[1]
    text = " ".join(Elements(part).text.split())
    assert sentence in text
    assert "another camera, season or mix of classes" in text


def test_the_card_of_a_doubted_label_is_called_by_its_label_and_says_what_it_is_taken_for():
    rows = cards(("library/a.jpg", "g", 1, "cat", 0.8, "labelled bear"), ("pool/b.jpg", "h", 2, "cow", 0.8, "sure"))
    recipe = pages.Recipe("suspect-label", "", rows, labelled={"library/a.jpg": "bear"})
    page = pages.queue(title="Queue", recipes=[recipe], picture=uri)
    assert re.findall(r'<h3 class="key">([a-z]+)</h3>', page) == ["bear", "cow"]
    assert re.findall(r'taken for <b class="key">([a-z]+)</b>', page) == ["cat"]
    assert 'alt="bear: library/a.jpg"' in page
