"""The evaluation report: accuracy by likeness to training, and of isolated images, beside the plain one."""

import pandas as pd

from pipeline.evaluation.metrics import ISOLATED, QUARTERS, SIMILARITY
from tests.pages.browser import Elements
from tests.pages.test_pages import report, suspects

COLUMNS = ["set", "slice", "label", "value", "n", "top1", "top1_low", "top1_high", "independent"]
LIMIT = "isolated: at most 0.81 alike to training"


def slices(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


BOTH = slices(
    ("test", ISOLATED, "", LIMIT, 240, 0.612, 0.55, 0.67, 31),
    *(("test", SIMILARITY, "", value, 60, 0.9, 0.8, 0.95, 60) for value in QUARTERS),
    ("test", "origin", "", "real", 300, 0.87, 0.8, 0.9, 300),
)


def test_the_accuracy_of_isolated_images_stands_beside_the_plain_one():
    text = " ".join(Elements(report(slices=BOTH)).text.split())
    assert "and on 61.2% of the 240 (31 independent) that are isolated from training" in text
    for words in ["By likeness to training", LIMIT, "least alike to training", "61.2%", "55.0 to 67.0"]:
        assert words in text


def test_the_parts_by_likeness_are_not_among_those_by_origin():
    page = report(slices=BOTH)
    assert "real" in page.split("By origin and sub-class")[1].split("Confusions")[0]
    assert LIMIT not in page.split("By origin and sub-class")[1]


def test_without_similarities_the_report_says_nothing_of_them():
    text = Elements(report()).text
    assert "likeness to training" not in text
    assert "isolated" not in text


def test_a_set_without_isolated_images_has_a_dash_for_them():
    few = pd.concat([BOTH[BOTH["slice"] != ISOLATED], BOTH.head(1).assign(set="benchmark:field")])
    text = Elements(report(slices=few)).text
    assert "that are isolated from training" not in text
    assert "By likeness to training" in text


def test_a_doubted_burst_says_how_many_more_of_its_images_are_doubted():
    audit = suspects(("library/gnu/b.jpg", "val", "gnu", "lion", 0.99, False, False, 1)).assign(more=9)
    assert "not trained on; 9 more of its burst" in Elements(report(audit=audit)).text
