import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import pages
from pipeline.pages import report as report_page
from tests.pages.browser import CHROMIUM, NASTY, Elements, in_a_browser, picture, uri


def sets(top1: float = 0.9) -> pd.DataFrame:
    columns = ["set", "n", "out_of_class", "top1", "top5", "macro_f1", "log_loss"]
    return pd.DataFrame(
        [("test", 1204, 0, top1, 1.0, 0.88, 0.412), ("benchmark:field", 12, 12, *[np.nan] * 4)], columns=columns
    )


def per_class(**recalls: float) -> pd.DataFrame:
    """Test and val rows of classes with these test recalls."""
    rows = [(name, label, 10, 0.5, recall, 0.5, 0.5) for label, recall in recalls.items() for name in ("val", "test")]
    table = pd.DataFrame(rows, columns=["set", "label", "n", "precision", "recall", "f1", "mean_score"])
    return table.assign(recall_low=table["recall"] - 0.1, recall_high=table["recall"] + 0.05)


def confusions(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["set", "label", "predicted", "n", "share"])


def history(*val_losses: float) -> pd.DataFrame:
    epochs = len(val_losses)
    return pd.DataFrame(
        {
            "epoch": range(1, epochs + 1),
            "loss": np.linspace(2, 1, epochs),
            "val_loss": list(val_losses),
            "accuracy": np.linspace(0.2, 0.9, epochs),
            "val_accuracy": np.linspace(0.2, 0.8, epochs),
            "learning_rate": [1e-3] * (epochs - 1) + [2e-4] * min(epochs, 1),
        }
    )


def mistakes(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["image", "set", "label", "predicted", "score", "label_score"])


def unknown_classes(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["set", "label", "n", "refused"])


def suspects(*rows: tuple) -> pd.DataFrame:
    columns = ["image", "set", "label", "predicted", "score", "trained", "frozen", "rank"]
    return pd.DataFrame(list(rows), columns=columns)


def changes(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["set", "label", "n", "before", "now", "gained", "lost"])


def reliability(*accuracies: float) -> pd.DataFrame:
    columns = ["low", "high", "n", "mean_score", "accuracy", "accuracy_low", "accuracy_high"]
    rows = [(n / 15, (n + 1) / 15, 40, n / 15 + 0.02, a, a - 0.1, min(a + 0.1, 1)) for n, a in enumerate(accuracies)]
    return pd.DataFrame(rows, columns=columns)


def coverage(*precisions: float) -> pd.DataFrame:
    shown = np.linspace(0.1, 1, len(precisions))
    table = pd.DataFrame({"threshold": 1 - shown, "shown": shown, "precision": precisions})
    return table.assign(low=table["precision"] - 0.05, high=np.minimum(table["precision"] + 0.03, 1))


THRESHOLD = {
    "rule": "assured", "precision": 0.95, "threshold": 0.62, "chosen_on": ["benchmark:field"], "n": 900, "classes": {},
    "unreached_classes": [], "shown": 0.71, "shown_precision": 0.96, "ece": 0.021,
}  # fmt: skip


def written(folder: Path, **changed: object) -> str:
    values: dict = {
        "title": "Round 12",
        "facts": {"model": "3f9a1c", "network": "Inception-v4"},
        "sets": sets(),
        "per_class": per_class(gnu=0.4, lion=0.9, tapir=0.7),
        "confusions": confusions(("test", "gnu", "lion", 6, 0.6)),
        "history": history(1.9, 1.2, 1.4),
        "mistakes": mistakes(("library/gnu/a.jpg", "test", "gnu", "lion", 0.97, 0.02)),
        "neighbours": pd.DataFrame(columns=["of", "image", "label", "cosine"]),
        "confused": mistakes(("library/gnu/a.jpg", "test", "gnu", "lion", 0.97, 0.02)),
        "slices": pd.DataFrame(columns=["set", "slice", "label", "value", "n", "top1", "top1_low", "top1_high"]),
        "reliability": reliability(0.1, 0.3, 0.9),
        "coverage": coverage(1.0, 0.97, 0.8),
        "threshold": THRESHOLD,
        "outside": unknown_classes(("open:below-cutoff", "emu", 12, 0.75)),
        "outside_shown": mistakes(("library/emu/a.jpg", "open:below-cutoff", "emu", "lion", 0.97, np.nan)),
        "changed_sets": changes(("test", "", 100, 0.9, 0.88, 3, 5)).drop(columns="label"),
        "changed_classes": changes(("test", "gnu", 10, 0.9, 0.4, 0, 5)),
        "audit": suspects(("library/gnu/b.jpg", "val", "gnu", "lion", 0.99, False, False, 1)),
        "wholly_staged": ["tapir"],
        "conclusions": ["the model overfits: its error on test is 9.0 points above training"],
        "picture": picture,
    }
    report_page.write(folder, **(values | changed))
    return (folder / "report.html").read_text(encoding="utf-8")


