"""Scores, against scikit-learn on the same arrays and against counting on the fingers."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from pipeline.evaluation import scores

CLASSES = ["cat", "dog", "owl"]


def scored(*rows: tuple) -> pd.DataFrame:
    """Rows (label, probabilities) or (label, probabilities, set)."""
    table = pd.DataFrame(
        {"label": [row[0] for row in rows], "set": [row[2] if len(row) > 2 else "test" for row in rows]}
    )
    return scores.score(table, np.array([row[1] for row in rows]), CLASSES, top_k=2)


@pytest.fixture(scope="module")
def made_up() -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """400 images of 6 classes in two sets, named right somewhat more often than not."""
    random = np.random.default_rng(0)
    classes = list("abcdef")
    targets = random.choice(6, 400, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    logits = random.normal(size=(400, 6)) + 1.5 * np.eye(6)[targets]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame({"label": np.array(classes)[targets], "set": random.choice(["test", "benchmark:field"], 400)})
    return scores.score(table, probs, classes, top_k=3), probs, classes


def test_the_headline_metrics_are_scikit_learn_s(made_up):
    table, probs, classes = made_up
    for name, found in scores.by_set(table).items():
        chosen = (table["set"] == name).to_numpy()
        true, said = table.loc[chosen, "label"], table.loc[chosen, "predicted"]
        assert found["n"] == chosen.sum()
        assert found["top1"] == pytest.approx(metrics.accuracy_score(true, said), abs=1e-6)
        assert found["top5"] == pytest.approx(
            metrics.top_k_accuracy_score(true, probs[chosen], k=5, labels=classes), abs=1e-6
        )
        assert found["macro_f1"] == pytest.approx(metrics.f1_score(true, said, average="macro"), abs=1e-6)
        assert found["log_loss"] == pytest.approx(metrics.log_loss(true, probs[chosen], labels=classes), abs=1e-6)


def test_precision_and_recall_of_each_class_are_scikit_learn_s(made_up):
    table, _, classes = made_up
    field = table[table["set"] == "benchmark:field"]
    report = metrics.classification_report(field["label"], field["predicted"], output_dict=True)
    found = scores.by_class(table).query("set == 'benchmark:field'").set_index("label")
    assert list(found.index) == classes
    for ours, theirs in {"precision": "precision", "recall": "recall", "f1": "f1-score", "n": "support"}.items():
        assert found[ours].tolist() == pytest.approx([report[name][theirs] for name in classes])


def test_wrong_pairs_and_right_ones_add_up_to_all_images(made_up):
    table, _, _ = made_up
    right = (table["label"] == table["predicted"]).sum()
    assert right + scores.confusions(table)["n"].sum() == len(table) == scores.by_class(table)["n"].sum()


def test_a_metric_that_scikit_learn_gives_too_survives_a_set_of_one_image():
    assert scores.by_set(scored(("cat", [1, 0, 0])))["test"] == {
        "n": 1, "out_of_class": 0, "top1": 1.0, "top5": 1.0, "macro_f1": 1.0, "log_loss": 0.0,
    }  # fmt: skip


def test_an_image_of_a_class_the_model_does_not_know_is_counted_apart():
    table = scored(("cat", [0.9, 0.1, 0]), ("emu", [0, 1, 0]), ("", [0, 0, 1]))
    assert table["label_rank"].tolist() == [1, scores.OUT_OF_CLASS, scores.OUT_OF_CLASS]
    assert table["label_score"].isna().tolist() == [False, True, True]
    found = scores.by_set(table)["test"]
    assert (found["n"], found["out_of_class"], found["top1"]) == (1, 2, 1.0)
    assert scores.by_class(table)["label"].tolist() == ["cat"]
    assert scores.confusions(table).empty


def test_a_set_of_unknown_classes_alone_has_counts_and_no_metrics():
    table = scored(("emu", [0, 1, 0]))
    assert scores.by_set(table) == {"test": {"n": 0, "out_of_class": 1}}
    assert list(scores.by_class(table)) == ["set", "label", "n", "precision", "recall", "f1", "mean_score"]
    assert list(scores.confusions(table)) == ["set", "label", "predicted", "n", "share"]


def test_macro_f1_is_over_the_classes_that_the_set_has():
    table = scored(("cat", [1, 0, 0]), ("dog", [0, 0, 1]))
    assert scores.by_set(table)["test"]["macro_f1"] == 0.5  # owl, predicted once, is not in the set


@pytest.mark.parametrize(
    ("label", "probs", "rank"),
    [
        ("cat", [0.4, 0.4, 0.2], 1),
        ("dog", [0.4, 0.4, 0.2], 2),
        ("owl", [0.4, 0.4, 0.2], 3),
        ("owl", [1 / 3, 1 / 3, 1 / 3], 3),
        ("dog", [0.2, 0.4, 0.4], 1),
    ],
)
def test_of_equal_probabilities_the_first_class_is_said_and_the_others_rank_after_it(label, probs, rank):
    assert scored((label, probs))["label_rank"].item() == rank


def test_an_image_is_right_exactly_when_its_class_is_the_one_said():
    """A network that says the same of everything must not look perfect."""
    table = scored(*[(label, [1 / 3] * 3) for label in CLASSES])
    assert ((table["label_rank"] == 1) == (table["label"] == table["predicted"])).all()
    assert scores.by_set(table)["test"]["top1"] == pytest.approx(1 / 3, abs=1e-6)


def test_an_image_is_described_by_its_best_classes():
    said = scores.describe(np.array([[0.2, 0.7, 0.1]], np.float32), CLASSES, top_k=2).iloc[0]
    assert (said["label"], list(said["top_labels"])) == ("dog", ["dog", "cat"])
    assert said["score"] == pytest.approx(0.7)
    assert said["margin"] == pytest.approx(0.5)
    assert list(said["top_scores"]) == pytest.approx([0.7, 0.2])
    assert said["entropy"] == pytest.approx(-sum(p * np.log(p) for p in (0.2, 0.7, 0.1)))


def test_certainty_has_no_entropy_and_even_odds_have_the_most():
    entropy = scores.describe(np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]), CLASSES, top_k=1)["entropy"]
    assert entropy.tolist() == pytest.approx([0, np.log(3)])


def test_more_best_classes_than_there_are_give_all():
    assert len(scores.describe(np.eye(3), CLASSES, top_k=9)["top_labels"].iloc[0]) == 3


def test_no_image_gives_an_empty_table():
    assert len(scores.describe(np.empty((0, 3)), CLASSES, top_k=2)) == 0


def test_the_most_frequent_confusion_stands_first_with_its_share_of_the_class():
    cat_as_dog, cat_as_owl, owl_as_cat = ("cat", [0, 1, 0]), ("cat", [0, 0, 1]), ("owl", [1, 0, 0])
    table = scored(cat_as_owl, owl_as_cat, cat_as_dog, cat_as_dog, ("cat", [1, 0, 0]), ("dog", [1, 0, 0], "val"))
    found = scores.confusions(table)
    assert found.to_dict("split")["data"] == [
        ["test", "cat", "dog", 2, 0.5],
        ["test", "owl", "cat", 1, 1.0],
        ["val", "dog", "cat", 1, 1.0],
        ["test", "cat", "owl", 1, 0.25],
    ]


def test_the_images_keep_their_order_and_their_columns():
    table = pd.DataFrame({"label": ["owl", "cat"], "set": "test", "origin": ["real", "staged"]}, index=[7, 3])
    found = scores.score(table, np.array([[0, 0, 1], [0, 0, 1.0]]), CLASSES, top_k=1)
    assert found[["label", "origin", "predicted", "label_rank"]].to_dict("split")["data"] == [
        ["owl", "real", "owl", 1],
        ["cat", "staged", "owl", 2],
    ]  # of two classes without any probability, cat is the first
