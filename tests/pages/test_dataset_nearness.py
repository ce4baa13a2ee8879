from pathlib import Path

import pandas as pd
import pytest

from pipeline.evaluation.near_misses import Kind
from pipeline.pages import dataset_tables, dataset_ties
from pipeline.pages.dataset import Nearness, Ties
from tests.pages.browser import CHROMIUM, Elements, in_a_browser
from tests.pages.test_dataset import data_in, kept, rows_of, write


def near(**more: object) -> Nearness:
    pairs = [("test", "a", "gnu", "b", "emu", 0.93, "near hash (6 bits)")]
    beyond = dict.fromkeys(map(str, Kind), 0) | {str(Kind.HASH): 1234}
    sets = [{"set": "test", "n": 30, "independent": 12, "torn": 2, "tied": ["2 second look"], "compared": 28}]
    values = {"sets": [sets[0] | {"median": 0.81, "beyond": beyond}], "typical": 0.9}
    return Nearness(**(values | {"pairs": pd.DataFrame(pairs, columns=dataset_ties.PAIR_COLUMNS)} | more))


def test_the_leakage_report_counts_mates_in_training_and_has_the_nearest_pairs_as_pictures(tmp_path: Path):
    page = write(tmp_path, nearness=near())
    text = Elements(page).text
    for words in ["near hash of another view", "1,234", "12 independent", "2 second look", "0.90 alike in the median"]:
        assert words in text
    assert "closer to your training set" not in text
    (pair,) = rows_of(data_in(page)["pairs"])
    assert (pair["image"], pair["other"], pair["evidence"]) == ("a", "b", "near hash (6 bits)")
    assert (tmp_path / "pictures" / "pair-0.jpg").exists()
    assert len(data_in(page)["sheets"]["pair-0"][2]) == 2


def test_an_alarm_stands_at_the_top_of_the_page(tmp_path: Path):
    page = write(tmp_path, nearness=near(alarms=[{"benchmark": "field", "chance": 0.001, "superiority": 0.73}]))
    text = Elements(page).text
    assert text.count("closer to your training set than benchmark field is") == 2
    assert "in 73% of all pairs" in text


def test_without_features_the_page_says_that_nearness_is_not_measured(tmp_path: Path):
    assert "Not measured: there are no frozen features" in Elements(write(tmp_path)).text


def test_bursts_are_strips_of_pictures_with_what_ties_them(tmp_path: Path):
    group = {"kind": "burst", "mixed": True, "images": 9, "shown": [("a", "gnu", "train"), ("b", "gnu", "train")]}
    chain = {"label": "gnu", "images": 50_000, "first": "library/1.jpg"}
    ties = Ties(bursts=[group | {"more": 7, "says": "names in sequence"}], chains=[chain])
    page = write(tmp_path, ties=ties)
    assert data_in(page)["together"][0]["says"] == "names in sequence"
    assert (tmp_path / "pictures" / "together-0.jpg").exists()
    assert "50,000 images from library/1.jpg would be one burst of class gnu" in Elements(page).text


def test_sets_count_their_independent_images():
    images = kept("a", "b", "c").assign(cluster=["one", "one", "two"])
    (row,) = dataset_tables.sets(images, ["train"])
    assert (row["images"], row["independent"]) == (3, 2)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser")
def test_in_a_browser_pairs_and_bursts_show_their_pictures_and_evidence(tmp_path: Path):
    group = {"kind": "burst", "mixed": False, "images": 9, "shown": [("a", "gnu", "train"), ("b", "gnu", "train")]}
    ties = Ties(bursts=[group | {"more": 7, "says": "names in sequence"}])
    elements = Elements(in_a_browser(write(tmp_path, nearness=near(), ties=ties), "", tmp_path))
    for words in [
        "0.93 alike",
        "two classes · near hash (6 bits)",
        "burst, 9 images: names in sequence.",
        "and 7 more",
    ]:
        assert words in elements.text
    assert len([image for image in elements.all("img") if "pair-0.jpg" in image["src"]]) == 2