def report(**changed: object) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder), **changed)


def cards(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["image", "group", "rank", "label", "score", "reason"])


def queue(*rows: tuple, name: str = "low-count") -> str:
    recipe = pages.Recipe(name, "Images of a class that is short of images.", cards(*rows))
    return pages.queue(title="Queue of round 12", recipes=[recipe], picture=uri)


def classes_in_order(page: str) -> list[str]:
    return re.findall(
        r'<tr><th scope="row" class="key">(\w+)</th>', page.split('id="confusions"')[0].split('id="classes"')[1]
    )


def test_a_file_name_with_html_in_it_is_shown_as_text():
    for page in (
        report(mistakes=mistakes((NASTY, "test", "gnu", "lion", 0.9, 0.1))),
        queue((NASTY, "g", 1, "gnu", 0.9, NASTY)),
    ):
        elements = Elements(page)
        assert NASTY in elements.text
        assert len(elements.all("script")) <= 2  # the template's own
        assert [image for image in elements.all("img") if "onerror" in image] == []


def test_a_label_a_fact_and_a_recipe_with_html_in_them_are_shown_as_text():
    bold = "<b>gnu</b>"
    page = report(title=bold, facts={bold: bold}, per_class=per_class(**{bold: 0.4}))
    assert Elements(page).all("b") == Elements(report()).all("b")
    assert "<b>gnu" not in queue(name=bold)


def test_a_page_fetches_nothing():
    for page in (report(), queue(("pool/a.jpg", "g", 1, "gnu", 0.9, "short"))):
        elements = Elements(page)
        assert elements.all("link") == []
        assert all("src" not in script for script in elements.all("script"))
        assert all(image["src"].startswith(("data:", "pictures/")) for image in elements.all("img"))
        assert "default-src 'none'" in page
        assert not re.search(r"https?://|@import|url\(", page)


def test_the_same_inputs_give_the_same_bytes():
    rows = [("pool/b.jpg", "g", 2, "gnu", 0.8, "short"), ("pool/a.jpg", "g", 1, "gnu", 0.9, "short")]
    assert report() == report()
    assert queue(*rows) == queue(*rows) == queue(*reversed(rows))


def test_the_report_leads_with_the_test_score_and_the_weakest_classes():
    text = Elements(report()).text
    assert "right on 90.0% of 1,204 test images; weakest are gnu (40.0%), tapir (70.0%) and lion (90.0%)." in text


def test_a_model_without_a_test_score_has_no_leading_sentence():
    assert "right on" not in report(sets=sets(top1=np.nan))


def test_the_weakest_class_by_test_recall_comes_first_and_an_unknown_recall_last():
    page = report(per_class=per_class(lion=0.9, okapi=np.nan, gnu=0.4, tapir=0.7))
    assert classes_in_order(page) == ["gnu", "tapir", "lion", "okapi"]


def test_a_number_that_is_not_known_is_a_dash():
    assert "nan" not in Elements(report(per_class=per_class(okapi=np.nan))).text.lower()
    assert "nan" not in Elements(queue(("pool/a.jpg", "g", 1, np.nan, np.nan, np.nan))).text.lower()
    assert '<td class="num">12</td><td class="num">12</td><td class="num">–' in report()


def test_every_picture_has_an_alternative_text_and_a_size():
    for page in (report(), queue(("pool/a.jpg", "g", 1, "gnu", 0.9, "short"))):
        images = Elements(page).all("img")
        assert images
        assert all(image["alt"] and image["width"] and image["height"] for image in images)


def test_every_table_has_a_caption_and_scoped_headers():
    elements = Elements(report())
    assert len(elements.all("caption")) == len(elements.all("table")) == 7
    assert all("scope" in header for header in elements.all("th"))


def test_a_picture_that_cannot_be_read_is_a_box_that_says_so():
    for page in (
        report(
            mistakes=mistakes(("library/broken.jpg", "test", "gnu", "lion", 0.9, 0.1)),
            confused=mistakes(),
            outside_shown=mistakes(),
            audit=suspects(),
        ),
        queue(("pool/broken.jpg", "g", 1, "gnu", 0.9, "short")),
    ):
        assert Elements(page).all("img") == []
        assert "The picture cannot be read" in Elements(page).text


def test_the_mistakes_keep_their_order_and_stand_beside_the_training_images_they_look_like():
    rows = [(f"library/{score}.jpg", "test", "gnu", "lion", score, 0.1) for score in (0.99, 0.6, 0.8)]
    near = pd.DataFrame(
        [("library/0.6.jpg", "library/near.jpg", "okapi", 0.91)], columns=["of", "image", "label", "cosine"]
    )
    page = report(mistakes=mistakes(*rows), neighbours=near, confused=mistakes())
    text = Elements(page).text
    assert text.index("0.99.jpg") < text.index("0.6.jpg") < text.index("okapi") < text.index("0.8.jpg")
    assert "library/near.jpg: cosine 0.91" in page


