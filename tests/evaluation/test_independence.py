"""What images that belong together are worth, on planted truth; every promise fails where clusters are ignored."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation import independence, intervals, metrics, paired_statistics, scores, thresholds

CONFIDENCE, TOLERANCE = 0.95, 0.02
RUNS = 400
ALIKE = 0.8  # how far images of one burst are right or wrong together

images = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=60)


def in_bursts(size: int, number: int, *, shares: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes (RUNS * number * size,) and their clusters; images of a burst share one outcome in `ALIKE` of bursts."""
    random = np.random.default_rng(seed)
    whole = random.choice(len(shares), (RUNS * number, 1), p=shares)
    single = random.choice(len(shares), (RUNS * number, size), p=shares)
    outcome = np.where(random.random((RUNS * number, 1)) < ALIKE, whole, single)
    return outcome.ravel(), np.repeat(np.arange(RUNS * number), size)


def runs_of(values: np.ndarray, cluster: np.ndarray | None) -> independence.Sums:
    part = np.arange(len(values)) // (len(values) // RUNS)
    return independence.gather(values, cluster, part, parts=RUNS)


@given(images)
def test_images_that_are_all_alone_have_wilson_s_interval(rows):
    right = np.array([right for right, _ in rows])
    low, high = intervals.share(independence.gather(right, np.arange(len(rows))), confidence=CONFIDENCE)
    expected = intervals.wilson(right.sum(), len(right), confidence=CONFIDENCE)
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-12)
    assert independence.effective(independence.singles(right.sum(), len(right)), confidence=0.9) == len(right)


@settings(max_examples=40, deadline=None)
@given(images)
def test_sums_that_run_along_are_those_of_the_first_images(rows):
    right, cluster = (np.array(values) for values in zip(*rows, strict=True))
    whole = independence.running(right, cluster)
    for number in range(1, len(rows) + 1):
        some, first = whole[number - 1 : number], independence.gather(right[:number], cluster[:number])
        for name in ("n", "clusters", "size", "total", "varied"):
            assert getattr(some, name) == pytest.approx(getattr(first, name), abs=1e-9), name
        for name in ("alone", "together"):
            assert getattr(some, name) == getattr(first, name), name


@pytest.mark.parametrize("size", [1, 2, 5, 10])
@pytest.mark.parametrize("accuracy", [0.7, 0.95])
def test_the_interval_of_a_share_holds_the_truth_in_bursts_too(size, accuracy):
    right, cluster = in_bursts(size, 60, shares=[1 - accuracy, accuracy])
    low, high = intervals.share(runs_of(right, cluster), confidence=CONFIDENCE)
    coverage = ((low <= accuracy) & (accuracy <= high)).mean()
    assert 0.9 <= coverage <= 0.99
    low, high = intervals.share(runs_of(right, None), confidence=CONFIDENCE)
    assert size < 5 or ((low <= accuracy) & (accuracy <= high)).mean() < 0.8


def test_images_that_are_all_right_prove_no_more_than_their_bursts():
    low, _ = intervals.share(independence.gather(np.ones(200), np.arange(200) // 10), confidence=CONFIDENCE)
    expected, _ = intervals.wilson(20, 20, confidence=CONFIDENCE)
    assert low[0] == pytest.approx(expected, abs=0.03)
    assert low[0] < expected


def test_one_burst_says_next_to_nothing():
    low, high = intervals.share(independence.gather(np.ones(500), np.zeros(500)), confidence=CONFIDENCE)
    assert low[0] < 0.05
    assert high[0] == 1


@pytest.mark.parametrize(("size", "number"), [(1, 300), (2, 150), (5, 60), (10, 60)])
def test_a_model_worse_by_the_tolerance_passes_in_bursts_at_most_at_the_stated_rate(size, number):
    outcome, cluster = in_bursts(size, number, shares=[0.01 + TOLERANCE, 0.96, 0.01])
    change = outcome - 1
    sums = runs_of(change, cluster)
    gained, lost = (np.add.reduceat(change == kind, np.arange(RUNS) * size * number) for kind in (1, -1))
    low, _ = paired_statistics.difference(gained, lost, sums, confidence=CONFIDENCE)
    assert (low > -TOLERANCE).mean() <= 0.05
    ignored, _ = paired_statistics.interval(gained, lost, size * number, confidence=CONFIDENCE)
    assert size < 5 or (ignored > -TOLERANCE).mean() > 0.05


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))
def test_signs_of_single_images_flip_as_mcnemar_s_test_says(gained, lost, same):
    from scipy import stats

    change = np.repeat([1, -1, 0], [gained, lost, same])
    expected = stats.binom.sf(lost - 1, gained + lost, 0.5)
    assert paired_statistics.sign_flip(change) == pytest.approx(expected, abs=1e-12)


