"""The goal: how far it is, and which lever moves it."""

import pandas as pd
import pytest

from pipeline.evaluation import conclusions, diagnosis, goal
from pipeline.evaluation.goal import CLASS, LABEL, LIKELY, MISSED, REACHED, THRESHOLD, UNKNOWN, Goal

WANTED = Goal("benchmark:field", right=0.9, shown=0.5)


def rows(right: list[int], *, labels: list[str] | None = None, shown: int = 0) -> pd.DataFrame:
    """Images of the benchmark, the surest first: rank of their label."""
    number = len(right)
    return pd.DataFrame(
        {
            "image": [f"{place:04d}.jpg" for place in range(number)],
            "sha256": [f"{place:04d}" for place in range(number)],
            "set": WANTED.set,
            "label": labels or ["cow"] * number,
            "label_rank": right,
            "score": [1 - place / number for place in range(number)],
            "shown": [place < shown for place in range(number)],
        }
    )


def measured(table: pd.DataFrame, doubted: set[str] = frozenset()) -> goal.Progress:
    return goal.measure(table, doubted, WANTED, confidence=0.95)


def test_a_goal_is_reached_when_the_surest_answers_are_right_beyond_chance():
    progress = measured(rows([1] * 200 + [2] * 200, shown=250))
    assert (progress.state, progress.too_many, progress.levers) == (REACHED, 0, [])
    assert progress.right_low > 0.9
    assert progress.shown_now == pytest.approx(222 / 400)


def test_on_few_images_chance_may_explain_a_goal_that_seems_to_be_reached():
    progress = measured(rows([1] * 10 + [2] * 10, shown=10))
    assert progress.state == LIKELY
    assert "chance may explain it" in conclusions.goal_sentences(progress)[0]


def test_where_too_little_is_shown_of_what_is_right_the_threshold_is_the_lever():
    (lever,) = measured(rows([1] * 200 + [2] * 200, shown=20)).levers
    assert (lever.kind, lever.enough) == (THRESHOLD, True)


def test_levers_are_what_explains_the_wrong_answers_most_of_all_first():
    table = rows([1] * 160 + [2] * 20 + [-1] * 15 + [2] * 5 + [1] * 200)
    table.loc[160:179, "label"] = "sheep"
    table.loc[180:194, "label"] = "giraffe"
    progress = measured(table, doubted=set(table["sha256"][195:200]))
    assert (progress.state, progress.right_now, progress.too_many) == (MISSED, 0.8, 20)
    found = [(lever.kind, lever.label, lever.wrong, lever.enough) for lever in progress.levers]
    assert found == [(CLASS, "sheep", 20, True), (UNKNOWN, "giraffe", 15, False), (LABEL, "", 5, False)]
    lines = conclusions.sentences(progress, diagnosis.Diagnosis([], [], float("nan")))
    assert "20 wrong answers too many" in lines[0]
    assert lines[1].startswith("goal, lever: class sheep: 20 of the wrong answers")


def test_a_set_without_images_has_no_progress():
    assert measured(rows([1]).head(0)) is None