def test_a_pair_of_classes_opens_its_pictures(tmp_path):
    confused = [(f"library/{n}.jpg", "test", "gnu", "lion", 0.9, 0.1) for n in range(40)]
    page = written(tmp_path, confusions=confusions(("test", "gnu", "lion", 40, 0.6)), confused=mistakes(*confused))
    elements = Elements(page)
    assert {"href": "#pair-0"} in elements.all("a")
    assert [image["src"] for image in elements.all("img")].count("pictures/pair-0.jpg") == report_page.IN_A_PAIR
    assert "and 28 more" in elements.text
    files = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert files == {"pair-0.jpg", "mistake-0.jpg", "outside-0.jpg", "audit-0.jpg"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, "shown from a score of 62.0% on: 71.0% of the images of benchmark:field get one, and 96.0% of these"),
        ({"rule": "estimated"}, "too few images to be sure"),
        ({"rule": "unreached", "threshold": np.inf}, "at no score are 95% of the answers right on benchmark:field"),
        ({"rule": "unreached", "chosen_on": []}, "neither a benchmark nor a test set"),
        ({"chosen_on": ["test"]}, "There is no benchmark"),
        ({"classes": {"gnu": np.inf}, "unreached_classes": ["gnu"]}, "surely right less often: gnu"),
        (
            {"rule": "unreached", "classes": {"gnu": 0.5}},
            "Answers of 1 class are shown, from scores of its own on: 71.0%",
        ),
        ({}, "a class without a threshold of its own may be right less often"),
    ],
)
def test_the_report_says_from_which_score_answers_are_shown_and_why(changed, sentence):
    assert sentence in " ".join(Elements(report(threshold=THRESHOLD | changed)).text.split())


def test_what_the_champion_knew_and_this_model_does_not_is_told():
    text = " ".join(Elements(report()).text.split())
    assert "Compared with the champion" in text
    assert "Compared with the champion" not in report(changed_sets=pd.DataFrame(), changed_classes=pd.DataFrame())


def test_an_interval_stands_below_its_figure():
    row = sets().assign(top1_low=0.88, top1_high=0.92)
    assert re.search(r'90.0%<small class="interval">88.0 to 92.0</small>', report(sets=row))


def test_what_the_figures_allow_to_conclude_stands_in_the_lead():
    assert "<li>The model overfits: its error on test is 9.0 points above training.</li>" in report()
    assert '<ul class="conclusions">' not in report(conclusions=[])


def test_classes_without_a_real_picture_are_named():
    assert "says how they fare outside: tapir." in Elements(report()).text
    assert "how they fare outside" not in report(wholly_staged=[])


def test_a_mistake_on_an_image_of_no_class_says_so():
    assert "none of the classes" in report(mistakes=mistakes(("b/x.jpg", "benchmark:odd", "", "lion", 0.9, np.nan)))


def test_empty_tables_are_explained():
    text = Elements(
        report(
            per_class=per_class(),
            confusions=confusions(),
            history=history(),
            mistakes=mistakes(),
            outside=unknown_classes(),
            audit=suspects(),
        )
    ).text
    sentences = ["No class has been scored", "No image was taken", "no training history", "made no mistake"]
    for sentence in [*sentences, "no image of a class that the model does not know", "contradicts no label"]:
        assert sentence in text
    nothing = pd.DataFrame()
    page = report(sets=nothing, per_class=nothing, confusions=nothing, history=nothing, reliability=nothing, facts={})
    assert "No set has been scored" in page


def test_an_empty_recipe_says_why_that_may_be():
    assert "Nothing to decide here this round" in queue()
    recipe = pages.Recipe("disagree", "Says who is right.", cards(), note="There is no champion yet.")
    page = pages.queue(title="Queue", recipes=[recipe], picture=uri)
    assert "There is no champion yet." in page
    assert "Nothing waits for a person" in page


def test_near_duplicates_share_a_card_at_their_best_rank():
    page = queue(
        ("pool/burst-2.jpg", "burst", 3, "gnu", 0.7, "short"),
        ("pool/alone.jpg", "alone", 2, "gnu", 0.8, "short"),
        ("pool/burst-1.jpg", "burst", 1, "gnu", 0.9, "short"),
    )
    text = Elements(page).text
    assert "3 images, 2 decisions" in text
    assert text.count("2 near-duplicates, decide once") == 1
    assert text.index("burst-1") < text.index("burst-2") < text.index("alone")


