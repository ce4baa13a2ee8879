import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import paired_statistics
from pipeline.pages import gate, runs
from tests.pages.browser import CHROMIUM, NASTY, Elements, in_a_browser, uri

FLIPS = ["image", "set", "label", "predicted", "score", "score_champion"]


def figures(n: int = 200, low: float | None = -0.03, high: float | None = 0.01) -> dict:
    shares = {"candidate": 0.84, "champion": 0.85, "difference": -0.01}
    return {"n": n, "low": low, "high": high, "gained": 3, "lost": 5} | shares


def said(**more) -> dict:
    images = dict.fromkeys(gate.STANDINGS, 1)
    return {
        "verdict": "investigate",
        "reason": "so it is",
        "model": "a" * 64,
        "champion": "b" * 64,
        "size_mb": 12.3,
        "latency_ms": None,
        "overall": figures(),
        "benchmarks": {"field": figures(n=20, low=None, high=None) | {"version": "abc", "same_version": False}},
        "classes": {"shared": 60, "judged": 59},
        "new_classes": {"emu": {"n": 4, "right": 3}},
        "retired_classes": {},
        "images": images | {"all": len(images)},
    } | more


def classes(number: int) -> pd.DataFrame:
    counts = pd.DataFrame({"n": 20, "champion": 0.9, "gained": 0, "lost": range(number, 0, -1)})
    counts["lost"] = counts["lost"].clip(upper=18)
    table = paired_statistics.judge(counts, confidence=0.95, min_images=10)
    return table.assign(label=[f"species_{i:02}" for i in range(number)])


def page(*flips: tuple, number: int = 3, pictures: int = 10, **more) -> str:
    return gate.page(
        said=said(**more),
        classes=classes(number),
        flips=pd.DataFrame(list(flips), columns=FLIPS),
        picture=uri,
        pictures=pictures,
        tolerance=0.02,
    )


def flip(image: str = "benchmark/a.jpg") -> tuple:
    return (image, "benchmark:field", "gnu", "cow", 0.9, 0.8)


def test_the_verdict_its_reason_and_every_image_are_told():
    text = " ".join(Elements(page()).text.split())
    assert "investigate Nobody can tell yet whether the candidate may replace the champion: so it is." in text
    assert "not the champion’s" in text
    assert "too few images" in text
    for standing in gate.STANDINGS:
        assert standing in text


def rule(name: str, state: str, of: str = "", **more) -> dict:
    found = {"rule": name, "of": of, "n": 200, "independent": 200, "candidate": 0.84, "champion": 0.85}
    return found | {"difference": -0.01, "low": -0.03, "high": 0.01, "tolerance": 0.02, "state": state} | more


def test_the_rule_that_stopped_a_model_comes_first():
    judged = [
        rule("right", "met", needed=None),
        rule("refused", "not judged", n=0, low=None, high=None, candidate=None, champion=None, needed=None),
        rule("benchmark", "not sure", of="night", needed=4321),
    ]
    stopped = {"rule": "benchmark", "of": "night"}
    look = [{"kind": "class", "name": "gnu", "n": 20, "gained": 0, "lost": 5}]
    tries = {"champion": 2, "benchmarks": 7}
    text = " ".join(Elements(page(rules=judged, stopped_by=stopped, look=look, tries=tries)).text.split())
    assert "Stopped by: Named right, benchmark night" in text
    html = page(rules=judged, stopped_by=stopped)
    places = [html.index(state) for state in (">not sure<", "<td>met</td>", "<td>not judged</td>")]
    assert places == sorted(places)
    assert "4,321" in text
    assert "class gnu : 5 lost, 0 gained of 20" in text.replace("gnu:", "gnu :")
    assert "2, 7 on these benchmarks" in text


def test_what_a_small_class_can_lose_unseen_is_said():
    text = " ".join(Elements(page(number=60, classes={"shared": 60, "judged": 60, "half_unseen": 3})).text.split())
    assert "3 of 60 classes can lose more than half of their images unseen" in text
    assert "look" in text


def first_page(verdict: str) -> str:
    """The page of a model that has no champion to be compared with."""
    first = {key: said()[key] for key in ("reason", "model", "size_mb", "latency_ms")}
    return gate.page(
        said=first | {"champion": "", "verdict": verdict},
        classes=pd.DataFrame(columns=["label", *paired_statistics.COLUMNS]),
        flips=pd.DataFrame(columns=FLIPS),
        picture=uri,
        pictures=10,
        tolerance=0.02,
    )


def test_the_page_of_a_first_model_says_nothing_of_a_champion_that_is_not_there():
    text = " ".join(Elements(first_page("pass")).text.split())
    assert "The candidate may become the first champion: there is none yet to compare it with." in text
    assert "no model has been released yet" in text
    for contradiction in ("replace the champion", "whatever the champion named", "No class is shared", "so it is"):
        assert contradiction not in text
    assert "must not become the first champion: so it is." in " ".join(Elements(first_page("fail")).text.split())


def test_a_champion_that_cannot_be_compared_has_no_flips_and_no_classes():
    without = {key: value for key, value in said().items() if key not in ("overall", "benchmarks", "classes", "images")}
    shown = gate.page(
        said=without, classes=classes(0), flips=pd.DataFrame(columns=FLIPS), picture=uri, pictures=10, tolerance=0.02
    )
    assert "Nothing was compared" in shown
    assert "whatever the champion named" not in shown


