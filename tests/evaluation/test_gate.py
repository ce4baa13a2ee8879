import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import gate
from pipeline.evaluation.gate import FAIL, INVESTIGATE, PASS, Verdict

RULES = {"tolerance": 0.02, "confidence": 0.95, "min_images": 30}


def scores(right: np.ndarray, *, name: str = "benchmark:field", label: str = "cat", model: str = "m") -> pd.DataFrame:
    """A row an image; `right` says whether the model names it."""
    right = np.asarray(right, bool)
    images = [f"{label}{i}" for i in range(len(right))]
    return pd.DataFrame(
        {"sha256": images, "set": name, "label": label, "label_rank": np.where(right, 1, 2), "model": model}
    )


def some(right: int, of: int) -> np.ndarray:
    """The first `right` of `of` images."""
    return np.arange(of) < right


def decide(candidate: pd.DataFrame, champion: pd.DataFrame | None) -> Verdict:
    return gate.decide(candidate, champion, **RULES)


def test_the_first_model_passes():
    verdict = decide(scores(some(1, 100)), None)
    assert verdict.verdict == PASS
    assert "no champion" in verdict.reason


@pytest.mark.parametrize(
    ("candidate", "champion", "of", "expected"),
    [
        (180, 180, 200, PASS),
        (185, 180, 200, PASS),
        (140, 180, 200, FAIL),
        (178, 180, 200, INVESTIGATE),
        (897, 900, 1000, PASS),  # lower, yet surely within the tolerance
        (860, 900, 1000, FAIL),
        (25, 20, 29, INVESTIGATE),  # too few images to decide on
        (0, 200, 200, FAIL),
        (200, 0, 200, PASS),
    ],
)
def test_the_verdict_follows_the_whole_interval(candidate, champion, of, expected):
    verdict = decide(scores(some(candidate, of)), scores(some(champion, of)))
    assert verdict.verdict == expected, verdict


def test_many_gained_and_lost_images_make_a_small_loss_doubtful():
    random = np.random.default_rng(0).random(300)
    candidate, champion = scores(random < 0.5), scores((random > 0.2) & (random < 0.72))
    verdict = decide(candidate, champion)
    assert verdict.verdict == INVESTIGATE
    assert verdict.benchmarks["field"]["gained"] > 40


def test_the_figures_of_a_benchmark_can_be_counted_by_hand():
    candidate, champion = scores([1] * 40 + [0] * 10), scores([1] * 35 + [0] * 6 + [1] * 9)
    figures = decide(candidate, champion).benchmarks["field"]
    assert (figures["n"], figures["gained"], figures["lost"]) == (50, 5, 9)
    assert (figures["candidate"], figures["champion"], figures["difference"]) == (0.8, 0.88, -0.08)
    half = 1.959964 * np.sqrt(14 - 16 / 50) / 50
    assert (figures["low"], figures["high"]) == pytest.approx((-0.08 - half, -0.08 + half), abs=1e-5)


def test_only_images_that_both_were_shown_count():
    champion = scores(some(40, 40))
    candidate = pd.concat([scores(some(40, 40)), scores(some(0, 500), label="dog")])
    figures = decide(candidate, champion).benchmarks["field"]
    assert (figures["n"], figures["difference"], figures["same_version"]) == (40, 0, False)
    assert decide(champion, champion).benchmarks["field"]["same_version"]


def test_only_classes_that_both_know_count_and_new_ones_are_named():
    shown = [scores(some(40, 40)), scores(some(0, 40), label="emu")]
    champion = pd.concat([shown[0], shown[1].assign(label_rank=-1)])
    verdict = decide(pd.concat(shown), champion)
    assert verdict.verdict == PASS
    assert verdict.benchmarks["field"]["n"] == 40
    assert verdict.benchmarks["field"]["new_classes"] == ["emu"]


def test_an_image_whose_label_was_corrected_does_not_count():
    champion = scores(some(40, 40))
    candidate = champion.assign(label=["dog"] * 5 + ["cat"] * 35)
    assert decide(candidate, champion).benchmarks["field"]["n"] == 35


def test_a_picture_that_stands_twice_in_a_set_counts_once():
    champion, candidate = scores(some(40, 40)), scores(some(39, 40))
    twice = [pd.concat([table] * 2) for table in (candidate, champion)]
    assert decide(*twice).benchmarks == decide(candidate, champion).benchmarks


def test_only_benchmarks_decide():
    worse = pd.concat([scores(some(40, 40)), scores(some(0, 900), name="test")])
    better = pd.concat([scores(some(40, 40)), scores(some(900, 900), name="test")])
    verdict = decide(worse, better)
    assert (verdict.verdict, list(verdict.benchmarks)) == (PASS, ["field"])


@pytest.mark.parametrize("other", ["test", "benchmark:messy"])
def test_without_a_benchmark_in_common_nobody_can_tell(other):
    verdict = decide(scores(some(90, 100)), scores(some(90, 100), name=other))
    assert verdict.verdict == INVESTIGATE
    assert "no benchmark has 30 images in common" in verdict.reason


def test_the_worst_benchmark_decides_and_is_named():
    champion = pd.concat([scores(some(180, 200), name=f"benchmark:{name}") for name in ("easy", "hard", "messy")])
    numbers = {"easy": 200, "hard": 120, "messy": 178}
    candidate = pd.concat([scores(some(right, 200), name=f"benchmark:{name}") for name, right in numbers.items()])
    verdict = decide(candidate, champion)
    assert verdict.verdict == FAIL
    assert "hard (60.0% against 90.0%, 200 images in common)" in verdict.reason
    assert "easy" not in verdict.reason


def test_a_small_benchmark_cannot_save_or_sink_a_model():
    small = scores(some(0, 29), name="benchmark:small")
    verdict = decide(
        pd.concat([scores(some(90, 100)), small]), pd.concat([scores(some(90, 100)), small.assign(label_rank=1)])
    )
    assert verdict.verdict == PASS


def test_the_verdict_names_the_model_it_is_on():
    assert decide(scores(some(40, 40), model="new"), scores(some(40, 40), model="old")).model == "new"
    assert decide(scores(some(40, 40), model="new"), None).model == "new"


def verdicts(loss: float, *, rounds: int = 80, of: int = 300) -> pd.Series:
    """How often each verdict falls where the champion is right in 85 % and the candidate's true loss is `loss`."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(rounds):
        champion = random.random(of) < 0.85
        gained, lost = 0.04, 0.04 + loss
        candidate = np.where(champion, random.random(of) > lost / 0.85, random.random(of) < gained / 0.15)
        found.append(decide(scores(candidate), scores(champion)).verdict)
    return pd.Series(found).value_counts(normalize=True).reindex([PASS, INVESTIGATE, FAIL], fill_value=0.0)


def test_a_true_loss_well_beyond_the_tolerance_hardly_ever_passes():
    shares = verdicts(0.10)
    assert shares[PASS] < 0.02
    assert shares[FAIL] > 0.7


def test_a_model_that_is_as_good_hardly_ever_fails_and_a_better_one_passes():
    as_good = verdicts(0.0)
    assert as_good[FAIL] < 0.02
    assert as_good[PASS] > 0.5
    assert verdicts(-0.03)[PASS] > 0.9


def test_an_ensemble_s_scores_judge_no_model():
    verdict = decide(scores(some(200, 200), model="a+b"), None)
    assert verdict.verdict == INVESTIGATE
    assert "those of an ensemble" in verdict.reason
