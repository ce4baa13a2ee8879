"""The threshold, by what it promises: how often an answer that is shown is right."""

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.evaluation import thresholds
from pipeline.evaluation.thresholds import ASSURED, ESTIMATED, NEVER, UNREACHED, Thresholds
from tests.evaluation.made_up_models import made_up, scored


def answers(
    score: np.ndarray, right: np.ndarray, *, predicted: str = "cat", name: str = "benchmark:field"
) -> pd.DataFrame:
    """A row an image with this score; where `right` is False it is of another class that the model knows."""
    rank = np.where(right, 1, 2)
    return pd.DataFrame({"set": name, "predicted": predicted, "score": score, "label_rank": rank, "model": "m"})


def choose(table: pd.DataFrame, *, precision: float = 0.9, min_images: int = 10**6) -> Thresholds:
    return thresholds.choose(table, precision=precision, confidence=0.95, min_images=min_images, temperature=1.5)


def shown(table: pd.DataFrame, chosen: Thresholds) -> pd.DataFrame:
    return table[chosen.shown(table["predicted"], table["score"])]


def honest(number: int, seed: int) -> pd.DataFrame:
    """Scores that are as often right as they say."""
    random = np.random.default_rng(seed)
    scores = random.random(number)
    return answers(scores, random.random(number) < scores)


def test_the_threshold_keeps_its_promise_on_images_it_was_not_chosen_on():
    """With the share itself in the place of its lower bound, about half of all thresholds break it."""
    fresh = honest(40_000, seed=999)
    kept = [
        (shown(fresh, choose(honest(1500, seed), precision=0.9))["label_rank"] == 1).mean() >= 0.9 for seed in range(40)
    ]
    assert np.mean(kept) > 0.85


def test_the_threshold_shows_as_much_as_it_may():
    table = honest(20_000, seed=0)
    chosen = choose(table, precision=0.9)
    assert chosen.rule == ASSURED
    assert chosen.threshold == pytest.approx(0.8, abs=0.02)  # from there on, honest scores are right in 90 %


def test_few_images_give_an_estimate_and_say_so():
    table = answers(np.linspace(0.5, 1, 20), np.arange(20) >= 8)
    chosen = choose(table)
    assert chosen.rule == ESTIMATED
    assert (shown(table, chosen)["label_rank"] == 1).mean() >= 0.9
    assert len(shown(table, chosen)) == 13  # one wrong among thirteen


def test_where_no_score_is_right_often_enough_nothing_is_shown():
    table = answers(np.linspace(0.5, 1, 400), np.arange(400) % 2 == 0)
    chosen = choose(table)
    assert (chosen.rule, chosen.threshold) == (UNREACHED, NEVER)
    assert shown(table, chosen).empty


def test_an_image_of_an_unknown_class_is_wrong_whenever_it_is_shown():
    known = answers(np.full(200, 0.8), np.ones(200, bool))
    foreign = answers(np.full(100, 0.8), np.zeros(100, bool)).assign(label_rank=-1)
    higher = answers(np.full(200, 0.95), np.ones(200, bool))
    assert choose(pd.concat([known, higher])).threshold <= 0.8
    assert choose(pd.concat([known, higher, foreign])).threshold == pytest.approx(0.95)


def test_the_image_at_the_threshold_is_shown_also_after_the_file_was_read(tmp_path):
    table = answers(np.full(100, 2 / 3), np.ones(100, bool))
    thresholds.write(choose(table), tmp_path / "thresholds.json")
    assert len(shown(table, thresholds.read(tmp_path / "thresholds.json"))) == 100


def test_a_class_has_a_threshold_of_its_own_where_one_is_assured():
    sure = answers(np.linspace(0.4, 1, 200), np.ones(200, bool), predicted="owl")
    poor = answers(np.linspace(0.4, 1, 200), np.arange(200) % 3 > 0, predicted="dog")
    rare = answers(np.array([0.5, 0.99]), np.array([False, True]), predicted="cat")
    table = pd.concat([sure, poor, rare])
    chosen = choose(table, min_images=50)
    assert chosen.classes == {"owl": pytest.approx(0.4), "dog": NEVER}
    assert chosen.class_rules == {"owl": ASSURED, "dog": UNREACHED}
    assert chosen.unreached_classes == ["dog"]
    assert chosen.of(pd.Series(["owl", "dog", "cat"])).tolist() == [chosen.classes["owl"], NEVER, chosen.threshold]


def test_a_class_that_is_not_assured_has_the_threshold_of_all():
    """Of 60 answers, 58 are right: that is an estimate of 97 %, and no assurance of 90 %."""
    many = answers(np.linspace(0.4, 1, 800), np.arange(800) % 40 > 0, predicted="owl")
    few = answers(np.linspace(0.4, 1, 60), ~np.isin(np.arange(60), [0, 1]), predicted="dog")
    chosen = choose(pd.concat([many, few]), min_images=50)
    assert chosen.rule == ASSURED
    assert "dog" not in chosen.classes


