import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import gate, paired_scores
from pipeline.evaluation.gate import FAIL, INVESTIGATE, PASS, Comparison, Limits, Needs, Verdict

RULES = {"tolerance": 0.02, "confidence": 0.95, "min_images": 30}
SMALL = Needs(size_mb=10)


def scores(right: np.ndarray | list, *, name: str = "field", label: str = "cat", knows: bool = True) -> pd.DataFrame:
    """A row an image; `right` says whether the model names it."""
    right = np.asarray(right, bool)
    contents = [f"{name}-{label}-{i}" for i in range(len(right))]
    table = pd.DataFrame(
        {
            "image": [f"benchmark/{content}.jpg" for content in contents],
            "sha256": contents,
            "set": f"benchmark:{name}",
            "label": label,
            "predicted": np.where(right, label, "other"),
            "score": 0.9,
            "label_rank": np.where(right, 1, 2) if knows else -1,
        }
    )
    return table.astype({"sha256": "str", "label": "str"})


def some(right: int, of: int) -> np.ndarray:
    """The first `right` of `of` images."""
    return np.arange(of) < right


def compare(candidate: pd.DataFrame, champion: pd.DataFrame, min_class_images: int = 10) -> Comparison:
    return gate.compare(
        candidate, champion, confidence=0.95, min_images=RULES["min_images"], min_class_images=min_class_images
    )


def decide(candidate: pd.DataFrame, champion: pd.DataFrame, **more) -> Verdict:
    return gate.decide(compare(candidate, champion), SMALL, Limits(), **(RULES | more))


def without_champion(**more) -> Verdict:
    return gate.decide(None, more.pop("needs", SMALL), more.pop("limits", Limits()), **(RULES | more))


def test_the_first_model_passes():
    verdict = without_champion()
    assert verdict.verdict == PASS
    assert "no champion" in verdict.reason


def test_a_champion_held_against_itself_passes_however_small_the_benchmark():
    assert without_champion(same_model=True).verdict == PASS


def test_a_champion_without_stored_scores_is_no_free_pass():
    verdict = without_champion(scores_missing=True)
    assert verdict.verdict == INVESTIGATE
    assert "--rescore" in verdict.reason


@pytest.mark.parametrize(
    ("candidate", "champion", "of", "expected"),
    [
        (200, 200, 200, PASS),
        (100, 100, 100, INVESTIGATE),  # no difference, and yet too few to exclude a loss of two points
        (185, 180, 200, PASS),
        (140, 180, 200, FAIL),
        (178, 180, 200, INVESTIGATE),
        (1795, 1800, 2000, PASS),  # lower, yet surely within the tolerance
        (1760, 1800, 2000, INVESTIGATE),
        (860, 900, 1000, FAIL),
        (25, 20, 29, INVESTIGATE),  # too few images to decide on
        (0, 200, 200, FAIL),
        (200, 0, 200, PASS),
    ],
)
def test_the_verdict_follows_the_whole_interval(candidate, champion, of, expected):
    verdict = decide(scores(some(candidate, of)), scores(some(champion, of)))
    assert verdict.verdict == expected, verdict


def test_a_better_figure_with_a_wide_interval_does_not_pass():
    """50 images gained, 48 lost of 300: the mere difference says better, the interval says nobody knows."""
    champion = np.r_[np.zeros(50), np.ones(250)]
    candidate = np.r_[np.ones(50), np.zeros(48), np.ones(202)]
    verdict = decide(scores(candidate), scores(champion))
    assert verdict.verdict == INVESTIGATE
    assert "a loss of more than 2.0% is not excluded: 84.0% against 83.3% of 300 images" in verdict.reason
    assert "images would tell" in verdict.reason


def test_the_figures_can_be_counted_by_hand():
    candidate, champion = scores([1] * 40 + [0] * 10), scores([1] * 35 + [0] * 6 + [1] * 9)
    figures = decide(candidate, champion).figures
    for found in (figures["overall"], figures["benchmarks"]["field"]):
        assert (found["n"], found["gained"], found["lost"]) == (50, 5, 9)
        assert (found["candidate"], found["champion"], found["difference"]) == (0.8, 0.88, -0.08)
        assert found["low"] < -0.08 < found["high"]


def test_only_images_that_both_were_shown_count():
    champion = scores(some(400, 400))
    candidate = pd.concat([scores(some(400, 400)), scores(some(0, 500), label="dog")])
    figures = decide(candidate, champion).figures
    assert (figures["overall"]["n"], figures["overall"]["difference"]) == (400, 0)
    assert not figures["benchmarks"]["field"]["same_version"]
    assert decide(champion, champion).figures["benchmarks"]["field"]["same_version"]


def test_a_class_that_the_candidate_lost_without_anybody_retiring_it_is_no_pass():
    shared = scores(some(900, 1000))
    champion = pd.concat([shared, scores(some(30, 40), label="yak")])
    candidate = pd.concat([shared, scores(some(0, 40), label="yak", knows=False)])
    lost = decide(candidate, champion)
    assert (lost.verdict, lost.reason) == (
        INVESTIGATE,
        "the candidate no longer knows yak (40 images); nobody retired them",
    )
    assert decide(candidate, champion, retired=frozenset({"yak"})).verdict == PASS


