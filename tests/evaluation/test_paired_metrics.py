"""Two models differ in a metric by so much, and the interval of it is neither a point nor too narrow."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from pipeline.evaluation import paired_metrics
from pipeline.evaluation.paired_metrics import LOG_LOSS, MACRO_F1, TOP1, TOP5, WEIGHTED_F1, WORDS

CLASSES = np.array(["ant", "bee", "cow", "doe", "elk"])


def drawn(number: int, *, right: float, before: float, seed: int = 0, burst: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    label = np.repeat(random.choice(5, -(-number // burst), p=[0.5, 0.2, 0.15, 0.1, 0.05]), burst)[:number]
    luck = np.repeat(random.random(-(-number // burst)), burst)[:number]
    table = {"label": CLASSES[label], "cluster": np.arange(number) // burst}
    for suffix, share in (("", right), ("_before", before)):
        other = (label + random.integers(1, 5, number)) % 5
        is_right = luck < share
        table[f"predicted{suffix}"] = CLASSES[np.where(is_right, label, other)]
        table[f"label_rank{suffix}"] = np.where(is_right, 1, random.integers(2, 9, number))
        table[f"label_score{suffix}"] = np.where(is_right, 0.9, 0.05) + random.uniform(-0.04, 0.04, number)
    return pd.DataFrame(table)


@pytest.mark.parametrize(("metric", "average"), [(MACRO_F1, "macro"), (WEIGHTED_F1, "weighted")])
def test_f1_is_that_of_scikit_learn(metric, average):
    pairs = drawn(300, right=0.8, before=0.7)
    found = paired_metrics.difference(pairs, metric, confidence=0.95)
    for name, value in (("predicted", found.candidate), ("predicted_before", found.champion)):
        assert value == pytest.approx(f1_score(pairs["label"], pairs[name], average=average))
    assert found.difference == pytest.approx(found.candidate - found.champion)


@pytest.mark.parametrize("metric", [MACRO_F1, WEIGHTED_F1])
def test_what_each_image_adds_is_what_leaving_it_out_takes_away(metric):
    pairs = drawn(400, right=0.8, before=0.8)
    target = pd.Index(CLASSES).get_indexer(pairs["label"])
    named = pd.Index(CLASSES).get_indexer(pairs["predicted"])
    value, moved, _ = paired_metrics._f1(target, named, 5, weighted=False)
    for place in range(0, 400, 37):
        rest = np.delete(np.arange(400), place)
        without, _, _ = paired_metrics._f1(target[rest], named[rest], 5, weighted=False)
        assert value - without == pytest.approx(moved[place], abs=2e-5)
    assert moved.sum() == pytest.approx(0)


@pytest.mark.parametrize("metric", [TOP1, TOP5, MACRO_F1, WEIGHTED_F1])
def test_models_that_never_differ_have_an_interval_that_is_no_point(metric):
    pairs = drawn(500, right=0.8, before=0.8)
    for name in ("predicted", "label_rank"):
        pairs[f"{name}_before"] = pairs[name]
    found = paired_metrics.difference(pairs, metric, confidence=0.95)
    assert found.difference == 0
    assert -0.03 < found.low < -0.004
    assert 0.004 < found.high < 0.03


@pytest.mark.parametrize("metric", WORDS)
def test_a_better_model_has_a_positive_difference(metric):
    found = paired_metrics.difference(drawn(3000, right=0.9, before=0.7), metric, confidence=0.95)
    assert 0 < found.low < found.difference < found.high


@pytest.mark.parametrize("metric", WORDS)
def test_images_in_bursts_tell_less_than_as_many_alone(metric):
    alone = paired_metrics.difference(drawn(2000, right=0.85, before=0.75), metric, confidence=0.95)
    bursts = paired_metrics.difference(drawn(2000, right=0.85, before=0.75, burst=10), metric, confidence=0.95)
    assert bursts.high - bursts.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("metric", [MACRO_F1, WEIGHTED_F1, LOG_LOSS])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(metric):
    draws = [drawn(600, right=0.85, before=0.8, seed=seed) for seed in range(300)]
    truth = paired_metrics.difference(
        pd.concat(draws).reset_index(drop=True).assign(cluster=range(180_000)), metric, confidence=0.9
    )
    found = [paired_metrics.difference(pairs, metric, confidence=0.9) for pairs in draws]
    held = np.mean([each.low <= truth.difference <= each.high for each in found])
    assert 0.85 <= held <= 0.96


def test_an_image_whose_corrected_label_has_no_score_is_left_out_of_the_log_loss():
    pairs = drawn(200, right=0.9, before=0.9)
    expected = paired_metrics.difference(pairs.iloc[50:], LOG_LOSS, confidence=0.95)
    pairs.loc[:49, "label_score_before"] = np.nan
    assert paired_metrics.difference(pairs, LOG_LOSS, confidence=0.95) == expected