def test_a_class_that_is_surely_too_often_wrong_is_not_shown_with_the_others():
    sure = answers(np.linspace(0.4, 1, 2000), np.arange(2000) % 100 > 0, predicted="owl")
    poor = answers(np.linspace(0.4, 1, 200), np.arange(200) % 2 > 0, predicted="dog")
    chosen = choose(pd.concat([sure, poor]), min_images=50)
    assert (chosen.rule, chosen.classes) == (ASSURED, {"dog": NEVER})


def test_a_class_is_not_assured_at_the_cost_of_the_others():
    """Owls are right in all answers, so that all answers together are right in 95 %; without them, dogs are not."""
    owls = answers(np.linspace(0.3, 0.5, 1000), np.ones(1000, bool), predicted="owl")
    dogs = answers(np.linspace(0.5, 1, 1000), np.arange(1000) % 10 > 0, predicted="dog")
    chosen = choose(pd.concat([dogs, owls]), precision=0.92, min_images=50)
    those = chosen.shown(pd.Series(["dog"] * 1000), dogs["score"])
    assert chosen.rule != ASSURED or "owl" not in chosen.classes or not those.any()


@pytest.mark.parametrize(
    ("owls", "dogs", "sentence"),
    [
        (200, 0, "answers are shown from a score of 0.400 on (assured on 200 images of benchmark:field)"),
        (0, 200, "no answer is shown: at no score are 90% right"),
        (
            200,
            400,
            "answers of 1 class are shown from scores of their own on (assured on 600 images of benchmark:field), "
            "and no other answer is: at no score are 90% of them right",
        ),
    ],
)
def test_the_sentence_is_true_of_what_is_shown(owls, dogs, sentence):
    sure = answers(np.linspace(0.4, 1, owls), np.ones(owls, bool), predicted="owl")
    poor = answers(np.linspace(0.4, 1, dogs), np.arange(dogs) % 3 > 0, predicted="dog")
    table = pd.concat([sure, poor])
    chosen = choose(table, min_images=50)
    assert str(chosen) == sentence
    assert (len(shown(table, chosen)) == 0) == sentence.startswith("no answer")


def test_benchmarks_decide_and_without_one_the_test_set_does():
    test = answers(np.full(50, 0.9), np.ones(50, bool), name="test")
    field = answers(np.full(40, 0.7), np.ones(40, bool))
    assert choose(pd.concat([test, field])).chosen_on == ["benchmark:field"]
    assert choose(test).chosen_on == ["test"]
    assert choose(pd.concat([test, field.assign(label_rank=-1)])).chosen_on == ["test"]  # nothing to be right on
    assert choose(test.assign(set="train")).rule == UNREACHED


def test_what_is_written_is_read_again(tmp_path):
    often_wrong = answers(np.full(300, 0.99), np.arange(300) % 2 > 0, predicted="owl")
    table = pd.concat([made_up(900)[0].drop(columns="sha256"), often_wrong])
    chosen = choose(table, precision=0.6, min_images=60)
    assert chosen.classes == {"owl": NEVER}
    thresholds.write(chosen, tmp_path / "thresholds.json")
    assert thresholds.read(tmp_path / "thresholds.json", "m") == chosen


def test_thresholds_of_another_model_are_refused(tmp_path):
    thresholds.write(choose(honest(100, 0)), tmp_path / "thresholds.json")
    with pytest.raises(DataError, match="another model"):
        thresholds.read(tmp_path / "thresholds.json", "other")
    (tmp_path / "thresholds.json").write_text('{"model": "m"}')
    with pytest.raises(DataError, match="not a table of thresholds"):
        thresholds.read(tmp_path / "thresholds.json")


def test_the_outcome_counts_what_is_shown_right_and_refused():
    table = scored(
        ("cat", [0.9, 0.1, 0]), ("cat", [0.1, 0.9, 0]), ("dog", [0.5, 0.4, 0.1]),
        ("emu", [0.8, 0.1, 0.1]), ("", [0.4, 0.3, 0.3]),
    )  # fmt: skip
    found = thresholds.outcome(table.assign(shown=table["score"] >= 0.7), confidence=0.95)["test"]
    assert found["shown"] == 3 / 5
    assert found["shown_precision"] == pytest.approx(1 / 3)
    assert found["refused"] == 1 / 2
    assert found["refused_low"] < 0.5 < found["refused_high"]


def test_where_nothing_is_shown_no_share_of_it_is_right():
    table = scored(("cat", [0.9, 0.1, 0])).assign(shown=False)
    found = thresholds.outcome(table, confidence=0.95)["test"]
    assert found["shown"] == 0
    assert "shown_precision" not in found
    assert "refused" not in found


def test_the_curve_counts_every_image_at_or_above_its_threshold():
    table = honest(5000, seed=3)
    found = thresholds.curve(table, confidence=0.95)
    assert len(found) <= thresholds.POINTS
    for point in found.iloc[[0, 50, -1]].itertuples():
        above = table[table["score"] >= point.threshold]
        assert (point.shown, point.precision) == (len(above) / 5000, (above["label_rank"] == 1).mean())
    assert found["shown"].iloc[-1] == 1
    assert thresholds.curve(table.head(0), confidence=0.95).empty
