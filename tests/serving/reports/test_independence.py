"""Reports on traffic in which contents repeat and days have a burst of their own, on planted truth."""

import numpy as np
import pandas as pd
import pytest

from pipeline.pages import serving
from pipeline.serving.reports import accuracy, capabilities, drift, estimates
from pipeline.serving.reports.periods import DAY

RUNS, RIGHT = 150, 0.85


def audited(content: np.ndarray, client: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    rows = pd.DataFrame({"sha256": content.astype(str), "client": client.astype(str), "right": right, "position": 0})
    rows = rows.assign(request_id=rows.index.astype(str), stratum="all", probability=0.01, evaluated=True)
    return rows.assign(cluster=accuracy.clusters(rows, rows["right"]))


def coverage(draw, truth: float = RIGHT, **dropped: list[str]) -> float:
    """How often the interval of the share right holds the truth, over `RUNS` audits that `draw` makes."""
    hits = 0
    for run in range(RUNS):
        units = draw(np.random.default_rng(run)).drop(columns=dropped.get("drop", []))
        found = estimates.shares(units, estimates.strata(units), confidence=0.95).iloc[0]
        hits += found["low"] <= truth <= found["high"]
    return hits / RUNS


def zipf(random: np.random.Generator) -> pd.DataFrame:
    """An audit of 300 pictures of traffic in which 3,000 contents repeat; each content gets one answer."""
    weight = 1 / np.arange(1, 3001) ** 1.1
    content = random.choice(3000, 300, p=weight / weight.sum())
    return audited(content, random.integers(0, 30, 300), (random.random(3000) < RIGHT)[content])


def by_client(random: np.random.Generator) -> pd.DataFrame:
    """An audit of 300 pictures of 40 clients, of which some send what is easier."""
    client = random.integers(0, 40, 300)
    share = random.beta(3 * RIGHT, 3 * (1 - RIGHT), 40)
    return audited(np.arange(300), client, random.random(300) < share[client])


@pytest.mark.parametrize("draw", [zipf, by_client])
def test_the_interval_of_what_is_right_holds_the_truth_where_contents_repeat_and_clients_differ(draw):
    assert coverage(draw) >= 0.91
    assert coverage(draw, drop=["cluster", "sha256"]) < 0.85


def test_contents_that_all_differ_have_the_interval_of_pictures_that_are_alone():
    random = np.random.default_rng(0)
    units = audited(np.arange(200), random.integers(0, 3, 200), random.random(200) < RIGHT)
    design = estimates.strata(units)
    alone = estimates.shares(units.drop(columns=["cluster", "sha256"]), design, confidence=0.95)
    pd.testing.assert_frame_equal(estimates.shares(units, design, confidence=0.95), alone)


def test_a_report_says_how_many_of_the_judged_pictures_are_independent():
    units = audited(np.arange(200) // 4, np.zeros(200), np.arange(200) % 3 > 0)
    found = estimates.shares(units, estimates.strata(units), confidence=0.95).iloc[0]
    assert (found["n"], found["independent"]) == (200, 50)


def test_a_mean_difference_of_repeated_contents_has_a_wider_interval():
    gain = np.repeat(np.random.default_rng(0).choice([-1, 0, 1], 40), 10)
    units = audited(np.arange(400) // 10, np.zeros(400), gain > 0).assign(gain=gain)
    design = estimates.strata(units)
    together = estimates.mean(units, design, "gain", confidence=0.95)
    alone = estimates.mean(units.drop(columns=["cluster", "sha256"]), design, "gain", confidence=0.95)
    assert together["high"] - together["low"] > 2.5 * (alone["high"] - alone["low"])


def served(random: np.random.Generator, *, burst: int, darker_from: int = 99, days: int = 10) -> pd.DataFrame:
    """A log of days of 200 different pictures, and a steady burst that each day has of its own."""
    parts = []
    for day in range(days):
        bright = np.append(random.normal(0.5, 0.15, 200), random.normal(random.normal(0.5, 0.15), 0.01, burst))
        bright -= 0.25 * (day >= darker_from)
        score = np.append(random.beta(5, 2, 200), np.clip(random.normal(random.beta(5, 2), 0.01, burst), 0, 1))
        label = np.append(random.integers(0, 8, 200), np.full(burst, random.integers(0, 8)))
        at = day * DAY + random.integers(0, DAY, len(bright))
        parts.append(pd.DataFrame({"at": at, "brightness": bright, "score": score, "label": label.astype(str)}))
    log = pd.concat(parts, ignore_index=True).assign(version="v", width=640, height=480, status=200)
    return log.astype({"label": "category", "version": "category"})


def drifts(log: pd.DataFrame) -> pd.DataFrame:
    found = drift.find(log, "day", reference_days=7.0)
    return found[found["drift"] != ""]


def test_steady_bursts_of_each_day_are_no_drift():
    logs = [served(np.random.default_rng(seed), burst=100) for seed in range(8)]
    assert sum(len(drifts(log)) > 0 for log in logs) == 0


@pytest.mark.parametrize("darker_from", [5, 9])
def test_a_true_drift_is_found_from_its_first_day_on(darker_from):
    found = drifts(served(np.random.default_rng(0), burst=0, darker_from=darker_from))
    assert set(found["feature"]) == {"brightness"}
    assert len(found) == 10 - darker_from


def test_what_a_release_promised_is_worth_its_independent_images():
    classes = {"cat": {"n": 100, "top1": 0.7, "independent": 10, "effective": 9.0}, "dog": {"n": 100, "top1": 0.7}}
    release = {"classes": ["cat", "dog"], "threshold": 0.5, "expected": {"test": {"classes": classes}}}
    empty = pd.DataFrame(columns=["label", "found", "found_n", "found_low", "found_high", "said"])
    empty["found_independent"] = []
    found = capabilities.of(release, empty, thresholds={}, board=None, confidence=0.95).set_index("label")
    assert found["recall_high"]["cat"] > 0.8 > found["recall_high"]["dog"]
    assert found["says"].to_dict() == {"cat": "", "dog": "weak on test"}
    assert found.loc["cat", ["tested", "tested_independent"]].tolist() == [100, 10]
    assert found.loc["dog", ["tested", "tested_independent"]].tolist() == [100, 100]


def test_a_class_with_few_independent_images_is_untested_however_many_it_has():
    classes = {"cat": {"n": 100, "top1": 0.1, "independent": 9, "effective": 9.0}}
    release = {"classes": ["cat"], "threshold": 0.5, "expected": {"test": {"classes": classes}}}
    real = pd.DataFrame({"label": ["cat"], "found": [0.0], "found_n": [500], "found_independent": [3], "said": [0.0]})
    real = real.assign(found_low=0.0, found_high=0.5)
    found = capabilities.of(release, real, thresholds={}, board=None, confidence=0.95)
    assert found["says"].tolist() == ["untested"]
    assert (found.loc[0, "real_n"], found.loc[0, "real_independent"]) == (500, 3)


def test_plots_say_how_many_images_are_independent():
    rows = pd.DataFrame(
        {"label": ["cat", "dog"], "found": [0.5, 0.5], "found_n": [1200, 40], "found_independent": [31, 40]}
    )
    rows = rows.assign(found_low=0.4, found_high=0.6)
    plot = serving.shares_in_rows("Found, by class", rows, name="label", of="found")
    assert [text.text for text in plot.texts if text.text.startswith("50%")] == [
        "50%, n = 1,200, 31 ind.",
        "50%, n = 40",
    ]
    assert plot.dots[0].text == "cat: 50.0% of 1,200, 31 independent: 40.0% to 60.0%"


def test_a_class_says_how_many_of_its_judged_images_are_independent():
    units = audited(np.arange(40) // 8, np.arange(40), np.ones(40, bool))
    units = units.assign(usable=True, in_classes=True, label="cat", truth="cat", right=True)
    found = accuracy.by_class(units, estimates.strata(units), confidence=0.95).iloc[0]
    assert found[["said_n", "said_independent", "found_n", "found_independent"]].tolist() == [40, 5, 40, 5]
