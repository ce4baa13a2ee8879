"""What the error report shows, and the training images nearest to a mistake."""

import numpy as np
import pytest

from pipeline.evaluation import mistakes
from tests.evaluation.made_up_models import made_up, scored


def test_a_mistake_stands_beside_the_training_images_it_looks_like():
    table = scored(
        ("cat", [0, 1, 0]), ("dog", [0, 1, 0], "train"), ("owl", [0, 0, 1], "train"), ("dog", [0, 1, 0], "val")
    )
    features = np.array([[1, 0.1], [1, 0], [0, 1], [1, 0.1]], np.float16)
    found = mistakes.gather(table.assign(shown=False), features, worst_mistakes=5)
    assert found["mistakes"]["label"].tolist() == ["cat"]
    assert found["neighbours"][["of", "label"]].to_numpy().tolist() == [
        ["library/0.jpg", "dog"],
        ["library/0.jpg", "owl"],
    ]


def test_without_a_training_set_a_mistake_stands_alone():
    table = scored(("cat", [0, 1, 0])).assign(shown=True)
    assert mistakes.gather(table, np.ones((1, 2)), worst_mistakes=5)["neighbours"].empty


def test_the_surest_mistakes_stand_first_and_those_in_training_last():
    table = scored(("cat", [0.1, 0.9, 0], "train"), ("cat", [0.4, 0.6, 0]), ("cat", [0.2, 0.8, 0]), ("cat", [1, 0, 0]))
    found = mistakes.worst(table, number=3)
    assert found["score"].tolist() == pytest.approx([0.8, 0.6, 0.9])
    assert len(mistakes.worst(table, number=1)) == 1


def test_a_pair_of_classes_shows_its_surest_mistakes():
    table, _, _ = made_up(600)
    found = mistakes.of_pairs(table, number=2)
    sizes = found.groupby(["set", "label", "predicted"])["score"]
    assert sizes.size().max() == 2
    best = table[table["label_rank"] > 1].groupby(["set", "label", "predicted"])["score"].max()
    assert sizes.max().to_dict() == best.to_dict()


def test_unknown_classes_are_counted_with_how_often_they_are_refused():
    table = scored(("emu", [0.9, 0.1, 0]), ("emu", [0.4, 0.3, 0.3]), ("", [0.4, 0.3, 0.3]), ("cat", [1, 0, 0]))
    table["shown"] = table["score"] > 0.5
    assert mistakes.outside(table).to_numpy().tolist() == [["test", "emu", 2, 0.5], ["test", "", 1, 1.0]]
    assert mistakes.outside_shown(table, number=9)["label"].tolist() == ["emu"]