def test_where_a_model_is_worse_on_all_together_the_class_at_fault_is_named():
    candidate, champion = (pd.concat([scores(some(300, 300)), scores(some(n, 60), label="gnu")]) for n in (5, 60))
    reason = decide(candidate, champion).reason
    assert reason.startswith("worse than the champion: 84.7% against 100.0% of 360 images")
    assert "; surely on class gnu (8.3% against 100.0% of 60 images" in reason


def test_new_and_retired_classes_are_judged_apart():
    shared = scores(some(400, 400))
    candidate = pd.concat([shared, scores(some(33, 40), label="emu"), scores(some(0, 40), label="yak", knows=False)])
    champion = pd.concat([shared, scores(some(0, 40), label="emu", knows=False), scores(some(30, 40), label="yak")])
    verdict = decide(candidate, champion, retired=frozenset({"yak"}))
    assert verdict.verdict == PASS
    assert verdict.figures["new_classes"] == {"emu": {"n": 40, "right": 33}}
    assert verdict.figures["retired_classes"] == {"yak": {"n": 40, "right": 30}}


def test_every_image_and_every_class_is_accounted_for():
    shared = [scores(some(40, 40)), scores([1], label="dog")]
    candidate = pd.concat([*shared, scores(some(3, 7), label="emu"), scores(some(0, 5), label="", knows=False)])
    champion = pd.concat(
        [*shared, scores(some(0, 7), label="emu", knows=False), scores(some(0, 5), label="", knows=False)]
    )
    figures = decide(candidate, pd.concat([champion, scores([1] * 3, label="yak")])).figures
    images = dict(figures["images"])
    assert images.pop("all") == sum(images.values()) == 56
    assert images == {
        paired_scores.SHARED: 41,
        paired_scores.NEW: 7,
        paired_scores.RETIRED: 0,
        paired_scores.OUTSIDE: 5,
        paired_scores.CANDIDATES: 0,
        paired_scores.CHAMPIONS: 3,
    }
    classes = figures["classes"]
    assert (classes["shared"], classes["judged"], classes["too_few_images"]) == (2, 1, 1)  # the dog is a single image


@pytest.mark.parametrize("other", ["another", ""])
def test_without_a_benchmark_in_common_nobody_can_tell(other):
    champion = scores(some(90, 100), name=other)
    verdict = decide(scores(some(90, 100)), champion if other else champion.iloc[:0])
    assert verdict.verdict == INVESTIGATE
    assert "have 0 images that both models were scored on" in verdict.reason


def test_no_benchmark_at_all_is_investigated():
    nothing = scores([])
    assert decide(nothing, nothing).verdict == INVESTIGATE


def test_the_worst_benchmark_decides_and_is_named():
    champion = pd.concat([scores(some(180, 200), name=name) for name in ("easy", "hard", "messy")])
    numbers = {"easy": 200, "hard": 140, "messy": 200}
    candidate = pd.concat([scores(some(right, 200), name=name) for name, right in numbers.items()])
    verdict = decide(candidate, champion, tolerance=0.05)
    assert verdict.verdict == FAIL
    assert "benchmark hard (70.0% against 90.0% of 200 images" in verdict.reason
    assert "easy" not in verdict.reason


def test_a_small_benchmark_cannot_sink_a_model():
    small = scores(some(20, 29), name="small")
    large = scores(some(3000, 3000))
    verdict = decide(pd.concat([large, small]), pd.concat([large, small.assign(label_rank=1)]))
    assert verdict.verdict == PASS
    assert verdict.figures["benchmarks"]["small"]["low"] is None


