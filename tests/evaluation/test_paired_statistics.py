"""The paired tests, compared with their definitions and with thousands of made-up benchmarks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from pipeline.evaluation import paired_statistics
from pipeline.evaluation.luck import Luck

TOLERANCE, CONFIDENCE = 0.02, 0.95
SIMULATED = 4000


def score_by_search(gained: int, lost: int, n: int, supposed: float) -> float:
    """Tango's statistic, its variance from a search for the likeliest share of lost images."""

    def unlikely(share_lost: float) -> float:
        share_gained = share_lost + supposed
        shares = np.array([share_gained, share_lost, 1 - share_gained - share_lost])
        counts = np.array([gained, lost, n - gained - lost])
        return -np.sum(counts[counts > 0] * np.log(np.maximum(shares[counts > 0], 1e-300)))

    low, high = max(0.0, -supposed), (1 - supposed) / 2
    share_lost = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - n * supposed) / np.sqrt(n * (2 * share_lost + supposed * (1 - supposed)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 300), st.floats(-0.4, 0.4))
def test_the_closed_form_agrees_with_a_search_for_the_likeliest_shares(gained, lost, same, supposed):
    n = gained + lost + same + 1
    found = paired_statistics.score(*(np.float64(number) for number in (gained, lost, n, supposed)))
    expected = score_by_search(gained, lost, n, supposed)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 400))
def test_an_interval_holds_its_difference_and_turns_round_with_the_models(gained, lost, same):
    n = gained + lost + same
    low, high = paired_statistics.interval(gained, lost, n, confidence=0.9)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    other_low, other_high = paired_statistics.interval(lost, gained, n, confidence=0.9)
    assert (other_low, other_high) == (pytest.approx(-high, abs=1e-6), pytest.approx(-low, abs=1e-6))


def test_images_that_are_all_named_alike_do_not_prove_that_nothing_is_lost():
    low, high = paired_statistics.interval(0, 0, 100, confidence=0.95)
    assert high == pytest.approx(1.959964**2 / (100 + 1.959964**2), abs=1e-6)
    assert low == -high