def test_six_lost_frames_of_one_burst_are_one_loss():
    change = np.repeat([-1, 0], [6, 100])
    assert paired_statistics.sign_flip(change) == pytest.approx(0.5**6)
    assert paired_statistics.sign_flip(change, np.repeat([0, 1], [6, 100])) == pytest.approx(0.5)
    assert paired_statistics.sign_flip(change, np.arange(106) // 2) == pytest.approx(0.5**3)


def test_a_flip_of_signs_counts_each_cluster_by_its_net_change():
    change, cluster = np.array([-1, -1, -1, 1, 1, -1]), np.array([0, 0, 0, 1, 1, 2])
    net, total = [-3, 2, -1], 0
    for signs in np.ndindex(2, 2, 2):
        total += sum(abs(value) * (1 if sign else -1) for value, sign in zip(net, signs, strict=True)) <= sum(net)
    assert paired_statistics.sign_flip(change, cluster) == pytest.approx(total / 8)


def judged(**more) -> pd.DataFrame:
    rows = pd.DataFrame({"right": [True] * 40 + [False] * 12, "right_before": True, "label": "cat"})
    return paired_statistics.by_group(rows.assign(**more), "label", confidence=CONFIDENCE, min_images=20)


def test_a_class_is_judged_by_its_independent_images():
    alone, together = judged(), judged(cluster=[str(number // 4) for number in range(52)])
    assert alone["lost_for_sure"].tolist() == [True]
    assert (alone["n"].item(), alone["independent"].item()) == (52, 52)
    assert (together["n"].item(), together["independent"].item()) == (52, 13)
    assert not together["judged"].item()


@pytest.mark.parametrize("number", [60, 1200])
def test_the_mean_s_interval_holds_the_truth_in_bursts(number):
    random = np.random.default_rng(0)
    size, cluster = 10, np.repeat(np.arange(number), 10)
    found = [
        intervals.mean(np.repeat(random.gamma(2, size=number), size), cluster, confidence=0.9, seed=run)
        for run in range(100)
    ]
    known = [(low, high) for low, high in found if not np.isnan(low)]  # a sample that is too skewed has none
    assert len(known) > 60
    assert np.mean([low <= 2 <= high for low, high in known]) == pytest.approx(0.9, abs=0.1)


def test_f1_of_bursts_has_a_wider_interval_than_that_of_images():
    targets = np.repeat([0, 1], [400, 200])
    predicted = np.where(np.arange(600) // 10 % 5 == 0, 1 - targets, targets)
    alone = intervals.f1(targets, predicted, confidence=CONFIDENCE)
    together = intervals.f1(targets, predicted, np.arange(600) // 10, confidence=CONFIDENCE)
    for name, (low, high) in alone.items():
        assert together[name][1] - together[name][0] > 2 * (high - low)


def table(clusters: int, size: int) -> pd.DataFrame:
    """Scores of a test set of bursts; the model is right on nineteen of twenty of these."""
    cluster = np.repeat(np.arange(clusters), size)
    right = cluster % 20 != 0
    rows = pd.DataFrame({"sha256": [f"{number}" for number in range(len(cluster))], "cluster": cluster.astype(str)})
    named = rows.assign(set="test", label="cat", predicted=np.where(right, "cat", "dog"), label_rank=2 - right)
    return named.assign(score=0.9, label_score=0.8, subclass="", origin="real", model="m")


def test_metrics_of_a_set_say_how_many_of_its_images_are_independent():
    found = metrics.by_set(table(40, 10), confidence=CONFIDENCE)["test"]
    assert (found["n"], found["independent"]) == (400, 40)
    assert 30 < found["effective"] <= 40
    by_class = metrics.by_class(table(40, 10), confidence=CONFIDENCE).iloc[0]
    assert by_class["independent"] == 40
    assert by_class["recall_low"] == pytest.approx(found["top1_low"], abs=1e-6)
    assert metrics.slices(table(40, 10), confidence=CONFIDENCE)["independent"].tolist() == [40]


def test_a_threshold_is_assured_by_independent_images():
    chosen = {
        size: thresholds.choose(
            table(400 // size, size), precision=0.9, confidence=0.95, min_images=30, temperature=1.0
        )
        for size in (1, 10)
    }
    assert chosen[1].rule == thresholds.ASSURED
    assert chosen[10].rule == thresholds.ESTIMATED
    assert (chosen[10].n, chosen[10].independent) == (400, 40)
    assert "400 images, 40 independent of test" in str(chosen[10])
    assert "400 images of test" in str(chosen[1])


def test_scores_without_clusters_have_each_content_as_its_own():
    old = table(2, 3).drop(columns="cluster")
    assert scores.clusters_of(old).tolist() == old["sha256"].tolist()
    assert scores.clusters_of(table(2, 3)).tolist() == list("000111")
    assert scores.clusters_of(table(2, 1).assign(cluster=["", "x"])).tolist() == ["0", "x"]
    assert scores.clusters_of(old.drop(columns="sha256")).nunique() == 6


def test_a_number_of_images_says_how_many_are_independent_where_these_are_fewer():
    assert independence.images(2400, 310) == "2,400 images, 310 independent"
    assert independence.images(2400, 2400) == "2,400 images"
    assert independence.images(2400) == "2,400 images"