def test_images_without_a_group_are_never_near_duplicates():
    page = queue(("pool/a.jpg", "", 1, "gnu", 0.9, ""), ("pool/b.jpg", None, 2, "gnu", 0.8, ""))
    assert "near-duplicates, decide once" not in page.split("<main")[1]


def test_the_best_epoch_is_the_one_of_the_lowest_validation_loss_or_the_one_given():
    assert "best: epoch 2" in report(history=history(1.9, 1.2, 1.4))
    assert "best: epoch 3" in report(history=history(1.9, 1.2, 1.199), best_epoch=3)


def test_a_chart_survives_one_epoch_gaps_and_a_loss_that_blew_up():
    for losses in [(1.0,), (1.0, np.nan, 0.8), (np.inf, 1.0), (np.nan, np.nan), (0.0, 0.0), (5e-7, 3e9)]:
        charts = re.findall(r"<svg.*?</svg>", report(history=history(*losses)), re.DOTALL)
        assert len(charts) == 4
        assert not re.search(r"nan|inf\b", "".join(charts))


def test_1500_classes_take_little_space():
    recalls = {f"species_{number:04}": number / 1500 for number in range(1500)}
    tables = [per_class(**recalls).replace({"set": {"val": f"benchmark:{name}"}}) for name in "abc"]
    wide = pd.concat([per_class(**recalls), *(table[table["set"] != "test"] for table in tables)])
    pairs = confusions(*[("test", f"species_{n:04}", "gnu", 1, 0.1) for n in range(1500)])
    page = report(per_class=wide, confusions=pairs)
    assert len(page) < 2.5e6
    assert "Show all 1,500" in page
    assert "The 500 rarer pairs are in" in Elements(page).text


def test_a_thumbnail_is_a_data_uri_and_a_damaged_file_is_none(tmp_path: Path):
    Image.new("RGB", (400, 200), "teal").save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert pages.picture_uri(tmp_path / "a.png", side=32).startswith("data:image/jpeg;base64,")
    assert pages.picture_uri(tmp_path / "b.jpg") == ""
    assert pages.picture_uri(tmp_path / "missing.jpg") == ""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on PATH: the pages' script is not tried")
def test_in_a_browser_a_table_sorts_a_filter_finds_and_a_long_table_opens(tmp_path: Path):
    recalls = {f"species_{number:02}": number / 60 for number in range(60)}
    script = """
      const part = document.querySelector("#classes"), note = document.documentElement.dataset;
      const shown = () => [...part.querySelectorAll("tbody tr:not([hidden]) th")].map((th) => th.textContent);
      const recall = part.querySelector("th[aria-sort]"), name = part.querySelector("th[data-column='0']");
      note.first = shown().length + " " + shown()[0];
      recall.querySelector("button").click();
      note.turned = recall.getAttribute("aria-sort") + " " + shown()[0];
      name.querySelector("button").click();
      note.named = name.getAttribute("aria-sort") + " " + shown()[0] + " " + recall.hasAttribute("aria-sort");
      part.querySelector(".more button").click();
      note.all = shown().length;
      const input = part.querySelector("input");
      input.value = "SPECIES 07"; input.dispatchEvent(new Event("input"));
      note.found = shown().join() + " " + part.querySelector("output").textContent;
    """
    page = in_a_browser(report(per_class=per_class(**recalls, okapi=np.nan)), script, tmp_path)
    note = Elements(page).all("html")[0]
    assert note["data-ready"] == "yes"
    assert "data-error" not in note
    assert note["data-first"] == "50 species_00"
    assert note["data-turned"] == "descending species_59"
    assert note["data-named"] == "ascending okapi false"
    assert note["data-all"] == "61"
    assert note["data-found"] == "species_07 1 found"

    rows = [(f"pool/{number}.jpg", "", number, "lion" if number % 2 else "gnu", 0.9, "short") for number in range(20)]
    script = """
      const input = document.querySelector("input");
      input.value = "gnu"; input.dispatchEvent(new Event("input"));
      document.documentElement.dataset.found = document.querySelectorAll(".cards > li:not([hidden])").length;
    """
    note = Elements(in_a_browser(queue(*rows, name="look-alike & more"), script, tmp_path)).all("html")[0]
    assert (note["data-ready"], note["data-found"]) == ("yes", "10")
    assert "data-error" not in note


def test_a_burst_is_one_card_with_its_first_frames():
    rows = [(f"pool/{n:02d}.jpg", "g", n + 1, "gnu", 0.9, "short") for n in range(20)]
    table = pd.DataFrame(rows, columns=["image", "group", "rank", "label", "score", "reason"]).assign(burst="x")
    shown = Elements(pages.queue(title="Queue", recipes=[pages.Recipe("low-count", "", table)], picture=uri))
    assert "20 frames of one event, decide once; 8 are shown" in shown.text
    assert len([one for one in shown.all("img") if one.get("src", "").startswith("data:")]) == 8