def simulate(
    n: int, *, gained: float, lost: float, size: int = SIMULATED, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gained and lost images of `size` benchmarks of `n` images, where these are the true shares."""
    counts = np.random.default_rng(seed).multinomial(n, [gained, lost, 1 - gained - lost], size=size)
    return counts[:, 0], counts[:, 1]


@pytest.mark.parametrize("n", [60, 200, 800, 5000])
@pytest.mark.parametrize("churn", [0.0, 0.01, 0.05, 0.2])
def test_a_model_truly_worse_by_the_tolerance_passes_at_most_at_the_stated_rate(n, churn):
    """`churn`: the share of images that either model alone names by chance. The bound is on the rate itself."""
    low, _ = paired_statistics.interval(*simulate(n, gained=churn, lost=churn + TOLERANCE), n, confidence=CONFIDENCE)
    passed = int((low > -TOLERANCE).sum())
    surely_at_most = stats.binomtest(passed, SIMULATED).proportion_ci(0.999).high
    assert surely_at_most <= 1 - CONFIDENCE


@pytest.mark.parametrize(("n", "churn", "least"), [(200, 0.0, 0.99), (800, 0.01, 0.85), (3000, 0.05, 0.9)])
def test_a_model_that_is_as_good_passes_where_the_benchmark_is_large_enough(n, churn, least):
    low, _ = paired_statistics.interval(*simulate(n, gained=churn, lost=churn), n, confidence=CONFIDENCE)
    assert (low > -TOLERANCE).mean() > least


def test_the_number_of_images_that_is_asked_for_is_enough():
    enough = paired_statistics.needed(4, 6, 100, tolerance=0.05, confidence=0.95)
    factor = enough / 100
    low, _ = paired_statistics.interval(4 * factor, 6 * factor, enough, confidence=0.95)
    assert low == pytest.approx(-0.05, abs=0.002)
    assert paired_statistics.needed(0, 0, 100, tolerance=0.02, confidence=0.95) == 189
    assert paired_statistics.needed(0, 2, 100, tolerance=0.02, confidence=0.95) is None


def test_a_class_of_ten_images_among_ten_can_lose_most_of_them_unseen():
    assert paired_statistics.unseen([5, 10, 200], 10, confidence=CONFIDENCE) == pytest.approx(
        [1, 0.842, 0.051], abs=1e-3
    )


def test_the_number_of_images_for_a_power_is_enough_and_asks_no_impossible_number():
    enough = paired_statistics.needed(10, 10, 500, tolerance=0.02, confidence=0.95, power=0.8)
    gained, lost, _ = np.random.default_rng(0).multinomial(enough, [0.02, 0.02, 0.96], 400).T
    low, _ = paired_statistics.interval(gained, lost, np.full(400, enough), confidence=0.95)
    assert 0.76 < (low > -0.02).mean() < 0.9
    assert paired_statistics.needed(0, 2000, 100_001, tolerance=0.02, confidence=0.95, power=0.8) is None


def test_losses_beyond_chance_before_the_correction_are_for_a_look():
    table = pd.DataFrame({"n": 100, "champion": 0.8, "gained": [0, 0, 0], "lost": [5, 20, 1]})
    more = pd.DataFrame({"n": 100, "champion": 0.8, "gained": 0, "lost": [0] * 7})
    judged = paired_statistics.judge(pd.concat([table, more], ignore_index=True), confidence=CONFIDENCE, min_images=10)
    assert judged["look"].tolist()[:3] == [True, False, False]
    assert judged["lost_for_sure"].tolist()[:3] == [False, True, False]


def pairs(gained: np.ndarray, lost: np.ndarray, n: int) -> pd.DataFrame:
    """`n` images of each class, so many of them gained and lost."""
    right, before, labels = [], [], []
    for number, (more, fewer) in enumerate(zip(gained, lost, strict=True)):
        right += [True] * more + [False] * fewer + [True] * (n - more - fewer)
        before += [False] * more + [True] * fewer + [True] * (n - more - fewer)
        labels += [f"class {number:04d}"] * n
    return pd.DataFrame({"right": right, "right_before": before, "label": labels})


def lost_classes(images: pd.DataFrame, **more) -> list[str]:
    found = paired_statistics.by_group(images, "label", **({"confidence": CONFIDENCE, "min_images": 10} | more))
    return list(found.index[found["lost_for_sure"]])


def lost_by_counts(gained: np.ndarray, lost: np.ndarray, n: int) -> np.ndarray:
    """Which classes of `n` images have surely lost."""
    table = pd.DataFrame({"n": n, "champion": 0.8, "gained": gained, "lost": lost})
    return paired_statistics.judge(table, confidence=CONFIDENCE, min_images=10)["lost_for_sure"].to_numpy()


def share_found(n: int, *, planted: float, churn: float, times: int = 100) -> float:
    """How often the first of 100 classes of `n` images is found, which has truly lost the share `planted`."""
    found = []
    for seed in range(times):
        gained, lost = simulate(n, gained=churn, lost=churn, size=100, seed=seed)
        (gained[0],), (lost[0],) = simulate(n, gained=churn, lost=churn + planted, size=1, seed=seed + times)
        found.append(lost_by_counts(gained, lost, n)[0])
    return float(np.mean(found))


def test_a_class_of_a_hundred_that_lost_three_points_is_found_among_five_hundred_images():
    """Where nothing else changed, 11 lost images are enough, and 3 % of 500 are 15. Churn asks for more images."""
    assert share_found(500, planted=0.03, churn=0.0) >= 0.8
    assert share_found(1600, planted=0.03, churn=0.02) >= 0.8
    assert share_found(100, planted=0.03, churn=0.0) < 0.1


def test_a_class_that_lost_three_points_of_all_images_is_found_in_a_small_benchmark():
    """Three points of overall accuracy, all in one class, which has a twelfth of 100 classes' 1,200 images."""
    gained, lost = simulate(12, gained=0.01, lost=0.01, size=100)
    images = pd.concat([pairs(gained, lost, 12).iloc[12:], pairs([0], [36], 100)])
    assert images["label"].value_counts()["class 0000"] == 100
    assert lost_classes(images) == ["class 0000"]


def test_three_lost_images_of_a_hundred_are_no_proof_even_of_one_class():
    assert lost_classes(pairs([0], [3], 100)) == []


def test_where_no_class_has_lost_a_model_is_stopped_at_most_at_the_stated_rate():
    times = 400
    stopped = sum(
        lost_by_counts(*simulate(40, gained=0.1, lost=0.1, size=100, seed=seed), 40).any() for seed in range(times)
    )
    assert stats.binomtest(stopped, times, 1 - CONFIDENCE, alternative="greater").pvalue > 0.01


def test_many_classes_ask_for_more_proof_than_one():
    lost = pairs([0, *[1] * 99], [6, *[1] * 99], 40)
    assert lost_classes(lost) == []
    assert lost_classes(lost[lost["label"] == "class 0000"]) == ["class 0000"]


def test_the_p_value_is_mcnemars_exact_one():
    found = paired_statistics.by_group(pairs([2], [9], 40), "label", confidence=CONFIDENCE, min_images=10).iloc[0]
    assert found["p"] == pytest.approx(stats.binomtest(9, 11, alternative="greater").pvalue)
    assert (found["gained"], found["lost"], found["n"]) == (2, 9, 40)
    assert found["difference"] == pytest.approx(found["candidate"] - found["champion"])


def test_a_class_with_too_few_images_is_shown_and_not_judged():
    images = pd.concat([pairs([0], [1], 1), pairs([0, 0], [0, 20], 30).iloc[30:]])
    found = paired_statistics.by_group(images, "label", confidence=CONFIDENCE, min_images=10)
    assert list(found["judged"]) == [False, True]
    assert list(found["lost_for_sure"]) == [False, True]
    assert found.loc["class 0000", ["p", "low", "high"]].isna().all()
    assert found.loc["class 0000", "n"] == 1


def test_no_class_at_all_makes_an_empty_table():
    assert (
        list(paired_statistics.by_group(pairs([], [], 0), "label", confidence=0.9, min_images=1).columns)
        == paired_statistics.COLUMNS
    )


def test_five_against_none_is_a_chance_of_one_in_sixteen():
    assert paired_statistics.mcnemar([1] * 5 + [0], [0] * 6) == pytest.approx(2 * 0.5**5)
    assert paired_statistics.mcnemar([1, 0], [1, 0]) == 1.0


def scores(right, *, name: str = "test", label: str = "cat") -> pd.DataFrame:
    """One row per image; `right` says whether the model names it."""
    images = [f"{label}{number}" for number in range(len(right))]
    ranks = np.where(np.asarray(right, bool), 1, 2)
    return pd.DataFrame({"sha256": images, "set": name, "label": label, "label_rank": ranks})


def difference(trials: list[pd.DataFrame], baselines: list[pd.DataFrame]) -> dict[str, dict]:
    return paired_statistics.over_seeds(trials, baselines, confidence=0.95)


def test_the_difference_can_be_counted_by_hand_and_its_interval_is_tangos_where_no_luck_is_known():
    trial, baseline = scores([1] * 40 + [0] * 10), scores([1] * 35 + [0] * 6 + [1] * 9)
    lucks = {"test": Luck(0.0, 10)}
    found = paired_statistics.over_seeds([trial], [baseline], confidence=0.95, lucks=lucks)["test"]
    assert (found["paired"], found["gained"], found["lost"], found["difference"]) == (50, 5, 9, -0.08)
    low, high = paired_statistics.interval(5, 9, 50, confidence=0.95)
    assert (found["low"], found["high"]) == pytest.approx((float(low), float(high)), abs=1e-5)


def test_one_training_each_never_tells_a_difference():
    found = difference([scores([1] * 100)], [scores([0] * 100)])["test"]
    assert found["low"] <= 0 < found["high"]


def test_the_same_images_right_is_no_difference_and_its_interval_no_point():
    table = scores([1, 0, 1, 1] * 25)
    found = difference([table.iloc[::-1]], [table])["test"]
    assert found["difference"] == 0
    assert (found["low"], found["high"]) == pytest.approx((-0.037, 0.037), abs=1e-3)


def test_of_many_differences_looked_at_together_each_interval_is_wider():
    tables = [scores([1, 0, 1, 1] * 25)], [scores([1, 1, 1, 1] * 25)]
    alone, among = (
        paired_statistics.over_seeds(*tables, confidence=0.95, compared=number, lucks={"test": Luck(1e-4, 10)})["test"]
        for number in (1, 14)
    )
    assert among["low"] < alone["low"]
    assert among["high"] > alone["high"]


def test_each_set_has_a_difference_of_its_own():
    trial = pd.concat([scores([1, 1]), scores([0, 0], name="benchmark:field")])
    baseline = pd.concat([scores([0, 1]), scores([1, 1], name="benchmark:field")])
    found = difference([trial], [baseline])
    assert {name: row["difference"] for name, row in found.items()} == {"test": 0.5, "benchmark:field": -1.0}


def test_seeds_are_paired_with_their_own_and_an_image_counts_once():
    trials, baselines = [scores([1, 1, 0, 0]), scores([0, 1, 0, 0])], [scores([0, 1, 0, 1]), scores([0, 1, 0, 0])]
    found = difference(trials, baselines)["test"]
    assert (found["paired"], found["gained"], found["lost"], found["difference"]) == (4, 1, 1, 0)
    swapped = difference(trials, baselines[::-1])["test"]
    assert swapped["lost"] == 1
    assert swapped["gained"] == 1


def test_a_second_seed_that_says_the_same_makes_nothing_surer():
    once = difference([scores([1, 1, 1, 0])], [scores([0, 1, 1, 1])])["test"]
    twice = difference([scores([1, 1, 1, 0])] * 2, [scores([0, 1, 1, 1])] * 2)["test"]
    assert twice["low"] <= once["low"]
    assert twice["high"] >= once["high"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_who_is_the_baseline_changes_the_sign_alone(first, data):
    second = data.draw(st.lists(st.booleans(), min_size=len(first), max_size=len(first)))
    there, back = difference([scores(first)], [scores(second)]), difference([scores(second)], [scores(first)])
    assert there["test"]["difference"] == -back["test"]["difference"]
    assert there["test"]["low"] == pytest.approx(-back["test"]["high"])


def test_images_gained_and_lost_are_counted_where_both_models_know_the_class():
    trained = scores([1], name="train")
    new = pd.concat([scores([1, 0]), scores([1], label="dog"), scores([1], label="emu"), trained])
    old = pd.concat([scores([0, 1]), scores([1], label="dog"), scores([1], label="emu").assign(label_rank=-1), trained])
    changed = paired_statistics.what_changed(new, old)
    assert changed["changed_sets"].to_numpy().tolist() == [["test", 3, 2 / 3, 2 / 3, 1, 1]]
    by_class = changed["changed_classes"][["label", "gained", "lost"]]
    assert by_class.to_numpy().tolist() == [["cat", 1, 1], ["dog", 0, 0]]


def test_without_an_older_model_nothing_has_changed():
    changed = paired_statistics.what_changed(scores([1]), scores([1]).head(0))
    assert all(table.empty for table in changed.values())
    assert isinstance(changed["changed_sets"], pd.DataFrame)
