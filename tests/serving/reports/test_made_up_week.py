"""The report on a made-up week says what was planted in it, and no more."""

import json

import pandas as pd
import pytest

from pipeline.cli import answers
from pipeline.commands import report
from pipeline.serving import reports
from pipeline.serving.reports import findings
from pipeline.serving.store.opening import open_store
from scripts.promises import served_week

PLANTED = served_week.Planted()


@pytest.fixture(scope="module")
def week() -> served_week.Week:
    return served_week.make(pictures=8000, seed=3)


@pytest.fixture(scope="module")
def told(week, tmp_path_factory) -> reports.Report:
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/week.sqlite"
    engine = open_store(url)
    served_week.fill(engine, week, audited=250)
    engine.dispose()
    return reports.load(url)


def answered(week: served_week.Week) -> pd.DataFrame:
    rows = week.transactions.assign(truth=week.truth)
    return rows[(rows["status"] == 200) & (rows["truth"] != "")]


def test_every_picture_is_counted_once(told, week):
    rows = week.transactions
    assert told["use"]["pictures"].sum() == told["clients"]["pictures"].sum() == len(rows)
    assert told["use"]["requests"].sum() == rows["request_id"].nunique()
    assert told["use"]["refused"].sum() == (rows["status"] != 200).sum()


def test_the_busiest_hour_is_the_planted_one(told):
    peak = told["peaks"].set_index("within").loc["hour"]
    assert peak["start"] == pd.Timestamp(PLANTED.peak, unit="us")


def test_the_truth_lies_in_the_interval_of_what_is_right(told, week):
    rows = answered(week)
    truth = (rows["label"] == rows["truth"]).mean()
    row = told["accuracy"].set_index("measure").loc["right"]
    assert row["low"] <= truth <= row["high"]


def test_complaints_do_not_lower_the_accuracy(told):
    verdicts = told["verdicts"].set_index("source")
    assert verdicts.loc["feedback", "right"] == 0
    assert told["accuracy"].set_index("measure").loc["right", "n"] <= verdicts.loc["audit", "evaluations"]


def test_drift_is_named_on_the_planted_day_and_no_other(told):
    named = told["drift"][told["drift"]["drift"] != ""]
    assert set(named["start"]) == {pd.Timestamp(PLANTED.drift, unit="us")}
    assert set(named["feature"]) == {"brightness"}


def test_the_day_of_the_drift_is_less_right_than_the_others(told):
    unusual = told["accuracy_over_time"].query("unusual")
    assert unusual["start"].tolist() == [pd.Timestamp(PLANTED.drift, unit="us")]


def test_the_newer_model_is_found_better_by_shadow(told):
    row = told["shadow"].iloc[0]
    assert (row["before"], row["after"]) == (PLANTED.before, PLANTED.after)
    assert row["low"] > 0


def test_the_unknown_class_is_asked_for_at_its_share(told, week):
    row = told["asked_for"].iloc[0]
    truth = (answered(week)["truth"] == PLANTED.unknown).mean()
    assert (row["label"], row["taken_for"], row["known_now"]) == (PLANTED.unknown, PLANTED.taken_for, False)
    assert row["low"] <= truth <= row["high"]


def test_the_weak_class_is_named_and_no_other(told):
    table = told["capabilities"]
    assert table.loc[table["says"] != "", "label"].tolist() == [PLANTED.weak]


def test_less_than_promised_is_said(told):
    assert (told["expected"]["high"] < 0).all()


def test_the_sentences_tell_all_that_was_planted(told):
    text = " ".join(finding.text for finding in findings.of(told) if finding.kind != findings.NOTE)
    for planted in ("Sat 07 March", "Brightness", PLANTED.unknown, PLANTED.weak, "round-2 against round-1", "promised"):
        assert planted in text


def test_the_page_needs_nothing_else_and_shows_every_section(told):
    text = report.html(told)
    assert not any(sign in text for sign in ("http://", "https://", "<link", "@import"))
    assert all(f'id="{name}"' in text for name in ("summary", "use", "accuracy", "drift", "asked", "classes", "method"))
    assert "nan" not in text.partition("<script>")[0].lower()


def test_what_is_not_known_is_null_in_json(told):
    text = answers.to_json(report.as_dict(told))
    assert json.loads(text, parse_constant=pytest.fail)["tables"]["use"][0]["start"] == "2026-03-02T00:00:00"


def test_the_same_log_gives_the_same_page(told, week, tmp_path):
    url = f"sqlite:///{tmp_path}/again.sqlite"
    engine = open_store(url)
    served_week.fill(engine, served_week.make(pictures=8000, seed=3), audited=250)
    engine.dispose()
    assert report.html(reports.load(url)) == report.html(told)


def test_a_week_without_drift_says_so(tmp_path):
    planted = served_week.Planted(darker=0.0, worse=0.0, asked=0.0, weaker=0.0, expected=0.8)
    url = f"sqlite:///{tmp_path}/plain.sqlite"
    engine = open_store(url)
    served_week.fill(engine, served_week.make(pictures=4000, seed=1, planted=planted), audited=100)
    engine.dispose()
    told = reports.load(url)
    assert (told["drift"]["drift"] == "").all()
    assert not told["accuracy_over_time"]["unusual"].any()
    assert told["asked_for"].empty


def test_the_mix_of_classes_counts_every_answer_beside_the_library(told, week):
    answers_ = week.transactions[week.transactions["status"] == 200]
    assert told["class_mix"]["served"].sum() == (answers_["label"] != "").sum()
    assert told["class_mix"]["library"].sum() == 0  # nothing lies beside this log
    assert not [finding for finding in findings.of(told) if finding.section == "class_mix"]
    label = told["class_mix"]["label"].iloc[0]
    mixed = told["class_mix"].assign(library=1, library_share=0.001)
    other = reports.Report(**{**vars(told), "tables": {**told.tables, "class_mix": mixed}})
    (finding,) = [finding for finding in findings.of(other) if finding.section == "class_mix"]
    assert label in finding.text