def classes(losses: dict[str, int], of: int, number: int = 100) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Candidate and champion on `number` classes of `of` images; the champion names all, the candidate some fewer."""
    names = [f"class {i:03d}" for i in range(number)]
    champion = pd.concat([scores(some(of, of), label=name) for name in names])
    candidate = pd.concat([scores(some(of - losses.get(name, 0), of), label=name) for name in names])
    return candidate, champion


def test_a_model_that_is_good_overall_fails_for_one_class_that_it_lost():
    verdict = decide(*classes({"class 042": 40}, of=50))
    assert verdict.verdict == FAIL
    assert "class class 042 (20.0% against 100.0% of 50 images" in verdict.reason
    assert verdict.figures["classes"]["lost_for_sure"] == ["class 042"]


def test_a_class_that_surely_lost_something_is_for_a_person_to_look_at():
    candidate, champion = classes({"class 012": 12}, of=300, number=40)
    verdict = decide(candidate, champion)
    assert verdict.verdict == INVESTIGATE
    assert "surely worse than the champion on class class 012" in verdict.reason
    assert decide(candidate, champion, tolerance=0.005).verdict == FAIL


def test_many_lost_classes_are_named_in_one_line():
    verdict = decide(*classes({f"class {i:03d}": 40 for i in range(7)}, of=50), tolerance=0.06)
    assert "and 4 more" in verdict.reason
    assert verdict.reason.count("class class") == 3


def test_the_flips_are_those_that_the_champion_named_and_the_candidate_does_not():
    champion = scores([1, 1, 0, 0])
    candidate = scores([1, 0, 1, 0]).assign(score=[0.5, 0.6, 0.7, 0.8])
    found = gate.flips(compare(candidate, champion))
    assert list(found["image"]) == ["benchmark/field-cat-1.jpg"]
    assert list(found["predicted"]) == ["other"]
    assert gate.flips(None).empty


@pytest.mark.parametrize(
    ("needs", "limits", "verdict", "words"),
    [
        (Needs(50), Limits(max_size_mb=40), FAIL, "50.0 MB, more than the 40 allowed"),
        (Needs(40), Limits(max_size_mb=40), PASS, "no champion"),
        (Needs(50), Limits(max_latency_ms=20), INVESTIGATE, "has not been measured"),
        (Needs(50, latency_ms=21.5), Limits(max_latency_ms=20), FAIL, "21.5 ms a picture, more than the 20 allowed"),
        (Needs(50, latency_ms=20), Limits(max_latency_ms=20), PASS, "no champion"),
        (Needs(5000, latency_ms=5000), Limits(), PASS, "no champion"),
    ],
)
def test_a_model_that_is_too_large_or_too_slow_fails(needs, limits, verdict, words):
    found = without_champion(needs=needs, limits=limits)
    assert found.verdict == verdict
    assert words in found.reason


def test_the_figures_hold_nothing_that_json_has_not():
    import json

    figures = decide(scores(some(3, 5)), scores(some(4, 5))).figures
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def verdicts(loss: float, *, rounds: int = 25, of: int = 400) -> pd.Series:
    """How often each verdict falls where the champion is right in 85 % and the candidate's true loss is `loss`."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(rounds):
        champion = random.random(of) < 0.85
        gained, lost = 0.02, 0.02 + loss
        candidate = np.where(champion, random.random(of) > lost / 0.85, random.random(of) < gained / 0.15)
        found.append(decide(scores(candidate), scores(champion)).verdict)
    return pd.Series(found).value_counts(normalize=True).reindex([PASS, INVESTIGATE, FAIL], fill_value=0.0)


def test_a_true_loss_well_beyond_the_tolerance_hardly_ever_passes():
    found = verdicts(0.10)
    assert found[PASS] == 0
    assert found[FAIL] > 0.8


def test_a_model_that_is_as_good_hardly_ever_fails_and_a_better_one_passes():
    assert verdicts(0.0)[FAIL] < 0.02
    assert verdicts(-0.02)[PASS] > 0.8


def two_classes(rare_right: int, common_right: int) -> pd.DataFrame:
    """1,000 images of a common class and 50 of a rare one."""
    tables = [scores(some(common_right, 1000)), scores(some(rare_right, 50), label="lynx")]
    return pd.concat(tables, ignore_index=True).assign(
        label_score=lambda table: np.where(table.label_rank == 1, 0.9, 0.1)
    )


def test_the_gate_judges_by_the_metric_that_is_chosen():
    """40 of 50 images of a rare class are lost, and 40 of the common class are gained."""
    champion, candidate = two_classes(50, 900), two_classes(10, 940)
    classes = {"min_class_images": 2000}  # no class is judged on its own
    compared = compare(candidate, champion, **classes)
    by_top1 = gate.decide(compared, SMALL, Limits(), **RULES)
    by_f1 = gate.decide(compared, SMALL, Limits(), metric="macro_f1", **RULES)
    assert by_top1.verdict == PASS
    assert by_f1.verdict == FAIL
    assert by_f1.figures["stopped_by"] == {"rule": "metric", "of": "macro_f1"}
    assert by_f1.reason.startswith("worse than the champion: macro F1 ")


@pytest.mark.parametrize("metric", ["top5", "macro_f1", "weighted_f1", "log_loss"])
def test_an_equal_model_passes_by_every_metric(metric):
    champion = two_classes(45, 900)
    candidate = champion.assign(label_rank=champion["label_rank"], label_score=champion["label_score"] * 0.999)
    verdict = gate.decide(compare(candidate, champion), SMALL, Limits(), metric=metric, **RULES)
    assert verdict.verdict == PASS, verdict.reason
    assert ("macro F1" in verdict.reason) == (metric == "macro_f1")


def test_where_so_few_images_have_no_interval_the_gate_says_so():
    champion = two_classes(50, 1000)
    candidate = champion.copy()
    candidate.loc[0, "label_score"] = 1e-9
    verdict = gate.decide(compare(candidate, champion), SMALL, Limits(), metric="log_loss", **RULES)
    assert verdict.verdict == INVESTIGATE
    assert "no interval can be right" in verdict.reason