def test_each_verdict_has_its_own_colour_sign_and_words():
    shown = {verdict: page(verdict=verdict) for verdict in ("pass", "fail", "investigate")}
    signs = {
        verdict: text.split(f'class="verdict {verdict}">')[1].split("</span>")[0][-1] for verdict, text in shown.items()
    }
    assert signs == {"pass": "✓", "fail": "✕", "investigate": "?"}
    style = shown["pass"]
    colours = {verdict: style.split(f".verdict.{verdict} {{ color: ")[1].split(";")[0] for verdict in shown}
    assert len(set(colours.values())) == 3
    assert "This is no pass" in shown["investigate"]
    assert "This is no pass" not in shown["pass"]


def test_flips_beyond_the_limit_are_counted_and_not_read():
    asked = []
    text = gate.page(
        said=said(),
        classes=classes(1),
        flips=pd.DataFrame([flip(f"benchmark/{i}.jpg") for i in range(5)], columns=FLIPS),
        picture=lambda image: asked.append(image) or "",
        pictures=2,
        tolerance=0.02,
    )
    assert len(asked) == 2
    assert "3 more are in" in text


def test_file_names_and_labels_with_html_are_shown_as_text():
    nasty = page(flip(NASTY), new_classes={NASTY: {"n": 1, "right": 1}}, reason=NASTY)
    assert Elements(nasty).text.count(NASTY) >= 3
    assert len(Elements(nasty).all("script")) == 1


def test_an_interval_is_drawn_within_its_bar():
    drawn = page(overall=figures(low=-0.9, high=0.4))
    [line] = [each for each in Elements(drawn).all("line") if each["class"] == "whisker"]
    assert 0 <= float(line["x1"]) < float(line["x2"]) <= gate.FRAME.width


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH: the pages' script is not tried")
def test_in_a_browser_the_classes_sort_and_open(tmp_path: Path):
    script = """
      const part = document.querySelector("#classes"), note = document.documentElement.dataset;
      const shown = () => [...part.querySelectorAll("tbody")[0].querySelectorAll("tr:not([hidden])")];
      note.first = shown().length;
      part.querySelector(".more button").click();
      note.opened = shown().length;
      part.querySelector("th[data-column='0'] button").click();
      part.querySelector("th[data-column='0'] button").click();
      note.named = shown()[0].cells[0].textContent;
    """
    dom = in_a_browser(page(number=60), script, tmp_path)
    for found in ('data-first="50"', 'data-opened="60"', 'data-named="species_59"', 'data-ready="yes"'):
        assert found in dom
    assert "data-error" not in dom


def versions(*rounds: tuple[str, float, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of versions and of their scores on one set: round, accuracy, version of the set."""
    table = pd.DataFrame(
        [dict.fromkeys(runs.MADE_OF, 1) | {"round": name, "champion": "", "throw-away": False} for name, _, _ in rounds]
    )
    table = table.assign(run_id=[str(i) for i in range(len(rounds))], model="abc", parent="", gate="pass", reason=NASTY)
    sets = pd.DataFrame(
        [
            {"run_id": str(i), "round": name, "throwaway": False, "set": "test", "version": version, "n": 100}
            | {"top1": top1, "low": top1 - 0.05, "high": top1 + 0.04, "macro_f1": 0.5, "log_loss": 0.5, "ece": np.nan}
            for i, (name, top1, version) in enumerate(rounds)
        ]
    )
    return table, sets


def runs_page(*rounds: tuple[str, float, str], images: list[int] | None = None, **columns: str) -> str:
    table, sets = versions(*rounds)
    table = table.assign(**columns)
    sets = sets if images is None else sets.assign(n=images)
    bands = pd.DataFrame({"round": [1], "set": ["test"], "band": [0.9], "n": [10], "right": [9], "mean_score": [0.95]})
    recalls = pd.DataFrame({"round": [1, 2], "set": "test", "label": NASTY, "n": 10, "recall": [0.5, 0.4]})
    hint = {"label": "gnu", "hint": "no gain", "grew": 40, "before": 0.7, "now": 0.6, "low": 0.5, "n": 100}
    return runs.write(
        table=table,
        sets=sets,
        bands=bands,
        per_class=recalls,
        ledger=[],
        costs=[],
        hints=[hint],
        confidence=0.95,
        minutes_by_hand=0.5,
    )


def test_a_curve_breaks_where_the_set_became_another_version():
    assert runs_page(("1", 0.8, "a"), ("2", 0.9, "a")).count('class="break"') == 0
    assert runs_page(("1", 0.8, "a"), ("2", 0.9, "b"), ("3", 0.9, "b")).count('class="break"') == 1


def test_a_curve_breaks_where_new_classes_bring_images_of_the_same_version():
    page = runs_page(("1", 0.8, "a"), ("2", 0.9, "a"), ("2", 0.9, "a"), images=[100, 120, 120])
    assert page.count('class="break"') == 1
    assert "2 rounds;" in page  # the second was trained twice


def test_a_set_that_changes_in_every_round_does_not_hide_its_curve():
    page = runs_page(*[(str(number), 0.8, str(number)) for number in range(1, 61)])
    tops = re.findall(r'class="break" x1="[0-9.]+" x2="[0-9.]+" y1="([0-9.]+)" y2="([0-9.]+)"', page)
    assert len(tops) == 59
    assert all(float(bottom) - float(top) < 10 for top, bottom in tops)


def test_one_round_has_no_curve_and_yet_a_page():
    page = runs_page(("1", 0.8, "a"))
    assert "A curve needs two rounds" in page
    assert "40 training images more" in page
    assert NASTY in Elements(page).text


def test_rounds_are_drawn_in_their_order_also_past_the_ninth():
    page = runs_page(("9", 0.8, "a"), ("10", 0.9, "a"), ("2", 0.5, "a"))
    titles = [line for line in page.splitlines() if "<title>round" in line]
    assert [title.split("<title>round ")[1].split(":")[0] for title in titles] == ["2", "9", "10"]
